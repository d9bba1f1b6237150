"""Find classes whose galaxies have different neighbours in the embeddings of two networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from gzfeatures.errors import InputError
from gzfeatures.explore.table_similarity import drawn_alike, nearest_rows
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import among, positions

FEWEST = 10
"""Galaxies below which a class has no interval."""
LEVEL = 0.9
"""Chance that the intervals of all classes together hold the truth."""


@dataclasses.dataclass(frozen=True)
class ClassDifference:
    """Store, for one class, how often a galaxy's neighbours have its class, in each of two tables.

    Parameters
    ----------
    name : str
        Name of the class.
    galaxies : int
        Number of galaxies of the class that were compared.
    overlap : float
        Share of their nearest neighbours that both tables have in common.
    one, other : float
        Mean share of their nearest neighbours that are of the same class, in each table.
    difference : float
        `other` minus `one`: above 0 if the second encoder keeps the class together better.
    interval : (float, float), optional
        Interval of the difference; with probability `LEVEL`, the intervals of all classes contain
        the truth (Bonferroni).
    """

    name: str
    galaxies: int
    overlap: float
    one: float
    other: float
    difference: float
    interval: tuple[float, float] | None

    @property
    def differs(self) -> bool:
        """Return whether the share of same-class neighbours differs significantly between tables.

        It does if the confidence interval of the difference excludes 0.
        """
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def asdict(self) -> dict[str, object]:
        """Return the fields as JSON values, the class name first."""
        fields = dataclasses.asdict(self)
        return {"class": fields.pop("name"), **fields, "differs": self.differs}


def class_differences(
    one: EmbeddingTable, other: EmbeddingTable, labels: Labels, *, k: int = 10, seed: int = 0
) -> list[ClassDifference]:
    """Compare two tables class by class: how often do nearest neighbours have the same class?

    Parameters
    ----------
    one, other : EmbeddingTable
        Embeddings of any two networks; galaxies are matched by id.
    labels : Labels
        One class of each galaxy; galaxies without one are left out, also as neighbours.
    k : int
        Number of nearest neighbours that are compared.
    seed : int
        Seed of the sample that is drawn if very many galaxies are in both tables.

    Returns
    -------
    list of ClassDifference

    Raises
    ------
    InputError
        The labels are no classes, or fewer than k + 1 labelled galaxies are in both tables.
    """
    if labels.target != "classes":
        raise InputError("labels of classes that differ", rule="be classes", found=labels.target)
    ids = one.ids[among(one.ids, other.ids) & among(one.ids, labels.ids)]
    ids = drawn_alike(ids, seed)
    if len(ids) <= k:
        raise InputError(
            "labelled galaxies in both tables", rule=f"be more than {k}", found=len(ids)
        )
    codes = labels.codes[positions(labels.ids, ids)]
    near = [nearest_rows(table.select(ids).matrix, k) for table in (one, other)]
    same = [(codes[rows] == codes[:, None]).mean(1) for rows in near]
    both = zip(near[0], near[1], strict=True)
    shared = np.array([len(np.intersect1d(*pair, assume_unique=True)) for pair in both])
    present = np.unique(codes)
    found = []
    for code in present:
        rows = codes == code
        gained = same[1] - same[0]
        influence = _influence(near[1], same[1], codes, rows)
        influence -= _influence(near[0], same[0], codes, rows)
        influence[rows] += gained[rows] - gained[rows].mean()
        found.append(
            ClassDifference(
                labels.classes[code],
                int(rows.sum()),
                float(shared[rows].mean() / k),
                float(same[0][rows].mean()),
                float(same[1][rows].mean()),
                float(gained[rows].mean()),
                _interval(float(gained[rows].mean()), influence, int(rows.sum()), len(present)),
            )
        )
    return sorted(found, key=lambda row: -abs(row.difference))


def _influence(
    near: npt.NDArray[np.int64],
    same: npt.NDArray[np.float64],
    codes: npt.NDArray[np.int64],
    rows: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return how much each galaxy, as a neighbour, adds to the score of one class, shape (n,).

    The score is the sum, over members of the class, of the share of neighbours of the same class. A
    galaxy that is a neighbour of many members changes this sum a lot.
    """
    k = near.shape[1]
    # if a galaxy were no neighbour of a member, the next nearest galaxy would take its place; that
    # one has the same class as often as the member's neighbours on average: subtract this average
    added = ((codes[near] == codes[:, None]) - same[:, None]) / k
    weights = added[rows].ravel()
    return np.asarray(np.bincount(near[rows].ravel(), weights, len(codes)), dtype=np.float64)


def _interval(
    mean: float, influence: npt.NDArray[np.float64], n: int, classes: int
) -> tuple[float, float] | None:
    """Return the t interval of a mean over n galaxies, widened because several classes are tested.

    The variance is that of the linearised jackknife: the sum of squares of each galaxy's influence.
    """
    if n < FEWEST:
        return None
    error = np.sqrt((influence**2).sum() / (n * (n - 1)))
    # Bonferroni correction: each class may miss the truth in a share 0.1 / classes of the cases, so
    # that all together miss in 0.1
    reach = stdtrit(n - 1, 1 - (1 - LEVEL) / classes / 2) * error
    return float(mean - reach), float(mean + reach)
