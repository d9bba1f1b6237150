"""The six steps of the job, each on a desk of forty galaxies, and what of their results is whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from gzfeatures.errors import InputError
from gzfeatures.features import shard
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.head import Head
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.synthetic.survey import draw_survey

MOMENTARY = re.compile(
    r"second|^key$|^stamp$|commit|^tracking_uri$|^computed$|^reused$|^downloaded$|^already_there$|^system/|bytes"
)
"""Keys of what differs between two calls that give the same: times, marks of files by their times,
work done before."""
UNFINISHED = ("training.ckpt", "training.json", "mlflow.db.lock", "mlflow.db-journal")
"""Files that say how far a step has come; SQLite rolls a journal back that it finds."""
SCRATCH = ("pixels", "artifacts")
"""Folders of what is thrown away at the end, and MLflow's copies, which count by the run they
belong to."""

JUDGE = ".table.parquet"
"""A table that no fault touches, for heads to be asked about."""

EARLIER = ", earlier: "
"""Parts the name of a piece that another has replaced from what tells it from others."""

TOML = """
name = "small"
[galaxies]
catalog = "catalog.csv"
images = "images"
labels = "labels.csv"
[[backbones]]
name = "resnet18"
weights = "none"
view = "size=32"
[[networks]]
name = "engel"
view = "size=32"
epochs = 2
options = {batch_size = 8}
[[heads]]
name = "prototype"
"""


@dataclasses.dataclass(frozen=True)
class Step:
    """A verb as it is called on the desk.

    Parameters
    ----------
    words : str
        The command line; `{url}` is the address of a server of cut-outs.
    reads : tuple of str
        Inputs: one that may vanish or change while it runs, first.
    writes : tuple of str
        Files and folders that it makes.
    """

    words: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def command(self, url: str) -> tuple[str, ...]:
        return (*self.words.format(url=url).split(), "--json")


STEPS = {
    "cutouts": Step(
        "cutouts positions.csv -o out --base-url {url} --pixels 32 --workers 4",
        ("positions.csv",),
        ("out",),
    ),
    "extract": Step(
        "extract images --backbone resnet18 --weights none --view size=32 -o out/table.parquet",
        ("images/10000007.jpg",),
        ("out", "store"),
    ),
    "finetune": Step(
        "finetune images --labels labels.csv --network engel --view size=32 --epochs 3 --set batch_size=8 --resume "
        "-o out",
        ("images/10000007.jpg", "labels.csv"),
        ("out", "mlruns"),
    ),
    "fit": Step(
        "fit table.parquet --labels labels.csv -H logistic -H prototype -H knn -o out",
        ("table.parquet", "labels.csv"),
        ("out",),
    ),
    "run": Step(
        "run small.toml -o out",
        ("images/10000007.jpg", "small.toml", "labels.csv"),
        ("out", "store", "mlruns"),
    ),
    "map": Step(
        "map table.parquet --labels labels.csv --images images -o out/map.html",
        ("images/10000007.jpg", "table.parquet", "labels.csv"),
        ("out",),
    ),
}


def lay(desk: Path) -> Path:
    """Draw the inputs of all steps."""
    survey = draw_survey(desk, n=42, seed=3, size=40, progress=False)
    catalog = Catalog.read(survey.catalog)
    labels = SCHEMES["smooth-featured"].label(catalog)
    write_labels(desk / "labels.csv", labels, Split.draw(labels, (0.6, 0.15, 0.25), seed=0))
    table = extract(
        ImageSet.of(survey.images), "resnet18", weights="none", view=View(size=32), progress=False
    )
    for name in ("table.parquet", JUDGE):
        table.write(desk / name)
    ra = np.round(np.arange(60) * 0.1 + 10, 4)
    pd.DataFrame({"galaxy_id": [f"g{k}" for k in range(60)], "ra": ra, "dec": 0.0}).to_csv(
        desk / "positions.csv", index=False
    )
    (desk / "small.toml").write_text(TOML)
    return desk


def pieces(desk: Path, step: Step) -> dict[str, str]:
    """Every finished piece on a desk, by name, as a digest of what it says; one that is not whole is "broken".

    Seconds and other marks of the moment are left out, so that two calls that give the same have
    the same pieces.
    """
    found: dict[str, str] = {}
    for place in step.writes:
        root = desk / place
        for path in sorted(root.rglob("*") if root.is_dir() else [root]):
            name = path.relative_to(desk).as_posix()
            hidden = any(
                part.startswith(".") or part in SCRATCH for part in path.relative_to(desk).parts
            )
            if (
                not path.is_file()
                or hidden
                or path.name in UNFINISHED
                or path.suffix == shard.DAMAGED
            ):
                continue
            read = _READERS.get(path.suffix, _bytes)
            try:
                content = read(path, desk)
            except Exception as error:  # whatever a reader says: it is not whole
                found[name] = f"broken: {error!r}"
                continue
            if isinstance(content, dict):
                found |= content
            else:
                # named after the times of files, of which there are several where an image changed
                found[re.sub(r"images-[0-9a-f]+\.json", f"images.json {content[:8]}", name)] = (
                    content
                )
    return found


def said(text: str) -> Any:
    """What a verb said with `--json`, without the marks of the moment."""
    return _told(json.loads(text))


def clear(desk: Path, step: Step) -> None:
    """Take the results away; the inputs stay."""
    for place in step.writes:
        shutil.rmtree(desk / place, ignore_errors=True)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _bytes(path: Path, desk: Path) -> str:
    return _digest(path.read_bytes())


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _told(inner) for key, inner in value.items() if not MOMENTARY.search(str(key))}
    return [_told(inner) for inner in value] if isinstance(value, list) else value


def _json(path: Path, desk: Path) -> str:
    text = path.read_text().replace(str(desk.resolve()), ".")
    return _digest(json.dumps(_told(json.loads(text)), sort_keys=True).encode())


def _parquet(path: Path, desk: Path) -> str:
    table = pq.read_table(path, page_checksum_verification=True)
    notes = {
        key.decode(): json.loads(value)
        for key, value in (table.schema.metadata or {}).items()
        if key != b"pandas"
    }
    notes.pop("ARROW:schema", None)
    columns = [json.dumps(table[name].to_pylist()).encode() for name in table.column_names]
    return _digest(json.dumps(_told(notes), sort_keys=True).encode(), *columns)


def _shard(path: Path, desk: Path) -> dict[str, str]:
    if not shard.intact(path):
        raise InputError("shard is damaged", where=path)
    dim = json.loads((path.parent / "extractor.json").read_text())["dim"]
    keys, matrix = shard.read(path, dim)
    names = [f"vector {path.parent.name[:8]} {key.tobytes().hex()[:16]}" for key in keys]
    return {name: _digest(row.tobytes()) for name, row in zip(names, matrix, strict=True)}


def _skops(path: Path, desk: Path) -> str:
    head, table = Head.read(path), EmbeddingTable.read(desk / JUDGE)
    theirs = head.extractors[0].fingerprint == table.extractor.fingerprint
    numbers = head.predict(table).probabilities.tobytes() if theirs else b""
    return _digest(
        head.name.encode(), json.dumps(dict(head.parameters), sort_keys=True).encode(), numbers
    )


def _picture(path: Path, desk: Path) -> str:
    with Image.open(path) as image:
        image.load()
    return _bytes(path, desk) if path.suffix == ".jpg" else "a whole picture"


def _page(path: Path, desk: Path) -> str:
    text = path.read_text()
    if not text.rstrip().endswith("</html>"):
        raise InputError("page is cut off", where=path)
    return "a whole page"


def _database(path: Path, desk: Path) -> dict[str, str]:
    """Metrics of every finished pairing and comparison, by its name; a training's own run becomes one when scored.

    Where the inputs changed in between, one name is recorded with other numbers again: the last
    keep the name.
    """
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        (verdict,) = connection.execute("pragma integrity_check").fetchone()
        if verdict != "ok":
            raise InputError("database is damaged", where=path, found=verdict)
        rows = connection.execute(
            "select r.run_uuid, r.name, m.key, m.value from runs r join metrics m on m.run_uuid = r.run_uuid "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'kind' and t.value <> 'training' "
            "where r.status = 'FINISHED' order by r.start_time, r.run_uuid, m.key, m.step"
        ).fetchall()
    runs: dict[str, tuple[str, list[str]]] = {}
    for run, name, key, value in rows:
        if not MOMENTARY.search(key):
            runs.setdefault(run, (name, []))[1].append(f"{key}={value}")
    found: dict[str, str] = {}
    for name, values in runs.values():
        piece, digest = f"recorded {name}", _digest(*map(str.encode, values))
        earlier = found.get(piece, digest)
        if earlier != digest:
            found[f"{piece}{EARLIER}{earlier[:8]}"] = earlier
        found[piece] = digest
    return found


_READERS: dict[str, Callable[[Path, Path], str | dict[str, str]]] = {
    ".json": _json, ".parquet": _parquet, ".arrow": _shard, ".skops": _skops, ".db": _database,
    ".jpg": _picture, ".png": _picture, ".html": _page, ".md": lambda path, desk: "a text",
}  # fmt: skip
