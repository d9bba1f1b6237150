"""What of a step's results is whole, by name, and what a verb says, both without marks of the
moment."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from faults.steps import EAGER, JUDGE, LIBRARIES, TAUGHT, Step, confirmed_on
from PIL import Image

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.features import shard
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.heads.head import Head
from gzfeatures.networks.compilation.code_folder import KEY, KEY_BYTES, SEAL_BYTES
from gzfeatures.portable.model_file import read_model_file
from gzfeatures.portable.portable_head import PortableHead
from gzfeatures.report.report import UNRECORDED
from gzfeatures.surveys.cutout_positions import POSITIONS, CutoutPositions
from gzfeatures.tracking._compat_mlflow import NOTE
from gzfeatures.tracking.later.waiting import WaitingRun
from gzfeatures.tracking.records import KEY as RECORDED_AS
from gzfeatures.tracking.records import MADE, fields_of
from gzfeatures.written_files import RECORD

MOMENTARY = re.compile(
    r"second|^key$|^stamp$|commit|^tracking_uri$|^computed$|^reused$|^downloaded$|^already_there$|^system/|bytes"
    r"|^unplaced$|^store$|^folder$|^recorded$|^last_used$|^imported$|^shared$"
)
"""Keys of what differs between two calls that give the same: times, marks of files by their times,
work done before, and that files may be the user's own, where the note on them was lost."""
UNFINISHED = ("training.ckpt", "training.json", "mlflow.db.lock", "mlflow.db-journal")
"""Files that say how far a step has come; SQLite rolls a journal back that it finds."""
RECORDING = ("run", "opened", "logged", "whole", "ranking", "view", NOTE, MADE)
"""Of what waits to be recorded, whether and when it was, and texts that hold seconds; their numbers
are among the metrics."""
SCRATCH = ("pixels", "artifacts")
"""Folders of what is thrown away at the end, and MLflow's copies, which count by the run they
belong to."""

EARLIER = ", earlier: "
"""Parts the name of a piece that another has replaced from what tells it from others."""


def pieces(desk: Path, step: Step) -> dict[str, str]:
    """Every finished piece on a desk, by name, as a digest of what it says; one that is not whole
    is "broken".

    Seconds and other marks of the moment are left out, so that two calls that give the same have
    the same pieces.
    """
    found: dict[str, str] = {}
    for place in (*step.writes, *step.changes):
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
            read = _READERS.get(path.name) or _READERS.get(path.suffix, _bytes)
            try:
                content = read(path, desk)
                if step.compiles and path.suffix in _VECTORS:
                    content = _VECTORS[path.suffix](path, desk)
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


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _bytes(path: Path, desk: Path) -> str:
    return _digest(path.read_bytes())


def _positions(path: Path, desk: Path) -> dict[str, str]:
    """Positions of the cutouts that are there: a line may be damaged, but none may be wrong."""
    known = CutoutPositions(path.parent, own=True)
    found: dict[str, str] = {}
    for image in sorted(path.parent.glob("*.jpg")):
        place = known.of(image.stem, image.read_bytes())
        if place is not None and place.ra != round(10 + int(image.stem[1:]) / 10, 4):
            found[f"{path.name} {image.stem}"] = f"broken: {place}"
    return found


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _told(inner) for key, inner in value.items() if not MOMENTARY.search(str(key))}
    if isinstance(value, list):
        # entries of a store are listed by their last use
        named = all(isinstance(inner, dict) and "fingerprint" in inner for inner in value)
        value = sorted(value, key=lambda inner: inner["fingerprint"]) if named else value
        return [_told(inner) for inner in value]
    return value


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
    values = (table[name].to_pylist() for name in table.column_names)
    columns = [json.dumps(each, default=bytes.hex).encode() for each in values]
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


def _curve(path: Path, desk: Path) -> str:
    """A learning curve in CSV, without the seconds that each point took."""
    table = pd.read_csv(path, dtype=str)
    kept = [name for name in table if not MOMENTARY.search(name)]
    return _digest(table[kept].to_csv(index=False).encode())


