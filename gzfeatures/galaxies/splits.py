"""Split: train, validation and test, disjoint by construction; a group never stands on two sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, LeakError
from gzfeatures.galaxies.ids import Ids, require_unique
from gzfeatures.galaxies.labels import Labels

PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Which galaxies are trained on, chosen on, and scored on.

    Parameters
    ----------
    train, validation, test : Ids
        Pairwise disjoint; any may be empty but train.
    groups : mapping of str to str
        Id → group, for galaxies that belong together (same galaxy twice, copies, neighbours on the sky).
        An id that is absent is a group of its own.

    Raises
    ------
    LeakError
        An id or a group stands in two parts.
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
        part_of: dict[tuple[bool, str], str] = {}
        for part in PARTS:
            ids: Ids = getattr(self, part)
            require_unique(ids, where=f"split {part}")
            for name in ids:
                # an id and a group of the same spelling are different things
                key = (name in self.groups, self.groups.get(name, name))
                if part_of.setdefault(key, part) != part:
                    raise LeakError(
                        "galaxy or its group stands on two sides of the split",
                        where=f"{part_of[key]} and {part}",
                        found=name,
                        remedy="draw the split by group",
                    )

    @classmethod
    def draw(
        cls,
        labels: Labels,
        sizes: Sequence[float] = (0.7, 0.1, 0.2),
        *,
        groups: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> Split:
        """Draw a stratified, grouped split.

        Parameters
        ----------
        labels : Labels
            Galaxies to split; class schemes are stratified by class.
        sizes : three floats
            Shares of train, validation and test; they sum to 1.
        groups : mapping of str to str, optional
            Id → group; a group is kept together.
        seed : int
            Same labels, groups and seed give the same split, whatever the order of rows.
        """
        shares = np.asarray(sizes, dtype=float)
        if shares.shape != (3,) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
            raise InputError("split sizes", rule="be three shares that sum to 1", found=list(sizes))
        groups = groups or {}
        order = np.argsort(labels.ids)
        codes = labels.codes[order] if labels.target == "classes" else np.zeros(len(order), dtype=np.int64)
        members: dict[tuple[bool, str], list[int]] = {}
        for row, name in enumerate(labels.ids[order]):
            members.setdefault((name in groups, groups.get(name, name)), []).append(row)
        blocks = list(members.values())
        np.random.default_rng(seed).shuffle(blocks)
        blocks.sort(key=len, reverse=True)  # large groups first, so that single galaxies even out the shares
        have = np.zeros((len(labels.classes), 3))
        part = np.empty(len(order), dtype=np.int64)
        for block in blocks:
            code = int(np.bincount(codes[block]).argmax())
            lacking = shares * (have[code].sum() + len(block)) - have[code]
            chosen = int(np.where(shares > 0, lacking, -np.inf).argmax())
            part[block] = chosen
            np.add.at(have, (codes[block], chosen), 1)
        ids = labels.ids[order]
        return cls(*(ids[part == p] for p in range(3)), groups={n: groups[n] for n in ids if n in groups})

    @property
    def ids(self) -> Ids:
        """All ids: train, then validation, then test."""
        return np.concatenate([self.train, self.validation, self.test])

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over the three sets of ids; reports with equal fingerprints may be compared."""
        return fingerprint.of([fingerprint.of_ids(getattr(self, part)) for part in PARTS])
