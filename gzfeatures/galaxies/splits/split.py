"""Split galaxies into train, validation and test, with each group of galaxies in one part."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import brief, fingerprint
from gzfeatures.errors import InputError, LeakError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.related_galaxies import known_groups, merge
from gzfeatures.ids import Ids, among, require_unique

PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """List galaxies to train on (train), to choose models by (validation), and to test on (test).

    Parameters
    ----------
    train, validation, test : Ids
        No galaxy is in two parts; only `train` must not be empty.
    groups : mapping of str to str
        Id → group, for galaxies that belong together (same galaxy twice, copies, neighbours on the
        sky). A galaxy that is not in the mapping, or whose group is missing (None, NaN or blank),
        forms a group alone.

    Raises
    ------
    LeakError
        An id or a group is in two parts.
    InputError
        An id repeats within a part, or train is empty.
    """

    train: Ids
    validation: Ids
    test: Ids
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.train):
            raise InputError("split has no training galaxies", rule="have at least one")
        # galaxies whose group is missing are unrelated: the missing value is no common group
        object.__setattr__(self, "groups", known_groups(self.groups))
        names, parts = [], []
        for code, part in enumerate(PARTS):
            ids: Ids = getattr(self, part)
            require_unique(ids, where=f"split {part}")
            names.append(ids)
            parts.append(np.full(len(ids), code))
        ids, part_of = np.concatenate(names), np.concatenate(parts)
        # a galaxy without a group counts as a group of its own, so that an id in two parts of the
        # split is found too
        group = group_codes(ids, self.groups)
        first = np.full(len(ids), len(PARTS))
        np.minimum.at(first, group, part_of)
        leaks = first[group] != part_of
        if leaks.any():
            row = int(np.argmax(leaks))
            raise LeakError(
                "galaxy or its group stands on two sides of the split",
                where=f"{PARTS[first[group[row]]]} and {PARTS[part_of[row]]}",
                found=str(ids[row]),
                remedy="draw the split by group",
            )

    def __repr__(self) -> str:
        """Return one line of text with the number of galaxies in each part of the split."""
        return brief.line("Split", *(f"{len(getattr(self, part)):,} {part}" for part in PARTS))

    def _repr_html_(self) -> str:
        """Return the size and share of each part of the split in HTML for a notebook."""
        total = len(self.ids)
        sizes = {part: len(getattr(self, part)) for part in PARTS}
        facts: dict[str, object] = {
            part: f"{size:,} ({size / total:.0%})" for part, size in sizes.items()
        }
        return brief.html(repr(self), facts | {"groups": len(set(self.groups.values())) or None})

    def to_series(self) -> pd.Series[Any]:
        """Return the part of each galaxy, `train`, `validation` or `test`, by galaxy id.

        Examples
        --------
        >>> one, two = np.array(["1"], dtype=object), np.array(["2"], dtype=object)
        >>> Split(one, one[:0], two).to_series().to_dict()
        {'1': 'train', '2': 'test'}
        """
        parts = np.repeat(PARTS, [len(getattr(self, part)) for part in PARTS])
        return pd.Series(parts, index=pd.Index(self.ids, name="galaxy_id"), name="split")

    @classmethod
    def draw(
        cls,
        labels: Labels,
        sizes: Sequence[float] = (0.7, 0.1, 0.2),
        *,
        groups: Mapping[str, str] | None = None,
        only_train: Ids | None = None,
        kept: Split | None = None,
        seed: int = 0,
    ) -> Split:
        """Draw a split with the same class shares in each part, or extend an earlier split.

        Parameters
        ----------
        labels : Labels
            Galaxies to split; each part gets the same share of every class, or of every quantile
            bin of a number.
        sizes : three floats
            Shares of train, validation and test; they sum to 1.
        groups : mapping of str to str, optional
            Id → group; a group is kept together.
        only_train : Ids, optional
            Galaxies that must not be tested on, such as those a backbone was trained on; they and
            their groups go to train. The shares are then met as nearly as the remaining galaxies
            allow.
        kept : Split, optional
            Split of an earlier draw, perhaps with fewer galaxies: its galaxies and groups keep
            their parts. New groups are drawn among themselves; a group with galaxies in two parts
            of the earlier split goes to test.
        seed : int
            The same labels, groups and seed give the same split, in any order of rows and classes.

        Returns
        -------
        Split
            Split of the labelled galaxies and of those of `kept`.
        """
        shares = np.asarray(sizes, dtype=float)
        if shares.shape != (3,) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
            raise InputError("split sizes", rule="be three shares that sum to 1", found=list(sizes))
        groups = groups or {} if kept is None else merge(groups or {}, kept.groups)
        # sort the ids, so that the order of rows in the file does not change the split
        ids = np.sort(labels.ids if kept is None else np.union1d(labels.ids, kept.ids))
        codes = _strata(labels, ids)
        group = group_codes(ids, groups)
        part = np.full(len(ids), -1) if kept is None else kept.sides(ids, group)
        free = part < 0
        # galaxies that must train (`only_train`) bring their group into train, except groups that
        # the earlier split placed
        tied = among(ids, () if only_train is None else only_train)
        part[np.isin(group, group[tied]) & free] = 0
        # count only new galaxies: then the wanted shares hold for the new galaxies alone, whatever
        # shares the earlier split had
        have = np.zeros((max(codes, default=0) + 1, 3), dtype=np.int64)
        np.add.at(have[:, 0], codes[free & (part == 0)], 1)
        random = np.random.default_rng(seed)
        _place_groups(part, group, codes, have, shares, random)
        # place galaxies without a group last: they can even out the class shares that groups
        # disturb
        for code in np.unique(codes):
            rows = random.permutation(np.flatnonzero((codes == code) & (part < 0)))
            numbers = _apportion(shares, have[code], len(rows))
            part[rows] = np.repeat(np.arange(3), numbers)
        return cls._of_parts(ids, part, groups)

    @classmethod
    def by_digest(
        cls,
        ids: Ids,
        *,
        test: Sequence[int],
        validation: Sequence[int] = (),
        of: int = 10,
        groups: Mapping[str, str] | None = None,
    ) -> Split:
        """Split by the sha256 of each galaxy id: a galaxy has the same part in every catalog.

        Parameters
        ----------
        ids : Ids
            Galaxies to split.
        test, validation : sequence of int
            Remainders (see `digest_remainders`) of test and of validation galaxies; galaxies with
            other remainders go to train.
        of : int
            Divisor of the remainders.
        groups : mapping of str to str, optional
            Id → group. A group goes as a whole to test if one of its galaxies has a test remainder,
            otherwise to validation if one has a validation remainder, otherwise to train.
        """
        groups = groups or {}
        remainders = digest_remainders(ids, of)
        part = np.where(
            np.isin(remainders, test), 2, np.where(np.isin(remainders, validation), 1, 0)
        )
        group = group_codes(ids, groups)
        last = np.zeros(len(ids), dtype=part.dtype)
        np.maximum.at(last, group, part)
        return cls._of_parts(ids, last[group], groups)

    @classmethod
    def _of_parts(cls, ids: Ids, part: npt.NDArray[np.int64], groups: Mapping[str, str]) -> Split:
        """Return a split from galaxies and their part numbers: 0 train, 1 validation, 2 test."""
        train, validation, test = (ids[part == number] for number in range(3))
        return cls(train, validation, test, {name: groups[name] for name in ids if name in groups})

    def sides(self, ids: Ids, group: npt.NDArray[np.intp] | None = None) -> npt.NDArray[np.int64]:
        """Return each galaxy's part as a number; −1 for galaxies outside the split; shape (n,).

        Parameters
        ----------
        ids : Ids
            Shape (n,).
        group : ndarray of int, optional
            Number of each galaxy's group, below n: a galaxy outside the split gets the part of its
            group; all galaxies of a group that is in two parts get test.
        """
        index = pd.Index(self.ids, dtype=object).get_indexer(pd.Index(ids, dtype=object))
        codes = np.repeat(np.arange(3), [len(self.train), len(self.validation), len(self.test)])
        side = np.where(index >= 0, codes[index], -1)
        if group is None:
            return side
        placed = side >= 0
        first, last = np.full(len(ids), len(PARTS)), np.full(len(ids), -1)
        np.minimum.at(first, group[placed], side[placed])
        np.maximum.at(last, group[placed], side[placed])
        return np.where(last > first, 2, last)[group]

    def among(self, ids: Ids) -> Split:
        """Return the split restricted to these galaxies, in the order of the whole split.

        Parameters
        ----------
        ids : array of str
            Shape (m,).
        """
        parts = [part[among(part, ids)] for part in (self.train, self.validation, self.test)]
        return Split(parts[0], parts[1], parts[2], self.groups)

    @property
    def ids(self) -> Ids:
        """Return the ids of all galaxies of the split: train, then validation, then test."""
        return np.concatenate([self.train, self.validation, self.test])

    @cached_property
    def fingerprint(self) -> str:
        """Return a sha256 of the train, validation and test ids; equal for equal splits."""
        return fingerprint.of([fingerprint.of_ids(getattr(self, part)) for part in PARTS])


def digest_remainders(ids: Ids, of: int) -> npt.NDArray[np.int64]:
    """Return each galaxy id's sha256, read as an integer, modulo `of`; shape (n,)."""
    return np.asarray(
        [int(hashlib.sha256(name.encode()).hexdigest(), 16) % of for name in ids], dtype=np.int64
    )


