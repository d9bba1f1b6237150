"""Find catalog columns that reveal the label: a head would copy them and learn no morphology."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.galaxies.catalogs.kinds import CLASS_STRINGS
from gzfeatures.galaxies.catalogs.quantities import present
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.galaxies.votes import vote_columns
from gzfeatures.ids import Ids, positions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels

SURE = 0.98
"""Mean recall of classes, or explained variance, above which a column reveals the label."""
SAME_ORDER = 0.999
"""Rank correlation (Spearman) above which a column is the predicted number in another unit."""
MOST = 5000
"""Largest number of galaxies in the search for label leaks."""


def telling_columns(
    catalog: Catalog, columns: Sequence[str], labels: Labels, train: Ids, seed: int = 0
) -> list[str]:
    """Return a warning for each catalog column that reveals the label to predict.

    A column of votes is always reported, because labels are made of votes. So are the column to
    predict and, if it is a number, all columns that sort the galaxies in the same or the opposite
    order. With each other column, a shallow decision tree (CART) predicts labels of galaxies left
    out of its fit: with a redshift or magnitude this fails, with a copied label it succeeds.

    Parameters
    ----------
    catalog : Catalog
        Catalog that has the columns for every training galaxy.
    columns : sequence of str
        Columns that a head will read.
    labels : Labels
        Labels to predict. If a galaxy can have several labels, only column names are checked.
    train : Ids
        Training galaxies.
    seed : int
        Seed of the sample of galaxies (if there are more than `MOST`) and of the folds.

    Returns
    -------
    list of str
        One warning per column, for the user; empty if no column reveals the label.
    """
    if labels.target in VALUE_TARGETS:
        return _telling_number(catalog, columns, labels, train, seed)
    votes = {
        column
        for source in vote_columns.sources(catalog.frame.columns)
        for parts in source.columns.values()
        for column in parts
    }
    vote_names = [name for name in columns if name in votes or name in CLASS_STRINGS]
    reason = "it is a vote of the volunteers, and labels are made of those"
    lines = [f"column {name} defines the label: {reason}" for name in vote_names]
    others = [name for name in columns if name not in vote_names]
    if labels.target == "multi-label" or not others:
        return lines
    # a few thousand galaxies suffice: a column that reveals the label predicts nearly all of them
    sample = np.random.default_rng(seed).permutation(np.sort(train))[:MOST]
    rows = positions(catalog.ids, sample, where=f"catalog {catalog.source}")
    values = np.column_stack([catalog.column(name)[rows] for name in others])
    # as a head reads them: infinite numbers and sentinels such as −9999 are missing
    values = np.where(present(values), values, np.nan)
    targets = labels.select(sample).values
    told = [
        line
        for number, name in enumerate(others)
        if (line := _told(name, values[:, [number]], targets, seed))
    ]
    # test all columns together only if none reveals the label alone: a label may follow only from
    # several columns, and together with a column that reveals it any columns do
    if not told and len(others) > 1:
        together = _told(" and ".join(others), values, targets, seed)
        told = [together] if together else []
    return lines + told


def _told(
    names: str, values: npt.NDArray[np.float64], targets: npt.NDArray[np.generic], seed: int
) -> str | None:
    """Return a warning if a shallow tree predicts the label from these columns, otherwise None."""
    score = _score_of_tree(values, targets, seed)
    if score < SURE:
        return None
    return f"column {names} tells the label of {score:.1%} of the training galaxies by itself"


def _telling_number(
    catalog: Catalog, columns: Sequence[str], labels: Labels, train: Ids, seed: int
) -> list[str]:
    """Return a warning for each column that reveals the number to predict.

    Such a column equals the number, sorts the galaxies in the same or the reverse order, or lets a
    shallow decision tree predict the number.
    """
    from scipy.stats import spearmanr

    sample = np.random.default_rng(seed).permutation(np.sort(train))[:MOST]
    rows = positions(catalog.ids, sample, where=f"catalog {catalog.source}")
    target = labels.select(sample).values
    lines = []
    for name in columns:
        numbers = catalog.column(name)[rows]
        known = present(numbers)
        # compare the order of the galaxies (rank correlation): it is the same for a redshift and a
        # distance computed from it, or for a mass in two units
        several = known.sum() >= 9 and len(np.unique(numbers[known])) > 1
        order = spearmanr(numbers[known], target[known, 0]).statistic if several else 0.0
        # a few equal numbers may be chance, and a column without any number equals nothing
        enough = known.any() and known.sum() >= min(9, len(known))
        same = enough and np.array_equal(numbers[known], target[known, 0])
        if name == labels.classes[0] or same:
            lines.append(f"column {name} is the number to be predicted")
        elif abs(order) >= SAME_ORDER:
            lines.append(f"column {name} orders the galaxies as {labels.classes[0]} does")
        elif (score := _score_of_tree(numbers[known, None], target[known], seed)) >= SURE:
            lines.append(
                f"column {name} tells {score:.1%} of the variance of {labels.classes[0]} by itself"
            )
    return lines


def _score_of_tree(
    values: npt.NDArray[np.float64], targets: npt.NDArray[np.generic], seed: int
) -> float:
    """Return how well a shallow decision tree predicts the labels of galaxies left out of its fit.

    The score is the mean recall of the classes, or for numbers the share of the variance that is
    explained; it is 0 for too few galaxies.
    """
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
    # the tree reads single precision, in which numbers in some units are infinite or 0: scale each
    # column by its largest number, which changes no split
    largest = np.where(np.isnan(values), 0, np.abs(values)).max(0)
    values = values / np.where(largest > 0, largest, 1)
    parts = folds(3, shuffle=True, random_state=seed)
    grown = tree(max_depth=8, random_state=seed)
    return float(
        cross_val_score(grown, values[kept], targets[kept], cv=parts, scoring=measure).mean()
    )
