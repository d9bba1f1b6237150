"""READERS: everything in the package that reads a file, with whole files to damage and what reads
them."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import Table
from PIL import Image
from places import EXPERIMENTS
from safetensors.torch import save

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment import config
from gzfeatures.explore.cells.cell_index import CellIndex
from gzfeatures.explore.cells.index_building import build_index
from gzfeatures.features.backbones import BACKBONES, backbone
from gzfeatures.features.exchange.table_export import export_table
from gzfeatures.features.exchange.vector_files import read_vectors
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.fingerprint import of_bytes
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import Head, fit
from gzfeatures.images.decode import Decoder
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.umap import Map, project
from gzfeatures.networks.encoders.backbone_table import read_entry
from gzfeatures.networks.encoders.described import described
from gzfeatures.networks.encoders.exported_programs import read_program
from gzfeatures.networks.encoders.view_config import beside
from gzfeatures.networks.models.load import read_tensors
from gzfeatures.networks.training.checkpoint import read_state
from gzfeatures.portable.export import ExportOptions, export_head
from gzfeatures.portable.portable_head import PortableHead

N = 24
IDS = np.array([f"g{k}" for k in range(N)], dtype=object)
CODES = np.arange(N) % 2
VECTORS = (np.random.default_rng(0).normal(size=(N, 6)) + 3 * CODES[:, None]).astype(np.float32)
EXTRACTOR = Extractor("resnet18", "resnet18", "random:0", "avgpool", 6, View(size=32))
TABLE = EmbeddingTable(IDS, np.full(N, "0" * 64, dtype=object), VECTORS, EXTRACTOR)
LABELS = Labels(IDS, ("round", "spiral"), CODES)
ANSWERS_OF = (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)
FRAME = pd.DataFrame(
    {
        "GalaxyID": 100_000 + np.arange(4),
        "ra": [1.0, 2, 3, 4],
        "dec": [0.5, -1, 2, 3],
        "redshift": [0.1, 0.2, 0.3, 0.4],
    }
    | {
        f"Class{q}.{a}": [0.2, 0.3, 0.5, 0.0]
        for q, n in enumerate(ANSWERS_OF, 1)
        for a in range(1, n + 1)
    }
)
VIEW = View(size=8)
TENSORS = {"w": torch.ones(3), "b": torch.ones(2)}
LARGEST = 10**6
"""Pixels of the largest image that is decoded: a case must be cheap."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """What reads a kind of file.

    Parameters
    ----------
    name : str
        Of the file it is given.
    whole : callable
        Makes files that it reads.
    read : callable
        Takes the path. It may return anything, or raise a GzError, which is one line.
    """

    name: str
    whole: Callable[[], list[bytes]]
    read: Callable[[Path], object]


def _written(write: Callable[[Path], object], name: str = "file") -> Callable[[], list[bytes]]:
    """One whole file, as a writer makes it."""

    def make() -> list[bytes]:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            write(path)
            return [path.read_bytes()]

    return make


def _catalog(path: Path) -> None:
    Catalog.examine(path)
    catalog = Catalog.read(path)
    scheme("q1-3class").label(catalog)


def _image(path: Path) -> None:
    contents = Decoder(path.read_bytes(), path, LARGEST)
    contents.faults()
    assert contents.picture is None or contents.picture.ndim == 3
    contents.see(VIEW)


def _archive(path: Path) -> None:
    ImageSet.of(path, max_pixels=LARGEST).check()


def _pictures() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8))
    forms = {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "P", "I;16", "RGBA"),
        "GIF": ("P",),
        "WEBP": ("RGB",),
    }
    plain = io.BytesIO()
    noise.save(plain, "JPEG")
    files = [plain.getvalue()]
    for form, modes in {**forms, "TIFF": ("RGB",)}.items():
        for mode in modes:
            file = io.BytesIO()
            picture = noise.convert("L").convert(mode) if mode == "I;16" else noise.convert(mode)
            picture.save(file, form, exif=_turned()) if form in (
                "JPEG",
                "PNG",
                "WEBP",
            ) else picture.save(file, form)
            files.append(file.getvalue())
    return files


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _bands() -> list[bytes]:
    from astropy.io import fits

    flux, files = np.random.default_rng(1).normal(size=(3, 8, 8)).astype(np.float32), []
    file = io.BytesIO()
    fits.PrimaryHDU(flux, fits.Header({"BANDS": "gri"})).writeto(file)
    files += [file.getvalue(), gzip.compress(file.getvalue())]
    file = io.BytesIO()
    np.savez(file, images=flux, filters=np.array(["g", "r", "i"]))
    return [*files, file.getvalue()]


def _zip() -> list[bytes]:
    files = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for number, picture in enumerate(_pictures()[:3]):
                archive.writestr(f"images/{number}.jpg", picture)
        files.append(file.getvalue())
    return files


def _tar() -> list[bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, picture in enumerate(_pictures()[:3]):
            member = tarfile.TarInfo(f"images/{number}.png")
            member.size = len(picture)
            archive.addfile(member, io.BytesIO(picture))
    return [file.getvalue(), gzip.compress(file.getvalue())]


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((3, 8, 8, 3), np.uint8)
        file["galaxy_id"] = np.array(
            ["a", "b", "c"], dtype="S1"
        )  # of variable length: see README.md


def _hdf5_table(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in FRAME:
            file[name] = FRAME[name].to_numpy()
        file["label"] = np.array(
            ["a", "b", "c", "d"], dtype="S1"
        )  # of variable length: see README.md


def _ecsv_table(path: Path) -> None:
    Table.from_pandas(FRAME).write(path, format="ascii.ecsv")


def _votables() -> list[bytes]:
    files = []
    for serialisation in ("tabledata", "binary2"):
        file = io.BytesIO()
        Table.from_pandas(FRAME).write(file, format="votable", tabledata_format=serialisation)
        files.append(file.getvalue())
    return files


def _fits_table(path: Path) -> None:
    Table.from_pandas(FRAME).write(path, format="fits")


@functools.cache
def _head() -> Head:
    return fit(TABLE, LABELS, "prototype", split=Split.draw(LABELS))


def _state(path: Path) -> None:
    torch.save(
        {
            "settings": {"seed": 0},
            "gzfeatures": {"history": [{"epoch": 1}], "best": {"w": torch.ones(3)}},
        },
        path,
    )


def _checkpoint(path: Path) -> None:
    """A checkpoint folder whose record is the file."""
    (path.parent / "model.safetensors").write_bytes(save(TENSORS))
    backbone(path.parent)


def _record() -> list[bytes]:
    fields = {
        "format": 1,
        "backbone": BACKBONES["resnet18"].asdict(),
        "weights_sha256": of_bytes(b""),
    }
    return [json.dumps(fields).encode()]


def _shard(path: Path) -> None:
    shelf = Store(path.parent).vectors_of(EXTRACTOR)
    shelf.folder.mkdir(exist_ok=True)
    path.replace(shelf.folder / f"{of_bytes(path.read_bytes())}.arrow")
    again = Store(path.parent).vectors_of(EXTRACTOR)
    again.has(["0" * 64])
    for shard in shelf.folder.iterdir():
        shard.unlink()


def _shards() -> list[bytes]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        shelf = Store(Path(folder)).vectors_of(EXTRACTOR)
        shelf.add([of_bytes(b"1"), of_bytes(b"2")], VECTORS[:2])
        return [path.read_bytes() for path in shelf.folder.glob("*.arrow")]


def _schemes() -> list[bytes]:
    return [path.read_bytes() for path in (EXPERIMENTS / "schemes").glob("*.toml")]


EXPERIMENT = b"""name = "small"
seed = 3
[galaxies]
catalog = "catalog.csv"
images = "../images"
scheme = "q1-3class"
split = [0.6, 0.2, 0.2]
[[networks]]
name = "resnet18"
epochs = 1
options = {lr = 0.1}
"""

SPLIT = b"galaxy_id,label,split,group\na,x,train,1\nb,y,test,2\nc,x,validation,3\n"
FRACTIONS, MANY = b"galaxy_id,Class1.1\na,0.5\nb,1\n", b"galaxy_id,label\na,x|y\nb,\n"


def _programs() -> list[bytes]:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).eval()
    return _written(
        lambda path: torch.export.save(
            torch.export.export(network, (torch.zeros(1, 3, 8, 8),)), path
        ),
        "p.pt2",
    )()


def _graphs() -> list[bytes]:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from onnx import TensorProto, helper

    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 3, 8, 8])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", 192])
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "g", [images], [vectors])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return [model.SerializeToString()]


def _exported_head() -> list[bytes]:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    options = ExportOptions("vectors", TABLE)
    return _written(lambda path: export_head(_head(), path, options), "m.onnx")()


def _configs() -> list[bytes]:
    pixels = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9}
    folder = {"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return [json.dumps(each).encode() for each in ({"pretrained_cfg": pixels}, folder)]


def _entries() -> list[bytes]:
    entry = b'[[backbones]]\nname = "e"\narchitecture = "onnx:none.onnx"\nview = "size=8"\n'
    return [entry + b"mean = [0.5, 0.5, 0.5]\nstd = [1, 1, 1]\n"]


def _entry(path: Path) -> None:
    read_entry(path, lambda *_: BACKBONES["resnet18"])


def _exported(name: str) -> Callable[[], list[bytes]]:
    return lambda: _written(lambda path: export_table(TABLE, path), name)()


def _predicted(name: str) -> Callable[[], list[bytes]]:
    return lambda: _written(_head().predict(TABLE).write, name)()


@functools.cache
def _indexed() -> Path:
    """The table that the index of cells is built from; it stays while the process does."""
    from tempfile import mkdtemp

    return TABLE.write(Path(mkdtemp()) / "table.parquet")


def _search(path: Path) -> None:
    CellIndex(path, EmbeddingTable.open(_indexed())).nearest(VECTORS[:2], 3, np.arange(2))


READERS: dict[str, Reader] = {
    "index of cells": Reader(
        "t.index",
        _written(lambda path: build_index(EmbeddingTable.open(_indexed()), path)),
        _search,
    ),
    "catalog, CSV": Reader("c.csv", lambda: [FRAME.to_csv(index=False).encode()], _catalog),
    "catalog, FITS": Reader("c.fits", _written(_fits_table, "c.fits"), _catalog),
    "catalog, Parquet": Reader("c.parquet", _written(FRAME.to_parquet), _catalog),
    "catalog, Feather": Reader("c.feather", _written(FRAME.to_feather), _catalog),
    "catalog, VOTable": Reader("c.vot", _votables, _catalog),
    "catalog, ECSV": Reader("c.ecsv", _written(_ecsv_table, "c.ecsv"), _catalog),
    "catalog, HDF5": Reader("c.h5", _written(_hdf5_table), _catalog),
    "picture": Reader("i.jpg", _pictures, _image),
    "bands": Reader("i.fits", _bands, _image),
    "zip of images": Reader("i.zip", _zip, _archive),
    "tar of images": Reader("i.tar", _tar, _archive),
    "HDF5 of images": Reader("i.h5", _written(_hdf5), _archive),
    "labels": Reader("l.csv", lambda: [SPLIT, FRACTIONS, MANY], read_labels),
    "experiment": Reader("e.toml", lambda: [EXPERIMENT], config.load),
    "scheme": Reader("s.toml", _schemes, scheme),
    "embedding table": Reader("t.parquet", _written(TABLE.write), EmbeddingTable.read),
    "vectors, Parquet": Reader("v.parquet", _written(TABLE.write), read_vectors),
    "vectors, npz": Reader("v.npz", _exported("v.npz"), read_vectors),
    "vectors, AnnData": Reader("v.h5ad", _exported("v.h5ad"), read_vectors),
    "vectors, CSV": Reader("v.csv", _exported("v.csv"), read_vectors),
    "encoder, torch.export": Reader("p.pt2", _programs, read_program),
    "encoder, ONNX": Reader("e.onnx", _graphs, lambda path: described(f"onnx:{path}")),
    "encoder, configuration": Reader("config.json", _configs, lambda path: beside(path)),
    "encoder, TOML": Reader("e.toml", _entries, _entry),
    "shard of the store": Reader("s.arrow", _shards, _shard),
    "head": Reader(
        "h.skops", lambda: _written(_head().write)(), lambda path: Head.read(path).predict(TABLE)
    ),
    "exported head": Reader(
        "m.onnx", _exported_head, lambda path: PortableHead.open(path).predict(TABLE)
    ),
    "weights, torch": Reader(
        "w.pth", _written(lambda path: torch.save(TENSORS, path)), read_tensors
    ),
    "weights, safetensors": Reader("w.safetensors", lambda: [save(TENSORS)], read_tensors),
    "checkpoint record": Reader("backbone.json", _record, _checkpoint),
    "state of a training": Reader("training.ckpt", _written(_state), read_state),
    "predictions, CSV": Reader("p.csv", _predicted("p.csv"), Predictions.read),
    "predictions, Parquet": Reader("p.parquet", _predicted("p.parquet"), Predictions.read),
    "predictions, FITS": Reader("p.fits", _predicted("p.fits"), Predictions.read),
    "map": Reader("m.parquet", lambda: _written(project(TABLE, n_neighbors=5).write)(), Map.read),
}
