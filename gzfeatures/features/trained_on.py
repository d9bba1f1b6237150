"""TrainedOn: which galaxies a network was trained on, by picture, file and id, small enough to travel with it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, parsing
from gzfeatures.features.backbones import BACKBONES, packaged
from gzfeatures.features.hash_index import WORDS, HashIndex
from gzfeatures.files import written_whole
from gzfeatures.galaxies.splits.groups import linked
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet

Hashes: TypeAlias = npt.NDArray[np.uint64]
Pictures: TypeAlias = npt.NDArray[np.uint8]
"""Picture hashes (see `images.picturehash`), 64 bytes each: shape (n, 64)."""
DISTANCE = 26
"""Bits of 256 up to which two picture hashes are of one picture; `experiments/benchmarks/picture_hashes.py` measures
what that finds and what it mistakes."""
UNKNOWN = ""
"""Kind of a catalog of which nothing is known: a folder of images, a labels file."""
_HALF = 32
PACKED, PACKAGE = "trained_on.npz", "package:"


def _hashes(ids: Iterable[str]) -> Hashes:
    digests = b"".join(
        hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in ids
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _files(digests: Iterable[object]) -> Hashes:
    """First 8 bytes of sha256 digests in hex; 0 for a file that is not known, which no record holds."""
    texts = (str(digest) for digest in digests)
    return np.array(
        [int(text[:16], 16) if len(text) == 64 else 0 for text in texts], dtype=np.uint64
    )


def _distinct(words: Hashes) -> Hashes:
    return np.unique(words.reshape(-1, WORDS), axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedOn:
    """Set of galaxies: the ids they had, the files that showed them, and how their pictures look.

    An id says who a galaxy is among those of its own catalog only; another catalog may give the
    number to another galaxy. A file that is byte for byte the same, and a picture that looks the
    same, say so everywhere.

    Parameters
    ----------
    hashes : ndarray of uint64
        First 8 bytes of the sha256 of each id of a catalog of unknown kind, shape (n,), strictly
        increasing. Two different ids collide with probability 2⁻⁶⁴: of 10⁶ ids asked against 10⁶
        trained on, one is taken for a member wrongly with probability 5e-8.
    of_kind : mapping of str to ndarray of uint64
        Kind of catalog (see `kinds.KINDS`) → the same of its ids.
    files : ndarray of uint64
        First 8 bytes of the sha256 of each image file that is known, strictly increasing.
    pictures : ndarray of uint64
        Picture hashes of the middle of each frame, shape (m, 4).

    Raises
    ------
    InputError
        The hashes are not strictly increasing.

    Examples
    --------
    >>> TrainedOn.of(["1", "2"], kind="kaggle").contains(["1", "3"], kind="kaggle").tolist()
    [True, False]
    """

    hashes: Hashes
    of_kind: Mapping[str, Hashes] = dataclasses.field(default_factory=dict)
    files: Hashes = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    pictures: Hashes = dataclasses.field(
        default_factory=lambda: np.empty((0, WORDS), dtype=np.uint64)
    )

    def __post_init__(self) -> None:
        for hashes in (self.hashes, self.files, *self.of_kind.values()):
            if (hashes[1:] <= hashes[:-1]).any():
                raise InputError("hashes of training ids", rule="be strictly increasing")

    @classmethod
    def of(
        cls,
        ids: Iterable[str],
        *,
        kind: str = UNKNOWN,
        files: Iterable[object] = (),
        pictures: Pictures | None = None,
    ) -> TrainedOn:
        """Set of these galaxies; order and repetition do not matter.

        Parameters
        ----------
        ids : iterable of str
        kind : str
            Of the catalog that the ids come from.
        files : iterable of str
            Sha256 of image files, 64 hex digits; anything else stands for a file that is not known.
        pictures : ndarray of uint8, optional
            Picture hashes, shape (m, 64); those that are all zero stand for none.
        """
        known = np.unique(_hashes(ids))
        none = known[:0]
        shown = _middle(pictures)
        names = {kind: known} if kind else {}
        return cls(
            none if kind else known,
            names,
            np.setdiff1d(_files(files), [0]),
            _distinct(shown[shown.any(1)]),
        )

    def __len__(self) -> int:
        """How many ids."""
        return len(self.hashes) + sum(map(len, self.of_kind.values()))

    @classmethod
    def of_images(cls, images: ImageSet, *, others: ImageSet | None = None) -> TrainedOn:
        """Set of the galaxies that some images show; every image is read and decoded.

        Parameters
        ----------
        images : ImageSet
            Of the galaxies trained on.
        others : ImageSet, optional
            Of galaxies on the other sides of the split (see `without_pictures_like`).
        """
        known = cls.of(
            images.ids, kind=images.kind, files=images.digests(), pictures=images.picture_hashes()
        )
        if others is None or not len(others):
            return known
        return known.without_pictures_like(others.picture_hashes())

    def without_pictures_like(self, pictures: Pictures) -> TrainedOn:
        """The set without the pictures that look like some others; ids and files stay.

        A split keeps together what is one file, and near duplicates where that is asked for. Where
        galaxies that look alike stand on two sides of it, the picture cannot say which of them was
        trained on.

        Parameters
        ----------
        pictures : ndarray of uint8
            Picture hashes of the galaxies on the other sides, shape (n, 64).
        """
        halves = np.ascontiguousarray(pictures.reshape(-1, _HALF))
        words = halves[halves.any(1)].view(np.uint64)
        alike = HashIndex(words).near(self.pictures, DISTANCE)
        return dataclasses.replace(self, pictures=self.pictures[~alike])

    def among_images(self, images: ImageSet) -> npt.NDArray[np.bool_]:
        """Which galaxies, of some images, were trained on, shape (n,); images are read as far as that is needed."""
        if not (len(self) or len(self.files) or len(self.pictures)):
            return np.zeros(len(images), dtype=bool)
        files = images.digests() if len(self.files) else None
        pictures = images.picture_hashes() if len(self.pictures) else None
        return self.contains(images.ids, files=files, pictures=pictures, kind=images.kind)

    def contains(
        self,
        ids: Collection[str] | Ids,
        *,
        files: Sequence[object] | npt.NDArray[np.object_] | None = None,
        pictures: Pictures | None = None,
        kind: str = UNKNOWN,
    ) -> npt.NDArray[np.bool_]:
        """Which galaxies were trained on, shape (n,): the same file, the same picture, or the same id.

        Ids count where both catalogs are of one kind. They also count where a catalog is of unknown
        kind and the picture cannot decide, because a hash is missing here or there: a galaxy too
        many is left out of a score then, rather than one too few. Where the kinds are known to
        differ, ids say nothing.

        Parameters
        ----------
        ids : sequence of str
            Shape (n,).
        files : sequence of str, optional
            Sha256 of their image files.
        pictures : ndarray of uint8, optional
            Their picture hashes, shape (n, 64).
        kind : str
            Of the catalog that the ids come from.
        """
        met = np.zeros(len(ids), dtype=bool)
        if not len(ids):
            return met
        if files is not None and len(self.files):
            met |= _among(_files(files), self.files)
        unsure: npt.NDArray[np.bool_] = np.ones(len(ids), dtype=bool)
        if pictures is not None and len(self.pictures):
            told = pictures.reshape(len(ids), 2, _HALF)
            unsure = np.asarray(~told.any(axis=(1, 2)))
            for half in range(2):  # the middle of the frame, or a picture that is such a middle
                rows = np.flatnonzero(told[:, half].any(1) & ~met)
                words = np.ascontiguousarray(told[rows, half]).view(np.uint64)
                met[rows] = self._index.near(words, DISTANCE)
        names: Hashes | None = None
        for other, hashes in {UNKNOWN: self.hashes, **self.of_kind}.items():
            if not len(hashes) or not (other == kind or UNKNOWN in (other, kind)):
                continue
            asked = ~met if other == kind else ~met & unsure
            names = _hashes(ids) if names is None else names
            np.logical_or(met, asked & _among(names, hashes), out=met)
        return met

    @cached_property
    def _index(self) -> HashIndex:
        return HashIndex(self.pictures)

    def __or__(self, other: TrainedOn) -> TrainedOn:
        """Union of both sets."""
        return _union([self, other])

    @classmethod
    def joined(cls, records: Iterable[str | None]) -> TrainedOn:
        """Union of the sets that `encode` wrote; None stands for an empty one."""
        sets = [cls.decode(text) for text in dict.fromkeys(records) if text]
        return sets[0] if len(sets) == 1 else _union([cls.of([]), *sets])

    @property
    def fingerprint(self) -> str:
        """Sha256 (64 hex digits) of the set."""
        return fingerprint.of_bytes(self.encode().encode("ascii"))

    def encode(self) -> str:
        """Text for JSON records: base64 of ids alone, 11 characters each, or a JSON object of all that is known."""
        if not (self.of_kind or len(self.files) or len(self.pictures)):
            return _text(self.hashes)
        record: dict[str, Any] = {"ids": {UNKNOWN: self.hashes, **self.of_kind}}
        record["ids"] = {
            kind: _text(hashes) for kind, hashes in sorted(record["ids"].items()) if len(hashes)
        }
        return json.dumps(record | {"files": _text(self.files), "pictures": _text(self.pictures)})

    @classmethod
    def decode(cls, text: str) -> TrainedOn:
        """Inverse of `encode`, and of `pack`.

        Raises
        ------
        InputError
            `text` is not base64, not a multiple of 8 bytes, or not sorted; or it names a record
            that this version of the package does not have.
        """
        return _decoded(text)

    @classmethod
    def _decode(cls, text: str) -> TrainedOn:
        with parsing("record of training ids cannot be read", None):
            if text.startswith(PACKAGE):
                return cls._unpacked(*text.removeprefix(PACKAGE).split(":"))
            if not text.startswith("{"):
                return cls(_numbers(text))
            record = json.loads(text)
            names = {str(kind): _numbers(hashes) for kind, hashes in record["ids"].items()}
            pictures = _numbers(record["pictures"]).reshape(-1, WORDS)
            return cls(names.pop(UNKNOWN, _hashes([])), names, _numbers(record["files"]), pictures)

    def pack(self, folder: Path) -> str:
        """Write the set into a checkpoint folder of the package; the text that stands for it in JSON records.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        names = {
            f"ids {kind}": hashes for kind, hashes in {UNKNOWN: self.hashes, **self.of_kind}.items()
        }
        with written_whole(folder / PACKED) as temporary:
            np.savez(
                temporary, allow_pickle=False, files=self.files, pictures=self.pictures, **names
            )
        return f"{PACKAGE}{folder.name}:{fingerprint.of_file(folder / PACKED)}"

    @classmethod
    def _unpacked(cls, name: str, digest: str) -> TrainedOn:
        path = packaged(name) / PACKED
        if name not in BACKBONES or not path.exists() or fingerprint.of_file(path) != digest:
            raise InputError(
                "record of training galaxies is not that of this version of gzfeatures",
                where=path,
                found=f"{name}, sha256 {digest[:12]}",
                remedy="use the version that made the table, head or checkpoint, or make it again",
            )
        with np.load(path, allow_pickle=False) as arrays:
            names = {
                key.removeprefix("ids "): arrays[key]
                for key in arrays.files
                if key.startswith("ids ")
            }
            return cls(names.pop(UNKNOWN, _hashes([])), names, arrays["files"], arrays["pictures"])


