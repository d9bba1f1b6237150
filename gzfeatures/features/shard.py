"""Read and write shards: files of image sha256 and embeddings, named by the file's own sha256.

Arrow IPC with the columns `image_sha256: fixed_size_binary[32]` and `embedding:
fixed_size_list<float>[dim]` (or `halffloat`), memory mapped when read. The name is the checksum, so
a damaged file gives itself away, two writers never touch the same file unless they write the same
bytes, and nothing else need be kept beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.files import written_whole

SUFFIX, DAMAGED = ".arrow", ".damaged"
Keys: TypeAlias = npt.NDArray[np.void]
"""Image digests, dtype V32, shape (n,); they sort and compare as 32 raw bytes."""
Matrix: TypeAlias = npt.NDArray[np.float32]
LARGEST = 65_504.0
"""Largest number of half precision."""


def as_keys(digests: npt.NDArray[np.object_] | list[str]) -> Keys:
    """Return hexadecimal sha256 digests of images as 32-byte keys, shape (n,).

    Examples
    --------
    >>> as_keys(["00" * 32, "ff" * 32]).shape
    (2,)
    """
    return np.array(bytearray.fromhex("".join(digests)), dtype=np.uint8).view("V32")


def as_stored(matrix: Matrix, precision: str) -> npt.NDArray[Any]:
    """Return vectors (n, dim) rounded to the precision in which a file keeps them.

    Numbers of half precision have 11 bits (IEEE 754-2019, binary16): they are rounded to the
    nearest, by at most 2⁻¹¹ of their size, and below 6e-5 by at most 3e-8.

    Parameters
    ----------
    matrix : ndarray of float32
        Shape (n, dim).
    precision : {"float32", "float16"}
        Precision of the numbers in the file.

    Raises
    ------
    InputError
        A number is larger than half precision can hold.

    Examples
    --------
    >>> as_stored(np.array([[1 / 3]], dtype=np.float32), "float16")
    array([[0.3333]], dtype=float16)
    """
    whole = np.ascontiguousarray(matrix, dtype=np.float32)
    if precision == "float32":
        return whole
    most = float(np.abs(whole).max(initial=0))
    if most > LARGEST:
        raise InputError(
            "number of an embedding is too large for half precision",
            rule=f"be at most {LARGEST:,.0f}",
            found=f"{most:,.0f}",
            remedy="keep this extractor's vectors with --store-precision float32",
        )
    return whole.astype(np.float16)


def write(folder: Path, keys: Keys, matrix: Matrix, precision: str = "float32") -> Path:
    """Write embeddings and the sha256 of their images as one file, completely or not at all.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    columns = {
        "image_sha256": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(keys), [None, pa.py_buffer(keys)]
        ),
        "embedding": pa.FixedSizeListArray.from_arrays(
            pa.array(as_stored(matrix, precision).reshape(-1)), matrix.shape[1]
        ),
    }
    table = pa.table(columns)
    # the file's name contains the sha256 of its content, so compute it before writing the file
    digest = _Digest()
    _stream(table, pa.PythonFile(digest, "w"))
    path = folder / (digest.sha256.hexdigest() + SUFFIX)
    with written_whole(path) as temporary:
        _stream(table, str(temporary))
    return path


class _Digest(io.RawIOBase):
    """Compute the sha256 of data written to this file object, without storing the data."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return len(data)


def _stream(table: pa.Table, sink: pa.NativeFile | str) -> None:
    """Write an Arrow table to a file in Arrow's IPC format."""
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read(path: Path, dim: int) -> tuple[Keys, Matrix]:
    """Return image sha256 (n,) and memory-mapped vectors (n, dim) of an embedding file, unverified.

    Raises
    ------
    InputError
        Not a shard, or its vectors have another length.
    FileNotFoundError
        Another process merged this file into a larger one, or removed it, meanwhile.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all()
            # Arrow ends the whole process if an array claims more rows than it has, so check before
            # use
            table.validate()
            table = table.combine_chunks()
            keys, vectors = (table[name].chunk(0) for name in ("image_sha256", "embedding"))
            values = vectors.flatten().to_numpy(zero_copy_only=True).reshape(len(keys), dim)
            return np.frombuffer(keys.buffers()[1], dtype="V32", count=len(keys)).copy(), values
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, IndexError, ValueError, AttributeError) as error:
        raise InputError("store shard cannot be read", where=path, found=str(error)) from None


def intact(path: Path) -> bool:
    """Return whether an embedding file is undamaged: the sha256 of its content is its name."""
    return fingerprint.of_file(path) == path.stem


def set_aside(path: Path) -> None:
    """Rename a damaged shard (file of embeddings), so that no process reads it again."""
    # another process may have renamed the damaged file already
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_suffix(DAMAGED))
