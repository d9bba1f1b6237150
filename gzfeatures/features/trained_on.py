"""TrainedOn: which galaxies a network was trained on, small enough to travel with every table."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, reading
from gzfeatures.galaxies.ids import Ids


def _hashes(ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    digests = b"".join(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedOn:
    """Set of galaxy ids, kept as the first 8 bytes of each id's sha256.

    Two different ids collide with probability 2⁻⁶⁴: of 10⁶ ids asked against 10⁶ trained on, one is taken for a
    member wrongly with probability 5e-8.

    Parameters
    ----------
    hashes : ndarray of uint64
        Shape (n,), strictly increasing.

    Raises
    ------
    InputError
        The hashes are not strictly increasing.
    """

    hashes: npt.NDArray[np.uint64]

    def __post_init__(self) -> None:
        if (self.hashes[1:] <= self.hashes[:-1]).any():
            raise InputError("hashes of training ids", rule="be strictly increasing")

    @classmethod
    def of(cls, ids: Iterable[str]) -> TrainedOn:
        """Set of these ids; order and repetition do not matter."""
        return cls(np.unique(_hashes(ids)))

    def __len__(self) -> int:
        return len(self.hashes)

    def contains(self, ids: Collection[str] | Ids) -> npt.NDArray[np.bool_]:
        """Which of `ids` were trained on, shape (n,)."""
        if not len(self.hashes):
            return np.zeros(len(ids), dtype=bool)
        hashes = _hashes(ids)
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.asarray(self.hashes[places] == hashes)

    def __or__(self, other: TrainedOn) -> TrainedOn:
        """Union of both sets."""
        return TrainedOn(np.union1d(self.hashes, other.hashes))

    @classmethod
    def joined(cls, records: Iterable[str | None]) -> TrainedOn:
        """Union of the sets that `encode` wrote; None stands for an empty one."""
        known = [cls.decode(text).hashes for text in records if text]
        return cls(np.unique(np.concatenate([_hashes([]), *known])))

    @property
    def fingerprint(self) -> str:
        """Sha256 (64 hex digits) of the set."""
        return fingerprint.of_bytes(self.hashes.astype(">u8").tobytes())

    def encode(self) -> str:
        """Base64 text, 11 characters per id, for JSON records."""
        return base64.b64encode(self.hashes.astype(">u8").tobytes()).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> TrainedOn:
        """Inverse of `encode`.

        Raises
        ------
        InputError
            `text` is not base64, not a multiple of 8 bytes, or not sorted.
        """
        with reading("record of training ids cannot be read", None):
            return cls(np.frombuffer(base64.b64decode(text, validate=True), dtype=">u8").astype(np.uint64))