@lru_cache(maxsize=16)
def _decoded(text: str) -> TrainedOn:
    """Sets are asked again for every batch of a table, and their index takes a while to make."""
    return TrainedOn._decode(text)


def _union(sets: Sequence[TrainedOn]) -> TrainedOn:
    kinds = {kind for one in sets for kind in one.of_kind}
    names = {
        kind: np.unique(np.concatenate([one.of_kind[kind] for one in sets if kind in one.of_kind]))
        for kind in kinds
    }
    hashes, files, pictures = (
        np.concatenate([getattr(one, name) for one in sets])
        for name in ("hashes", "files", "pictures")
    )
    return TrainedOn(np.unique(hashes), names, np.unique(files), _distinct(pictures))


def _middle(pictures: Pictures | None) -> Hashes:
    """Hashes of the middle of each frame, shape (n, 4)."""
    if pictures is None or not len(pictures):
        return np.empty((0, WORDS), dtype=np.uint64)
    return np.ascontiguousarray(pictures[:, :_HALF]).view(np.uint64)


def _among(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.asarray(known[places] == hashes)


def _text(hashes: Hashes) -> str:
    return base64.b64encode(hashes.astype(">u8").tobytes()).decode("ascii")


def _numbers(text: str) -> Hashes:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=">u8").astype(np.uint64)


def picture_groups(ids: Ids, pictures: Pictures) -> dict[str, str]:
    """Id → smallest id of its group, of galaxies whose pictures look alike, chains of them together.

    Parameters
    ----------
    ids : Ids
        Shape (n,).
    pictures : ndarray of uint8
        Their picture hashes, shape (n, 64); rows of zeros are alike to none.
    """
    words = _middle(pictures)
    rows = np.flatnonzero(words.any(1))
    index = HashIndex(words[rows])
    left, right = index.pairs(DISTANCE)
    return linked(ids, rows[left], rows[right])
