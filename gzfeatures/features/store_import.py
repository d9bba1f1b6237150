"""Copy embeddings from another store of embeddings; every file of the other store is checked."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gzfeatures.errors import InputError, OutputError, parsing
from gzfeatures.features import shard
from gzfeatures.features.backbones import backbone_of_digest
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.store import Store
from gzfeatures.features.vector_cache import EXTRACTOR_FILE, SHARD_BYTES, VectorCache
from gzfeatures.files import read_sidecar, require_file

RECORD_BYTES, LARGEST_SHARD = 2**26, 2**30
"""Largest size in bytes of a record and of a shard that are read."""
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Error numbers of a full disk or an exhausted quota."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """Count copied, already present and refused embeddings of one extractor (network, layer, crop).

    Parameters
    ----------
    fingerprint : str
        Sha256 of the extractor's settings.
    backbone : str
        Name of the extractor's backbone.
    rows : int
        Vectors that this store lacked.
    present : int
        Vectors that this store had before; they stay as they are.
    refused : tuple of str
        Shards that were left out, each with the reason.
    """

    fingerprint: str
    backbone: str
    rows: int
    present: int
    refused: tuple[str, ...]


def import_vectors(store: Store, source: str | Path) -> list[Imported]:
    """Copy the embeddings that another store of embeddings has and this store lacks.

    Nothing in the other store is executed, and no link in it is followed. Nobody can tell from
    embeddings that they come from the network that is named: import only from people you trust.

    Parameters
    ----------
    store : Store
        Store to which the embeddings are copied.
    source : str or Path
        Folder of the other store.

    Returns
    -------
    list of Imported
        One for each extractor, by fingerprint. Damaged shards, and those with a vector that is not
        finite, are left out and named.

    Raises
    ------
    MissingFileError, InputError
        No such folder; it is this same store; it holds no embeddings; or an `extractor.json` in
        the folder is damaged.
    OutputError
        This store cannot be written; what was imported before stays.

    Examples
    --------
    >>> import_vectors(Store.default(), "/scratch/shared/gzfeatures")  # doctest: +SKIP
    """
    root = require_file(source, "store")
    if root.resolve() == store.root.resolve():
        raise InputError("store to import from", where=root, rule="differ from your own store")
    folders = sorted(
        path.parent for path in root.glob("*/" + EXTRACTOR_FILE) if not _linked(path.parent, path)
    )
    if not folders:
        raise InputError(
            "no store", where=root, rule=f"hold a folder with {EXTRACTOR_FILE} for each extractor"
        )
    return [_imported(store, folder) for folder in folders]


def _imported(store: Store, folder: Path) -> Imported:
    """Copy the embeddings of one network, layer and crop; continue after a file that is refused."""
    extractor = _extractor(folder)
    target = store.vectors_of(extractor)
    rows, present, refused = 0, 0, list[str]()
    for path in sorted(folder.glob("[0-9a-f]*" + shard.SUFFIX)):
        try:
            new, old = _rows(path, extractor, target)
        except InputError as error:
            refused.append(str(error))
            continue
        rows, present = rows + new, present + old
    target.compact()
    return Imported(extractor.fingerprint, extractor.backbone, rows, present, tuple(refused))


def _extractor(folder: Path) -> Extractor:
    """Return the settings (network, layer, crop) of a store folder, named by the settings' sha256.

    Raises
    ------
    InputError
        The file of settings is damaged, or the folder's name is not their sha256.
    """
    record = folder / EXTRACTOR_FILE
    # the file is read into memory whole, and a hostile file could fill the memory, so check its
    # size first
    if record.stat().st_size > RECORD_BYTES:
        raise InputError(
            "record of the store is too large",
            where=record,
            rule=f"have {RECORD_BYTES} bytes at most",
        )
    with parsing("record of the store is damaged", record):
        # drop the other store's list of galaxies that the network was trained on: the list changes
        # no vector, and only the list in the network's own files can be trusted
        extractor = Extractor.fromdict(read_sidecar(record))
        own = backbone_of_digest(extractor.weights)
        extractor = dataclasses.replace(extractor, trained_on=own.trained_on if own else None)
        # a JSON file may hold any type, and Python counts True as an int
        plain = isinstance(extractor.dim, int) and not isinstance(extractor.dim, bool)
        plain = plain and extractor.dim > 0 and isinstance(extractor.backbone, str)
        if not plain or extractor.fingerprint != folder.name:
            raise InputError(
                "record of the store is of another extractor",
                where=record,
                rule="have the fingerprint that its folder is named by",
            )
        return extractor


def _rows(path: Path, extractor: Extractor, target: VectorCache) -> tuple[int, int]:
    """Copy the embeddings of one file; return how many were new and how many already present.

    Raises
    ------
    InputError
        The file is a link or damaged, or its vectors are not of this extractor.
    """
    with tempfile.TemporaryDirectory() as folder, parsing("store shard cannot be read", path):
        # copy the file, then verify and read the copy: somebody could exchange the original after
        # the verification and before the reading
        copy = Path(folder) / path.name
        _copy(path, copy)
        if not shard.intact(copy):
            raise InputError("shard is damaged", where=path, rule="have the sha256 in its name")
        keys, matrix = shard.read(copy, extractor.dim)
        digests = [key.tobytes().hex() for key in keys]
        step = max(1, SHARD_BYTES // (4 * extractor.dim))
        for start in range(0, len(matrix), step):
            if not np.isfinite(matrix[start : start + step]).all():
                raise InputError("shard has vectors that are not finite", where=path)
        lacking = np.flatnonzero(~target.has(digests)) if digests else np.empty(0, dtype=np.int64)
        for start in range(0, len(lacking), step):
            rows = lacking[start : start + step]
            target.add([digests[row] for row in rows], np.asarray(matrix[rows], dtype=np.float32))
        return len(lacking), len(keys) - len(lacking)


def _copy(path: Path, copy: Path) -> None:
    """Copy a plain file of embeddings; refuse a symbolic link.

    Raises
    ------
    InputError
        The path is no plain file, or the file is larger than a shard can be.
    OutputError
        There is no room for the copy.
    """
    # O_NOFOLLOW refuses a symbolic link; O_NONBLOCK prevents an endless wait for the writer of a
    # pipe
    try:
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
    except OSError as error:
        raise InputError(
            "shard cannot be opened", where=path, rule="be a file, no link", found=error.strerror
        ) from None
    with os.fdopen(descriptor, "rb") as file, _writing(copy), copy.open("wb") as target:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_SHARD:
            raise InputError(
                "no shard", where=path, rule=f"be a plain file of at most {LARGEST_SHARD} bytes"
            )
        shutil.copyfileobj(file, target, 2**20)


def _linked(*paths: Path) -> bool:
    """Return whether any of the paths is a link, or neither a plain file nor a folder."""
    return any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in paths)


@contextmanager
def _writing(copy: Path) -> Iterator[None]:
    """Report a full disk as OutputError; leave errors of reading the other store unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OutputError(
            f"shard cannot be copied: {error.strerror}",
            where=copy.parent,
            remedy="free space, or name another folder in TMPDIR",
        ) from error
