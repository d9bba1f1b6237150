"""Files made to do harm: each is refused in one line or shown as what it is; none runs code, leaves
its place or eats the machine. Archives, links, redirects and pages have more of them in their own
tests (see SECURITY.md)."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import resource
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
import torch

from gzfeatures import files
from gzfeatures.errors import GzError, InputError, require_known
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment import config
from gzfeatures.experiment.folder import read_candidates
from gzfeatures.features import shard
from gzfeatures.features.backbones import BACKBONES, backbone
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.fit import Head
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.umap import Map
from gzfeatures.networks.models.load import load, read_tensors
from gzfeatures.networks.training.checkpoint import read_state


class Trap:
    """Makes the file `sprung` in the working folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


PICKLE = pickle.dumps({"fc.weight": Trap()})
CODE = "__import__('pathlib').Path('sprung').touch()"
GALAXIES = '[galaxies]\ncatalog = "c.csv"\nimages = "i"\n'
BACKBONE, HEAD = '[[backbones]]\nname = "resnet18"\n', '[[heads]]\nname = "svm"\n'
DEEP = 100_000
"""Levels of brackets that no parser by recursion survives."""


def _torch(path: Path, **options: Any) -> None:
    torch.save({"fc.weight": Trap(), "settings": {}}, path, **options)


def _skops(path: Path, node: dict[str, Any]) -> None:
    """A head file whose estimator is a node of the attacker's making."""
    skops.io.dump({"format": 1, "record": "{}", "estimator": 0}, path)
    with zipfile.ZipFile(path) as file:
        schema = json.loads(file.read("schema.json"))
    text = json.dumps(schema).replace('"content": "0"', f'"content": {json.dumps(node)}')
    schema = json.loads(text)
    schema["content"]["estimator"] = node
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", json.dumps(schema))


def _node(module: str, name: str, loader: str, content: Any) -> dict[str, Any]:
    return {
        "__class__": name,
        "__module__": module,
        "__loader__": loader,
        "__id__": 1,
        "content": content,
    }


def _typed(data: bytes) -> pa.Table:
    """A table whose column says it is of a type that pickle knows (as in CVE-2023-47248)."""
    note = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": data}
    field = pa.field("galaxy_id", pa.string(), metadata=note)
    return pa.table([pa.array(["a"])], schema=pa.schema([field]))


def _parquet(path: Path) -> None:
    pq.write_table(_typed(pickle.dumps(Trap())), path)


def _ipc(path: Path) -> None:
    table = _typed(pickle.dumps(Trap()))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _negative(path: Path) -> None:
    """A shard of three rows whose twelve values say that they are less than none."""
    whole = shard.write(path.parent, shard.as_keys(["0" * 64] * 3), np.zeros((3, 4), np.float32))
    data = whole.read_bytes()
    said = struct.pack("<qq", 12, 0)
    assert said in data
    path.write_bytes(data.replace(said, struct.pack("<qq", -(2**60), 0)))
    whole.unlink()


def _noted(path: Path, note: str) -> None:
    """A Parquet file with the columns of an embedding table and a record of the attacker's
    making."""
    columns = {
        "galaxy_id": ["a"],
        "image_sha256": ["0" * 64],
        "embedding": pa.array([[1.0]], pa.list_(pa.float32(), 1)),
    }
    metadata = {"gzfeatures": note, "gzfeatures_space": note}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


def _npy(path: Path, descr: str) -> None:
    header = (
        f"{{'descr': {descr}, 'fortran_order': False, 'shape': (4, 4, 3)}}".ljust(117).encode()
        + b"\n"
    )
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(48))


def _png(path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10**7), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def _fits(path: Path, **cards: int) -> None:
    words = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 9, "NAXIS2": 9} | cards
    text = "".join(
        f"{name:<8}= {value:>20}".ljust(80) for name, value in words.items()
    ) + "END".ljust(80)
    data = text.ljust(2880).encode() + bytes(2880)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _bomb(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, bytes(3 * 10**8))


def _safetensors(path: Path, length: int, header: bytes) -> None:
    path.write_bytes(struct.pack("<Q", length) + header)


def _run(path: Path, predictions: str) -> None:
    path.mkdir()
    (path.parent / "secret.parquet").write_bytes(b"PAR1")
    (path / "labels.csv").write_text("galaxy_id,label,split\na,x,train\nb,y,validation\nc,x,test\n")
    (path / "pairings.json").write_text(json.dumps([{"predictions": predictions}]))


def _checkpoint(path: Path, **fields: Any) -> None:
    path.mkdir()
    (path / "model.safetensors").write_bytes(PICKLE)
    record = BACKBONES["resnet18"].asdict() | fields
    (path / "backbone.json").write_text(
        json.dumps({"format": 1, "backbone": record, "weights_sha256": ""})
    )


