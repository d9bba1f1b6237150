"""Store which galaxies a network was trained on, by image file, picture hash and id."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, parsing
from gzfeatures.features.backbones import BACKBONES, packaged
from gzfeatures.features.hash_index import WORDS, HashIndex
from gzfeatures.files import written_whole
from gzfeatures.galaxies.splits.related_galaxies import linked
from gzfeatures.ids import Ids

if TYPE_CHECKING:
    from gzfeatures.images.image_set import ImageSet

Hashes: TypeAlias = npt.NDArray[np.uint64]
Pictures: TypeAlias = npt.NDArray[np.uint8]
"""Picture hashes, 64 bytes per picture: shape (n, 64)."""
DISTANCE = 26
"""Most bits of 256 in which two hashes of the same picture differ.

`experiments/benchmarks/picture_hashes.py` measures hits and errors of this limit."""
UNKNOWN = ""
"""Kind of a catalog about which nothing is known: a folder of images, or a label file."""
_HALF = 32
PACKED, PACKAGE = "trained_on.npz", "package:"


def _hashes(ids: Iterable[str]) -> Hashes:
    """Return the first 8 bytes of the sha256 of each id as whole numbers, shape (n,)."""
    digests = b"".join(
        hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in ids
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _files(digests: Iterable[object]) -> Hashes:
    """Return the first 8 bytes of sha256 digests as whole numbers; 0 for an unknown file."""
    # no training set contains the number 0 as hash of a file, so an image whose file is unknown
    # matches no training image
    texts = (str(digest) for digest in digests)
    return np.array(
        [int(text[:16], 16) if len(text) == 64 else 0 for text in texts], dtype=np.uint64
    )


def _distinct(words: Hashes) -> Hashes:
    """Return the distinct picture hashes of an array, shape (m, 4)."""
    return np.unique(words.reshape(-1, WORDS), axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedOn:
    """Hold the galaxies that a network was trained on, by ids, image files and picture hashes.

    An id identifies a galaxy only within its own catalog; another catalog may use the same number
    for another galaxy. Equal image files, or images that look alike, count in every catalog.

    Parameters
    ----------
    hashes : ndarray of uint64
        First 8 bytes of the sha256 of each id of a catalog of unknown kind, shape (n,), strictly
        increasing. Two different ids have the same hash with probability 2⁻⁶⁴: if 10⁶ ids are
        compared with 10⁶ training ids, any of them matches wrongly with probability 5e-8.
    of_kind : mapping of str to ndarray of uint64
        Kind of catalog (see `kinds.KINDS`) → hashes of its ids, made in the same way.
    files : ndarray of uint64
        First 8 bytes of the sha256 of each image file that is known, strictly increasing.
    pictures : ndarray of uint64
        Picture hashes of the middle of each image, shape (m, 4).

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
        """Make a set of the given galaxies; their order and repetitions do not matter.

        Parameters
        ----------
        ids : iterable of str
        kind : str
            Kind of the catalog that the ids come from.
        files : iterable of str
            Sha256 of image files, 64 hex digits; any other text stands for an unknown file.
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
        """Return the number of galaxy ids in this set."""
        return len(self.hashes) + sum(map(len, self.of_kind.values()))

    @classmethod
    def of_images(cls, images: ImageSet, *, others: ImageSet | None = None) -> TrainedOn:
        """Return the set of training galaxies that the images show; read and decode each image.

        Parameters
        ----------
        images : ImageSet
            Images of the training galaxies.
        others : ImageSet, optional
            Images of the other galaxies of the split (see `without_pictures_like`).
        """
        known = cls.of(
            images.ids, kind=images.kind, files=images.digests(), pictures=images.picture_hashes()
        )
        if others is None or not len(others):
            return known
        return known.without_pictures_like(others.picture_hashes())

    def without_pictures_like(self, pictures: Pictures) -> TrainedOn:
        """Return a copy of this training set without picture hashes similar to the given ones.

        The copy keeps all ids and all hashes of image files.

        If a training galaxy and a test galaxy look alike, the picture does not show which of them
        was trained on. (A split keeps galaxies with the same image file together; near duplicates
        only if the user wants it.)

        Parameters
        ----------
        pictures : ndarray of uint8
            Picture hashes of the galaxies outside of the training set, shape (n, 64).
        """
        halves = np.ascontiguousarray(pictures.reshape(-1, _HALF))
        words = halves[halves.any(1)].view(np.uint64)
        alike = HashIndex(words).near(self.pictures, DISTANCE)
        return dataclasses.replace(self, pictures=self.pictures[~alike])

    def among_images(self, images: ImageSet) -> npt.NDArray[np.bool_]:
        """Return which of n images show a galaxy of this training set, shape (n,)."""
        # reading an image takes much longer than comparing hashes, so compute only the hashes that
        # this set can be compared with
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
        """Return which of n galaxies are in this set, by same file, picture or id, shape (n,).

        Equal ids count if both catalogs are of one kind. They also count if the kind of a catalog
        is unknown and a picture hash is missing: a score then rather leaves out a galaxy too many
        than one too few. For catalogs of two different kinds, equal ids mean nothing.

        Parameters
        ----------
        ids : sequence of str
            Shape (n,).
        files : sequence of str, optional
            Sha256 of their image files.
        pictures : ndarray of uint8, optional
            Their picture hashes, shape (n, 64).
        kind : str
            Kind of the catalog that the ids come from.
        """
        met = np.zeros(len(ids), dtype=bool)
        if not len(ids):
            return met
        if files is not None and len(self.files):
            met |= _among(_files(files), self.files)
        unsure: npt.NDArray[np.bool_] = np.ones(len(ids), dtype=bool)
        if pictures is not None and len(self.pictures):
            halves = pictures.reshape(len(ids), 2, _HALF)
            unsure = np.asarray(~halves.any(axis=(1, 2)))
            # compare the hashes of the middle and of the whole image, because a picture may be a
            # crop of a training image
            for half in range(2):
                rows = np.flatnonzero(halves[:, half].any(1) & ~met)
                words = np.ascontiguousarray(halves[rows, half]).view(np.uint64)
                met[rows] = self._index.near(words, DISTANCE)
        names: Hashes | None = None
        for other, hashes in {UNKNOWN: self.hashes, **self.of_kind}.items():
            if not len(hashes) or not (other == kind or UNKNOWN in (other, kind)):
                continue
            # equal ids mean one galaxy if both catalogs are of one kind (such as Kaggle's); if a
            # kind is unknown, compare ids only where picture hashes are missing
            asked = ~met if other == kind else ~met & unsure
            names = _hashes(ids) if names is None else names
            np.logical_or(met, asked & _among(names, hashes), out=met)
        return met

    @cached_property
    def _index(self) -> HashIndex:
        """Return a search index of the picture hashes of the training galaxies."""
        return HashIndex(self.pictures)

    def __or__(self, other: TrainedOn) -> TrainedOn:
        """Return the union of two sets of training galaxies."""
        return _union([self, other])

    @classmethod
    def joined(cls, records: Iterable[str | None]) -> TrainedOn:
        """Return the union of sets of galaxies that `encode` wrote as text; None adds nothing."""
        sets = [cls.decode(text) for text in dict.fromkeys(records) if text]
        return sets[0] if len(sets) == 1 else _union([cls.of([]), *sets])

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of this set of galaxies, 64 hexadecimal digits."""
        return fingerprint.of_bytes(self.encode().encode("ascii"))

    def encode(self) -> str:
        """Return this set of training galaxies as text, which `decode` can read.

        If the set has only ids from catalogs of unknown kind, the text is base64 of their hashes;
        otherwise the text is JSON with the hashes of ids, image files and pictures.
        """
        # the first version of gzfeatures stored only ids: write a set that has only ids of unknown
        # kind in that format, so that its fingerprint stays the same
        if not (self.of_kind or len(self.files) or len(self.pictures)):
            return _text(self.hashes)
        record: dict[str, Any] = {"ids": {UNKNOWN: self.hashes, **self.of_kind}}
        record["ids"] = {
            kind: _text(hashes) for kind, hashes in sorted(record["ids"].items()) if len(hashes)
        }
        return json.dumps(record | {"files": _text(self.files), "pictures": _text(self.pictures)})

    @classmethod
    def decode(cls, text: str) -> TrainedOn:
        """Return the set of training galaxies from a text that `encode` or `pack` returned.

        Raises
        ------
        InputError
            `text` is not base64, not a multiple of 8 bytes, or not sorted; or it names training
            galaxies of a backbone that this version of gzfeatures does not have.
        """
        return _decoded(text)

    @classmethod
    def _decode(cls, text: str) -> TrainedOn:
        """Return the training galaxies that a text stores; decode the text at each call."""
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
        """Write this training set as a file into a packaged backbone's folder.

        Return a text with the folder's name and the file's sha256, from which `decode` finds the
        file.

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
        """Return the training galaxies of a packaged backbone; refuse a changed record of them."""
        path = packaged(name) / PACKED
        # this name was read from a file and may be hostile, so only names of known backbones may
        # become a path
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
    """Return the training galaxies that a text stores; remember the results of 16 texts."""
    return TrainedOn._decode(text)


def _union(sets: Sequence[TrainedOn]) -> TrainedOn:
    """Return the union of sets of training galaxies; keep ids of different catalog kinds apart."""
    names_of: dict[str, list[Hashes]] = {}
    for record in sets:
        for kind, hashes in record.of_kind.items():
            names_of.setdefault(kind, []).append(hashes)
    names = {kind: np.unique(np.concatenate(parts)) for kind, parts in names_of.items()}
    ids = np.concatenate([record.hashes for record in sets])
    files = np.concatenate([record.files for record in sets])
    pictures = np.concatenate([record.pictures for record in sets])
    return TrainedOn(np.unique(ids), names, np.unique(files), _distinct(pictures))


def _middle(pictures: Pictures | None) -> Hashes:
    """Return the hash of the middle part of each picture, as four integers; shape (n, 4)."""
    if pictures is None or not len(pictures):
        return np.empty((0, WORDS), dtype=np.uint64)
    return np.ascontiguousarray(pictures[:, :_HALF]).view(np.uint64)


def _among(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Return which hashes are in a sorted array of hashes, shape (n,)."""
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.asarray(known[places] == hashes)


def _text(hashes: Hashes) -> str:
    """Return hashes as base64 text of big-endian bytes, which is the same on every machine."""
    return base64.b64encode(hashes.astype(">u8").tobytes()).decode("ascii")


def _numbers(text: str) -> Hashes:
    """Return hashes as whole numbers from their base64 text."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=">u8").astype(np.uint64)


def picture_groups(ids: Ids, pictures: Pictures) -> dict[str, str]:
    """Return, by galaxy id, the smallest id among galaxies whose pictures look alike.

    Parameters
    ----------
    ids : Ids
        Shape (n,).
    pictures : ndarray of uint8
        Their picture hashes, shape (n, 64); a row of zeros resembles no other.
    """
    words = _middle(pictures)
    rows = np.flatnonzero(words.any(1))
    index = HashIndex(words[rows])
    left, right = index.pairs(DISTANCE)
    return linked(ids, rows[left], rows[right])
