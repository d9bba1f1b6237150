"""Pack the files or arrays of one galaxy into bytes; the same content gives the same bytes."""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, parsing

MAX_HEADER = 10_000
"""Most bytes of a .npy header that are parsed."""


def npy(array: npt.NDArray[Any]) -> bytes:
    """Return an array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def bundle(parts: Mapping[str, bytes]) -> bytes:
    """Return named files as the bytes of an uncompressed zip file, sorted by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name in sorted(parts):
            target.writestr(zipfile.ZipInfo(name), parts[name])
    return file.getvalue()


def unpacked(data: bytes, *, where: object, max_bytes: int) -> dict[str, bytes]:
    """Return the files in a zip file by name; refuse it if their total size is too large.

    Raises
    ------
    InputError
        The file is damaged, encrypted or too large.
    """
    with parsing("image file is damaged", where), zipfile.ZipFile(io.BytesIO(data)) as source:
        members = source.infolist()
        size = sum(member.file_size for member in members)
        if size > max_bytes:
            raise InputError(
                "image is too large to unpack",
                where=where,
                rule=f"hold ≤ {max_bytes:,} B",
                found=size,
            )
        return {member.filename: source.read(member) for member in members}


def array(data: bytes, *, where: object, max_bytes: int) -> npt.NDArray[Any]:
    """Return the array that the bytes of a .npy file contain, read-only.

    The shape is checked before the values are read; pickled objects are refused.

    The header is parsed here (numpy.lib.format, versions 1 to 3), because numpy would try to repair
    a damaged header, with a warning.

    Raises
    ------
    InputError
        The file is truncated, damaged, too large, or holds objects.
    """
    with parsing("array is damaged", where):
        width, form = (2, "<H") if data[6] == 1 else (4, "<I")
        start = 8 + width
        end = start + struct.unpack(form, data[8:start])[0]
        if not start < end <= start + MAX_HEADER:
            raise InputError(
                "array is damaged", where=where, found=f"header of {end - start} bytes"
            )
        fields = ast.literal_eval(data[start:end].decode("utf-8").strip())
        kind, shape = np.dtype(fields["descr"]), tuple(int(side) for side in fields["shape"])
        if kind.hasobject or min(shape, default=0) < 0:
            raise InputError("array is damaged", where=where, found=f"{kind} of shape {shape}")
    size = math.prod(shape) * kind.itemsize
    if size > max_bytes:
        raise InputError(
            "array is too large to read",
            where=where,
            rule=f"hold at most {max_bytes:,} B",
            found=shape,
        )
    if size > len(data) - end:
        raise InputError(
            "array is truncated", where=where, rule=f"hold {size} B", found=len(data) - end
        )
    flat: npt.NDArray[Any] = np.frombuffer(data, kind, math.prod(shape), end)
    return flat.reshape(shape[::-1]).T if fields.get("fortran_order") else flat.reshape(shape)
