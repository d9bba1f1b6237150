"""Divide training galaxies into folds of equal class shares; keep galaxy groups whole."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.galaxies.splits.related_galaxies import known_keys

Groups: TypeAlias = npt.NDArray[Any]
"""Group of each row, shape (n,)."""
Rows: TypeAlias = npt.NDArray[np.intp]


def folds_of(
    codes: npt.NDArray[np.integer], groups: Groups | None, count: int, seed: int
) -> list[tuple[Rows, Rows]]:
    """Return folds for cross-validation, each as (training rows, test rows).

    Parameters
    ----------
    codes : ndarray of int
        Class of each row, 0…k−1, shape (n,).
    groups : ndarray, optional
        Group of each row; without groups, and where it is missing (None, NaN, masked or blank), the
        row is a group of its own. A group counts as its most frequent class.
    count : int
        Number of folds; at most the number of groups.
    seed : int
        Equal rows and seed give equal folds.

    Returns
    -------
    list of (rest, part)
        Rows outside and inside each fold, both in rising order. A class with fewer groups than
        folds is missing from some of them, but a class with a single group always stays in `rest`.
    """
    n = len(codes)
    # distribute whole groups to the folds; a group counts as its most frequent class
    block = np.arange(n) if groups is None else group_numbers(groups)
    members = int(block.max()) + 1
    votes = np.zeros((members, int(codes.max()) + 1))
    np.add.at(votes, (block, codes), 1)
    kind = votes.argmax(1)
    count = max(2, min(count, members))
    rng = np.random.default_rng(seed)
    fold = np.empty(members, dtype=np.intp)
    turn = 0
    # deal the groups of each class to the folds in turn, starting where the last
    # class ended: folds get nearly equal numbers of groups
    for code in np.unique(kind):
        of_class = rng.permutation(np.flatnonzero(kind == code))
        fold[of_class] = (turn + np.arange(len(of_class))) % count
        # put the only group of a class in no test fold: then every training part has the class
        if len(of_class) == 1:
            fold[of_class] = -1
        turn += len(of_class)
    fold_of_row = fold[block]
    return [
        (np.flatnonzero(fold_of_row != number), np.flatnonzero(fold_of_row == number))
        for number in range(count)
    ]


def group_numbers(groups: Any) -> Rows:
    """Return the number of each row's group; a row whose group is missing gets its own number.

    Parameters
    ----------
    groups : array-like
        Group of each row, shape (n,): numbers, texts or both. None, NaN, NA, masked entries and
        blank texts are missing groups.

    Returns
    -------
    ndarray of int
        Shape (n,). Known groups are numbered from 0 in rising order; missing ones follow.

    Examples
    --------
    >>> group_numbers(["b", "a", None, "b", None]).tolist()
    [1, 0, 2, 1, 3]
    """
    # integers cannot be missing: number them without a look at each
    plain = isinstance(groups, np.ndarray) and not isinstance(groups, np.ma.MaskedArray)
    if plain and groups.dtype.kind in "iu":
        return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.intp)
    codes, known = pd.factorize(known_keys(groups), sort=True)
    missing = codes < 0
    codes[missing] = len(known) + np.arange(missing.sum())
    return np.asarray(codes, dtype=np.intp)
