"""Parcels: the several files or arrays of one galaxy as one run of bytes, the same bytes for the same content."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError


def npy(array: npt.NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def packed(parts: Mapping[str, bytes]) -> bytes:
    """Named parts as the bytes of an uncompressed zip file (of a .npz, when the parts are .npy), sorted by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name in sorted(parts):
            target.writestr(zipfile.ZipInfo(name), parts[name])
    return file.getvalue()


def unpacked(data: bytes, *, where: object, max_bytes: int) -> dict[str, bytes]:
    """Parts of a zip file by name; `max_bytes` bounds their sum, judged before they are unpacked.

    Raises
    ------
    InputError
        The file is damaged, encrypted or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            members = source.infolist()
            size = sum(member.file_size for member in members)
            if size > max_bytes:
                raise InputError(
                    "image is too large to unpack", where=where, rule=f"hold ≤ {max_bytes:,} B", found=size
                )
            return {member.filename: source.read(member) for member in members}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("image file is damaged", where=where, found=str(error)) from error


def array(data: bytes, *, where: object, max_bytes: int) -> npt.NDArray[Any]:
    """The array of a .npy file; its shape is judged before it is read, pickled objects are refused.

    Raises
    ------
    InputError
        The file is truncated, damaged, too large, or holds objects.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = header(file)
        size = int(np.prod(shape, dtype=object)) * kind.itemsize
        if kind.hasobject or size > max_bytes:
            raise InputError("array cannot be read", where=where, rule=f"hold numbers, ≤ {max_bytes:,} B", found=shape)
        if size > len(data) - file.tell():
            raise InputError("array is truncated", where=where, rule=f"hold {size} B", found=len(data) - file.tell())
        file.seek(0)
        result: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, TypeError, SyntaxError, OverflowError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("array is damaged", where=where, found=str(error)) from error
    return result