def _toml(text: str) -> Callable[[Path], None]:
    whole = f'name = "x"\n{GALAXIES}{text}'
    return lambda path: path.write_text(whole, encoding="utf-8") and None


def _endless(path: Path) -> None:
    """Three images, and more ids than could ever be read in a file of a few kilobytes."""
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((3, 8, 8, 3), np.uint8)
        file.create_dataset("galaxy_id", (10**15,), dtype="S8", chunks=(1024,))


def _look(path: Path) -> None:
    """See every image of a source; a reason for each that is broken stands for an error."""
    broken = ImageSet.of(path).check().broken
    if broken:
        raise InputError(broken[0][1])


def _whole(path: Path) -> None:
    load(backbone(path))


def _experiment(path: Path) -> None:
    """Read an experiment and resolve the names in it."""
    from gzfeatures.networks.models import architectures

    settings = config.load(path)
    for choice in settings.backbones:
        backbone(choice.name)
    for network in settings.networks:
        architectures.build(network.name, 2, 3)
    require_known("head", (choice.name for choice in settings.heads), HEADS)


Make = Callable[[Path], object]
MALICIOUS: dict[str, tuple[str, Make, Callable[[Path], object]]] = {
    "pickle as weights": ("w.pth", lambda p: p.write_bytes(PICKLE), read_tensors),
    "pickle in a torch file": ("w.pth", _torch, read_tensors),
    "pickle in an old torch file": (
        "w.pth", lambda p: _torch(p, _use_new_zipfile_serialization=False), read_tensors,
    ),
    "pickle as safetensors": ("w.safetensors", lambda p: p.write_bytes(PICKLE), read_tensors),
    "pickle as the state of a training": ("t.ckpt", lambda p: p.write_bytes(PICKLE), read_state),
    "pickle in the state of a training": ("t.ckpt", _torch, read_state),
    "pickle as a head": ("h.skops", lambda p: p.write_bytes(PICKLE), Head.read),
    "joblib as a head": ("h.skops", lambda p: joblib.dump(Trap(), p), Head.read),
    "function in a head": ("h.skops", lambda p: skops.io.dump({"estimator": os.system}, p),
                           Head.read),
    "call of a function in a head": (
        "h.skops",
        lambda p: _skops(p, _node("os", "system", "FunctionNode",
                                  {"module_path": "os", "function": "system"})),
        Head.read,
    ),
    "object of any type in a head": (
        "h.skops", lambda p: _skops(p, _node("subprocess", "Popen", "ObjectNode", [])), Head.read,
    ),
    "method of a type in a head": (
        "h.skops", lambda p: _skops(p, _node("pathlib", "touch", "MethodNode", {})), Head.read,
    ),
    "objects in a .npy image": (
        "i.npy", lambda p: np.save(p, np.full((4, 4, 3), Trap(), dtype=object), allow_pickle=True),
        _look,
    ),
    "objects in a .npz image": (
        "i.npz", lambda p: np.savez(p, images=np.full((4, 4), Trap(), dtype=object)), _look,
    ),
    "expression in the header of an array": ("i.npy", lambda p: _npy(p, CODE), _look),
    "deep header of an array": ("i.npy", lambda p: _npy(p, "[" * 60), _look),
    "pickled type in a catalog": ("c.parquet", _parquet, Catalog.read),
    "pickled type in an embedding table": ("t.parquet", _parquet, EmbeddingTable.read),
    "pickled type in a map": ("m.parquet", _parquet, Map.read),
    "pickled type in predictions": ("p.parquet", _parquet, Predictions.read),
    "pickled type in a shard": ("s.arrow", _ipc, lambda p: shard.read(p, 1)),
    "shard of less than no values": ("s.arrow", _negative, lambda p: shard.read(p, 4)),
    "record of another shape": (
        "t.parquet", lambda p: _noted(p, '{"format": {}, "extractor": [], "skipped": 3}'),
        EmbeddingTable.read,
    ),
    "record without end": ("t.parquet", lambda p: _noted(p, "[" * DEEP), EmbeddingTable.read),
    "record of a map without end": ("m.parquet", lambda p: _noted(p, '{"a":' * DEEP), Map.read),
    "header of 2^60 bytes": ("w.safetensors", lambda p: _safetensors(p, 2**60, b"{}"),
                             read_tensors),
    "tensor beyond the file": (
        "w.safetensors",
        lambda p: _safetensors(
            p, 64, b'{"w":{"dtype":"F32","shape":[9,9],"data_offsets":[0,324]}}'.ljust(64)),
        read_tensors,
    ),
    "module:name as a head": ("e.toml", _toml(f'{BACKBONE}[[heads]]\nname="os:system"'),
                              _experiment),
    "module:name as a backbone": (
        "e.toml", _toml(f'{BACKBONE.replace("resnet18", "os:system")}{HEAD}'), _experiment,
    ),
    "module.name as a network": ("e.toml", _toml('[[networks]]\nname="os.system"'), _experiment),
    "experiment without end": ("e.toml", _toml("x = " + "[" * DEEP), config.load),
    "run that names itself a path": (
        "e.toml", lambda p: p.write_text(f'name = "../../evil"\n{GALAXIES}{BACKBONE}{HEAD}'),
        config.load,
    ),
    "settings of a run without end": ("experiment.json", lambda p: p.write_text("[" * DEEP),
                                      config.load),
    "scheme that calls": ("s.toml", lambda p: p.write_text(f'name = "x"\nrule = "{CODE}"'), scheme),
    "scheme without end": ("s.toml", lambda p: p.write_text("a = " + "{b = " * DEEP), scheme),
    "run that points outside": ("run", lambda p: _run(p, "../secret.parquet"), read_candidates),
    "run that points anywhere": ("run", lambda p: _run(p, "/etc/passwd"), read_candidates),
    "checkpoint that points elsewhere": (
        "c", lambda p: _checkpoint(p, weights="file:/etc/passwd"), _whole,
    ),
    "checkpoint of any constructor": ("c", lambda p: _checkpoint(p, architecture="__builtins__"),
                                      _whole),
    "checkpoint of 10^12 classes": ("c", lambda p: _checkpoint(p, classes=10**12), _whole),
    "picture of 40,000 × 40,000": ("i.png", lambda p: _png(p, 40_000, 40_000), _look),
    "picture of 2^31 × 1": ("i.png", lambda p: _png(p, 2**31 - 1, 1), _look),
    "FITS of 10^12 pixels": ("i.fits", lambda p: _fits(p, NAXIS1=10**6, NAXIS2=10**6), _look),
    "gzipped FITS of 10^12 pixels": ("i.fits.gz", lambda p: _fits(p, NAXIS1=10**6, NAXIS2=10**6),
                                     _look),
    "HDF5 of 10^15 ids": ("i.h5", _endless, _look),
    "zip that unpacks to 300 MB": ("i.zip", lambda p: _bomb(p, "a.jpg"), _look),
    "page as a picture": ("i.jpg", lambda p: p.write_text(f"<html><script>{CODE}</script></html>"),
                          _look),
    "drawing with a script as a picture": (
        "i.png", lambda p: p.write_text("<svg onload='alert(1)'/>"), _look,
    ),
    "device as a catalog": ("c.csv", lambda p: p.symlink_to("/dev/null"), Catalog.read),
}  # fmt: skip
"""What it is, its file, how it is made, and who reads it."""
HARMLESS = ("pickled type in a catalog", "pickled type in predictions")
"""What is not refused but read as the plain text that it holds."""


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Two more gigabytes of address space than now: a bomb that goes off is an error, not a dead
    machine."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**31, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to limit memory")
