"""Catalog columns that tell the label: a head that reads them repeats the rule the labels were made by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.galaxies.catalogs.kinds import CLASS_STRINGS
from gzfeatures.galaxies.votes import vote_columns
from gzfeatures.ids import Ids, positions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels

SURE = 0.98
"""Balanced accuracy, or share of the variance explained, from which columns are said to tell the
label."""
MOST = 5000
"""Galaxies that are looked at."""


def telling_columns(
    catalog: Catalog, columns: Sequence[str], labels: Labels, train: Ids, seed: int = 0
) -> list[str]:
    """Find columns that define the label, by what they are and by what they say of the training galaxies.

    A column of votes is named whatever it says: labels are made of votes. Of the others a shallow
    decision tree (CART) tries to tell the label, on galaxies it was not grown on; redshift or
    magnitude cannot, a copied label can.

    Parameters
    ----------
    catalog : Catalog
        Has the columns, of every training galaxy.
    columns : sequence of str
        Those that heads are to read.
    labels : Labels
        Targets; of several true classes at once only the names of columns are judged.
    train : Ids
        Training galaxies.
    seed : int
        Of the galaxies looked at, where there are more than `MOST`, and of the folds.

    Returns
    -------
    list of str
        One line per finding, for the user; empty where no column tells the label.
    """
    votes = {
        column
        for source in vote_columns.sources(catalog.frame.columns)
        for parts in source.columns.values()
        for column in parts
    }
    made_of = [name for name in columns if name in votes or name in CLASS_STRINGS]
    lines = [
        f"column {name} defines the label: it is a vote of the volunteers, and labels are made of those"
        for name in made_of
    ]
    others = [name for name in columns if name not in made_of]
    if labels.target == "multi-label" or not others:
        return lines
    known = np.random.default_rng(seed).permutation(np.sort(train))[:MOST]
    rows = positions(catalog.ids, known, where=f"catalog {catalog.source}")
    values = np.column_stack([catalog.column(name)[rows] for name in others])
    targets = labels.select(known).values
    for part in [[number] for number in range(len(others))] + (
        [list(range(len(others)))] if len(others) > 1 else []
    ):
        score = _told(values[:, part], targets, seed)
        if score >= SURE:
            names = " and ".join(others[number] for number in part)
            lines.append(
                f"column {names} tells the label of {score:.1%} of the training galaxies by itself"
            )
            if len(part) == 1 and len(others) > 1:
                break  # with it, all of them together tell it too
    return lines


def _told(values: npt.NDArray[np.float64], targets: npt.NDArray[np.generic], seed: int) -> float:
    """Balanced accuracy, or explained variance, of a shallow tree on galaxies it was not grown on; 0 for too few."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if targets.dtype.kind == "i":
        kept = np.isin(targets, np.flatnonzero(np.bincount(targets) >= 3))
        enough = len(np.unique(targets[kept])) > 1
        tree, folds, measure = DecisionTreeClassifier, StratifiedKFold, "balanced_accuracy"
    else:
        kept = np.isfinite(targets).all(1)
        enough = int(kept.sum()) >= 9
        tree, folds, measure = DecisionTreeRegressor, KFold, "r2"
    if not enough:
        return 0.0
    parts = folds(3, shuffle=True, random_state=seed)
    grown = tree(max_depth=8, random_state=seed)
    return float(
        cross_val_score(grown, values[kept], targets[kept], cv=parts, scoring=measure).mean()
    )