def shares(text: str) -> tuple[float, float, float]:
    """Return the shares of train, validation and test from a text such as "70/10/20".

    Raises
    ------
    InputError
        The text is not three numbers of 0 or more, the first above 0.

    Examples
    --------
    >>> shares("2000/1000/1000")
    (0.5, 0.25, 0.25)
    """
    try:
        train, validation, test = (float(number) for number in text.split("/"))
    except ValueError:
        train = validation = test = np.nan
    total = train + validation + test
    if not (train > 0 and validation >= 0 and test >= 0 and np.isfinite(total)):
        raise InputError(
            "split sizes", rule="look like 70/10/20 (train/validation/test)", found=text
        )
    return train / total, validation / total, test / total


def group_codes(ids: Ids, groups: Mapping[str, str]) -> npt.NDArray[np.intp]:
    """Return each galaxy's group number, shape (n,); galaxies without a group get their own."""
    keys: Any = ids
    # keep names of groups and ids of galaxies apart, because a group may have the name of a galaxy
    # that is not in the group
    if groups:
        groups = known_groups(groups)
        keys = [("group", groups[name]) if name in groups else ("id", name) for name in ids]
    return np.asarray(pd.factorize(pd.Series(keys, dtype=object))[0])


def _strata(labels: Labels, ids: Ids) -> npt.NDArray[np.int64]:
    """Return the class or quantile bin of each galaxy, shape (n,); 0 for an unlabelled galaxy."""
    codes = np.zeros(len(ids), dtype=np.int64)
    labelled = among(ids, labels.ids)
    # the labels have the order of their file, `ids` are sorted: look up each galaxy's label by its
    # id
    codes[labelled] = labels.select(ids[labelled]).strata
    return codes