def _answers(path: Path, desk: Path) -> dict[str, str]:
    """Labels given on a page, one by one; each that was said to be kept has to be among them."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    found = {
        f"label of {row['galaxy_id']}": _digest(repr(sorted(row.items())).encode()) for row in rows
    }
    if confirmed_on(desk).exists():
        for name in confirmed_on(desk).read_text().split():
            if f"label of {name}" not in found:
                raise InputError("a label that was kept is gone", where=path, found=name)
    return found


def _model(path: Path, desk: Path) -> str:
    """What an exported head says of galaxies, and its record."""
    file = read_model_file(path)
    head, table = PortableHead.open(path), EmbeddingTable.read(desk / JUDGE)
    numbers = head.predict(table).probabilities.tobytes()
    return _digest(file.source.encode(), json.dumps(file.record, sort_keys=True).encode(), numbers)


def _properties(path: Path, desk: Path) -> str:
    """Properties of a HATS catalog, without their moment."""
    lines = path.read_text().splitlines()
    return _digest(*(line.encode() for line in lines if "_date=" not in line.replace(" ", "")))


def _waiting(path: Path, desk: Path) -> str:
    """What waits to be recorded: all of it, whether it has been recorded or not."""
    root = path.parent.resolve()
    records = [_told(fields_of(record)) for record in WaitingRun.read(path.parent).records]
    for record in records:
        for name in RECORDING:
            record.pop(name, None)
            record["tags"].pop(name, None)
        inside = (Path(name).resolve().relative_to(root) for name in record.pop("artifacts", ()))
        record["files"] = sorted(each.as_posix() for each in inside)
    text = json.dumps(records, sort_keys=True).replace(str(desk.resolve()), ".")
    return _digest(text.encode())


def _page(path: Path, desk: Path) -> str:
    text = path.read_text()
    if not text.rstrip().endswith("</html>"):
        raise InputError("page is cut off", where=path)
    return "a whole page"


@contextmanager
def _whole_copy(path: Path) -> Iterator[Path]:
    """A copy of a database with its journal, which SQLite rolls back where it may write."""
    with tempfile.TemporaryDirectory() as folder:
        for part in (path, path.with_name(f"{path.name}-journal")):
            if part.exists():
                shutil.copy2(part, folder)
        yield Path(folder) / path.name


def _database(path: Path, desk: Path) -> dict[str, str]:
    """Metrics of every finished pairing and comparison, by its name; a training's own run becomes
    one when scored.

    Where the inputs changed in between, one name is recorded with other numbers again: the last
    keep the name.
    """
    with _whole_copy(path) as copy, closing(sqlite3.connect(copy)) as connection:
        (verdict,) = connection.execute("pragma integrity_check").fetchone()
        if verdict != "ok":
            raise InputError("database is damaged", where=path, found=verdict)
        rows = connection.execute(
            "select r.run_uuid, r.name, m.key, m.value "
            "from runs r join metrics m on m.run_uuid = r.run_uuid "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'kind' and t.value <> 'training' "
            "where r.status = 'FINISHED' order by r.start_time, r.run_uuid, m.key, m.step"
        ).fetchall()
        twice = connection.execute(
            "select t.value from runs r join tags t on t.run_uuid = r.run_uuid and t.key = ? "
            "where r.status = 'FINISHED' and r.lifecycle_stage = 'active' "
            "group by t.value having count(*) > 1",
            (RECORDED_AS,),
        ).fetchall()
        if twice:
            raise InputError("recorded twice", where=path, found=twice)
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


def _written(path: Path, desk: Path) -> dict[str, str]:
    """Finished files that the record knows as they are, and the verb that wrote each."""
    if not path.stat().st_size:  # begun on a full disk: an empty record
        return {}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        (verdict,) = connection.execute("pragma integrity_check").fetchone()
        if verdict != "ok":
            raise InputError("record is damaged", where=path, found=verdict)
        rows = connection.execute("select path, sha256, verb from outputs").fetchall()
    root, known = desk.resolve(), {}
    for place, digest, verb in rows:
        file = Path(os.fsdecode(place))
        if file.is_relative_to(root) and file.is_file() and fingerprint.of_file(file) == digest:
            known[f"record of {file.relative_to(root)}"] = verb
    return known


def _library(path: Path, desk: Path) -> str:
    """Compiled code behind its seal: what the compiler gave, and for the user alone."""
    code = path.read_bytes()[SEAL_BYTES:]
    made = {file.read_bytes() for file in Path((desk / LIBRARIES).read_text()).glob("*.so")}
    # a fault of permissions makes it readable; then it is not loaded but compiled again
    if code not in made:
        raise InputError("compiled code is not what was compiled", where=path)
    return "whole code"


def _key(path: Path, desk: Path) -> str:
    if len(path.read_bytes()) != KEY_BYTES:
        raise InputError("key is not whole", where=path)
    return "a key"


def _near(keys: Sequence[str], matrix: np.ndarray, desk: Path) -> list[str]:
    """Digests of vectors; those that differ from the network's in their last digits have its
    digests.

    Compiled arithmetic rounds otherwise, and a fault may have part of a table computed eagerly.
    """
    eager = EmbeddingTable.read(desk / EAGER)
    whole = dict(zip(eager.digests, eager.matrix, strict=True))
    result = []
    for key, row in zip(keys, matrix, strict=True):
        if len(row) == eager.matrix.shape[1] and key in whole:
            row = whole[key] if np.allclose(row, whole[key], rtol=1e-3, atol=1e-4) else row
        result.append(_digest(np.ascontiguousarray(row).tobytes()))
    return result


def _table_near(path: Path, desk: Path) -> str:
    table = EmbeddingTable.read(path)
    keys = [str(key) for key in table.digests]
    return _digest("|".join([*table.ids, *keys, *_near(keys, table.matrix, desk)]).encode())


def _shard_near(path: Path, desk: Path) -> dict[str, str]:
    names = _shard(path, desk)
    keys, matrix = shard.read(path, json.loads((path.parent / "extractor.json").read_text())["dim"])
    return dict(zip(names, _near([key.tobytes().hex() for key in keys], matrix, desk), strict=True))


_VECTORS: dict[str, Callable[[Path, Path], str | dict[str, str]]] = {
    ".parquet": _table_near,
    ".arrow": _shard_near,
}
_READERS: dict[str, Callable[[Path, Path], str | dict[str, str]]] = {
    ".json": _json, ".parquet": _parquet, ".arrow": _shard, ".skops": _skops, ".db": _database,
    ".onnx": _model, ".properties": _properties, UNRECORDED: _waiting,
    "learning_curve.csv": _curve, TAUGHT: _answers, RECORD: _written, KEY: _key, ".so": _library,
    ".jpg": _picture, ".png": _picture, ".html": _page, ".md": lambda path, desk: "a text",
    POSITIONS: _positions,
}  # fmt: skip
