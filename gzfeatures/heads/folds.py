"""Folds inside the training part: stratified by class, and a group is never parted."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Groups: TypeAlias = npt.NDArray[Any]
"""Group of each row, shape (n,)."""
Rows: TypeAlias = npt.NDArray[np.intp]


def folds_of(
    codes: npt.NDArray[np.integer], groups: Groups | None, count: int, seed: int
) -> list[tuple[Rows, Rows]]:
    """Part rows into folds.

    Parameters
    ----------
    codes : ndarray of int
        Class of each row, 0…k−1, shape (n,).
    groups : ndarray, optional
        Group of each row; without it every row is its own. A group counts for its commonest class.
    count : int
        Folds; at most the number of groups.
    seed : int
        Equal rows and seed give equal folds.

    Returns
    -------
    list of (rest, part)
        Rows outside and inside each fold, both in rising order. A class with fewer groups than
        folds is missing from some of them, but a class with a single group always stays in `rest`.
    """
    n = len(codes)
    block = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    members = int(block.max()) + 1
    votes = np.zeros((members, int(codes.max()) + 1))
    np.add.at(votes, (block, codes), 1)
    kind = votes.argmax(1)
    count = max(2, min(count, members))
    rng = np.random.default_rng(seed)
    fold = np.empty(members, dtype=np.intp)
    turn = 0
    for code in np.unique(kind):
        mine = rng.permutation(np.flatnonzero(kind == code))
        fold[mine] = (turn + np.arange(len(mine))) % count
        if len(mine) == 1:
            fold[mine] = -1  # in no part: it can only be learned from
        turn += len(mine)
    return [
        (np.flatnonzero(fold[block] != f), np.flatnonzero(fold[block] == f)) for f in range(count)
    ]
