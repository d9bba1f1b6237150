"""Draw growing subsets of a split's labelled galaxies; each subset contains the smaller subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split, group_codes
from gzfeatures.ids import Ids

FIRST = 2
"""Training galaxies per class in every subset, because heads cannot be fitted on fewer."""


def nested_parts(
    split: Split, labels: Labels, sizes: Sequence[int], seed: int = 0
) -> dict[int, Split]:
    """Draw subsets of a split with fewer labelled galaxies, to measure a learning curve.

    Each subset has training and validation galaxies in the same ratio as the whole split, has the
    same test galaxies, and contains every smaller subset. A group is drawn as a whole, so a subset
    may have a few galaxies less than asked for; classes keep their shares.

    Parameters
    ----------
    split : Split
        Split with the training and validation galaxies to draw from; each galaxy keeps its part.
    labels : Labels
        Labels of all training and validation galaxies.
    sizes : sequence of int
        Numbers of labelled galaxies, training and validation together.
    seed : int
        Seed of the draw: the same seed, split and labels give the same subsets.

    Returns
    -------
    dict
        Size → subset as a Split, the smallest first.

    Raises
    ------
    InputError
        A size is less than 2, or more than the number of training and validation galaxies.

    Examples
    --------
    >>> parts = nested_parts(split, labels, [100, 300])  # doctest: +SKIP
    >>> set(parts[100].train) <= set(parts[300].train)  # doctest: +SKIP
    True
    """
    whole = len(split.train) + len(split.validation)
    for size in sizes:
        if not 2 <= size <= whole:
            raise InputError(
                "size of a learning curve",
                rule=f"be 2…{whole}, the training and validation galaxies of the split",
                found=size,
            )
    share = len(split.validation) / whole
    train = _nested(split.train, split, labels, seed, first=FIRST)
    # draw validation galaxies without a minimum per class, because this minimum would distort the
    # class shares of small sets
    held = _nested(split.validation, split, labels, seed + 1, first=0)
    parts = {}
    for size in sorted(set(sizes)):
        number = round(share * size)
        chosen = _beginning(train, size - number)
        parts[size] = Split(chosen, _beginning(held, number), split.test, split.groups)
    return parts


def _nested(ids: Ids, split: Split, labels: Labels, seed: int, *, first: int) -> list[Ids]:
    """Order groups so that, for every n, the first n groups have about the class shares of all."""
    # sort the ids, so that the order of rows in a file has no effect on the subsets
    ids = np.sort(ids)
    if not len(ids):
        return []
    codes, group = labels.select(ids).strata, group_codes(ids, split.groups)
    members = [np.flatnonzero(group == number) for number in np.unique(group)]
    # a group is drawn as a whole, so count it as one member of the class of its first galaxy
    classes = np.array([codes[rows[0]] for rows in members])
    return [ids[members[row]] for row in nested_order(classes, seed, first)]


def nested_order(
    codes: npt.NDArray[np.int64], seed: int, first: int = FIRST
) -> npt.NDArray[np.int64]:
    """Order rows so that, for every n, the first n rows have about the class shares of all rows.

    Parameters
    ----------
    codes : np.ndarray
        Class or quantile of each row, shape (n,).
    seed : int
        Seed of the draw within each class.
    first : int
        Number of rows of each class that come before all other rows.

    Returns
    -------
    np.ndarray
        Shape (n,): each row once.

    Examples
    --------
    >>> codes = np.array([0] * 6 + [1] * 3)
    >>> sorted(codes[nested_order(codes, 0, first=1)][:5].tolist())
    [0, 0, 0, 1, 1]
    """
    rng = np.random.default_rng(seed)
    place: npt.NDArray[np.float64] = np.empty(len(codes))
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        # spread each class evenly over (0, 1), so that, for every n, the first n rows have about
        # the class shares of all rows; -1 puts some rows of each class before all other rows
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        place[rows[:first]] = -1
    return np.argsort(place, kind="stable")


def _beginning(groups: Sequence[Ids], number: int) -> Ids:
    """Return the galaxies of the first groups: whole groups of at most `number` galaxies in all."""
    counts = np.cumsum([len(ids) for ids in groups], dtype=np.int64)
    fitting = groups[: int(np.searchsorted(counts, number, side="right"))]
    empty: Ids = np.empty(0, dtype=object)
    return np.concatenate([empty, *fitting])