@pytest.mark.parametrize("kind", MALICIOUS)
def test_it_does_no_harm(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None
) -> None:
    name, make, read = MALICIOUS[kind]
    place = tmp_path / "inner"
    place.mkdir()
    make(place / name)
    monkeypatch.chdir(tmp_path)
    before = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    if kind in HARMLESS:
        read(place / name)
    else:
        with pytest.raises(GzError) as caught:
            read(place / name)
        assert len(str(caught.value).splitlines()) == 1
    assert {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts} == before


def test_the_trap_is_sharp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLE)
    assert (tmp_path / "sprung").exists()


FORMULAS = (
    "=1+1",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "=cmd|' /C calc'!A0",
    "\t=1",
    "'=1",
    '=HYPERLINK("http://x")',
)


def test_no_spreadsheet_runs_what_we_write(tmp_path: Path) -> None:
    ids = np.array(FORMULAS, dtype=object)
    labels = Labels(ids, ("=evil()", "@x"), np.arange(len(ids)) % 2)
    said = Predictions(ids, np.full((len(ids), 2), 0.5), ("=evil()", "@x"))
    write_labels(tmp_path / "l.csv", labels)
    said.write(tmp_path / "p.csv")
    for path in (tmp_path / "l.csv", tmp_path / "p.csv"):
        cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False).to_numpy().ravel()
        texts = [cell for cell in cells if cell != "+1"]  # a signed number is no formula
        assert not [cell for cell in texts if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert list(read_labels(tmp_path / "l.csv")[0].ids) == list(ids)
    assert list(Predictions.read(tmp_path / "p.csv").ids) == list(ids)


def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, place = tmp_path / "victim", tmp_path / "out.csv"
    victim.write_text("precious")
    place.symlink_to(victim)
    with files.written_whole(place) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600, (
            "nobody else may read what is half written"
        )
        temporary.write_text("result")
    assert (
        victim.read_text() == "precious"
        and place.read_text() == "result"
        and not place.is_symlink()
    )


def test_a_view_cannot_ask_for_endless_pixels() -> None:
    for text in ("size=1000000", "size=-3", "size=1e9"):
        with pytest.raises(InputError):
            View.parse(text)
