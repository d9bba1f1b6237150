"""Compute sha256 digests of the content of data and files; names of files do not matter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def canonical_json(value: Any) -> str:
    """Return a value as JSON with sorted keys and no spaces; refuse NaN.

    Raises
    ------
    ValueError
        `value` contains NaN or an infinity.
    TypeError
        `value` contains an object that JSON cannot represent.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def of(value: Any) -> str:
    """Return the sha256 (64 hex digits) of a value, computed from its JSON with sorted keys."""
    return of_bytes(canonical_json(value).encode())


def of_bytes(data: bytes) -> str:
    """Return the sha256 (64 hex digits) of bytes."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Return the sha256 (64 hex digits) of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_array(array: npt.NDArray[Any]) -> str:
    """Return the sha256 (64 hex digits) of an array's dtype, shape and C-ordered bytes.

    NaN is hashed by its bytes, so that equal arrays with NaN have equal digests.
    """
    # import numpy late, because it would slow down every call of --help
    import numpy as np

    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def of_ids(ids: Iterable[str]) -> str:
    """Return the sha256 (64 hex digits) of a set of galaxy ids; their order does not matter.

    The length of each id is hashed too, so that the ids 1, 23 and the ids 12, 3 differ.
    """
    digest = hashlib.sha256()
    for name in sorted(ids):
        data = name.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