def _place_groups(
    part: npt.NDArray[np.int64],
    group: npt.NDArray[np.intp],
    codes: npt.NDArray[np.int64],
    have: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    random: np.random.Generator,
) -> None:
    """Put each group of galaxies into one part of the split; change `part` and `have` in place.

    Parameters
    ----------
    part : ndarray of int
        Part of each galaxy as its index in `PARTS`, −1 if it has no part yet, shape (n,).
    group : ndarray of int
        Number of each galaxy's group, shape (n,).
    codes : ndarray of int
        Class of each galaxy, shape (n,).
    have : ndarray of int
        Number of galaxies of each class in each part, shape (k, 3).
    shares : ndarray of float
        Wanted shares of the parts, shape (3,).
    random : Generator
        Determines the order of groups of equal size.
    """
    sizes = np.bincount(group[part < 0], minlength=len(part))
    shared = np.flatnonzero((sizes[group] > 1) & (part < 0))
    members = shared[np.argsort(group[shared], kind="stable")]
    blocks = np.split(members, np.cumsum(sizes[sizes > 1])[:-1])
    random.shuffle(blocks)
    # place large groups first, because small groups can then correct the class shares
    for block in sorted(blocks, key=len, reverse=True) if len(shared) else []:
        # put the group into the part that most lacks galaxies of the group's most frequent class
        code = int(np.bincount(codes[block]).argmax())
        lacking = shares * (have[code].sum() + len(block)) - have[code]
        part[block] = np.where(shares > 0, lacking, -np.inf).argmax()
        np.add.at(have, (codes[block], part[block]), 1)


def _apportion(
    shares: npt.NDArray[np.float64], have: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.int64]:
    """Return how many of n new galaxies each part of the split gets, to come near its share."""
    wanted = np.maximum(shares * (have.sum() + n) - have, 0.0)
    wanted *= n / max(wanted.sum(), 1e-300)
    # largest remainder method: round down, then give one galaxy more to the parts with the largest
    # remainders
    numbers: npt.NDArray[np.int64] = np.floor(wanted + 1e-9).astype(np.int64)
    remainder = np.where(shares > 0, wanted - numbers, -np.inf)
    numbers[np.argsort(-remainder, kind="stable")[: n - numbers.sum()]] += 1
    return numbers
