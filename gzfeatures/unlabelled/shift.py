"""Test whether a table's galaxies differ from the galaxies that a head was trained on.

The test compares class shares, and tries to separate the two samples by a classifier on embeddings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.evaluation.statistics.intervals import of_auc
from gzfeatures.evaluation.statistics.score_intervals import Statistics
from gzfeatures.ids import Ids, uniform
from gzfeatures.unlabelled.familiarity import Array, Familiarity, Matrix

VARIATION, AUC = 0.05, 0.6
"""Largest total variation of class shares, and largest AUC between tables, without a warning."""
LEVEL = 0.9
"""Coverage of the intervals that must lie above these limits for a warning."""
FEWEST = 50
"""Fewest galaxies in each table that allow a test of a shift."""
MOST = 2000
"""Most galaxies of each table for the classifier; 2,000 give its AUC to .01."""
DRAWS, LENGTHS, FOLDS, STRENGTH, FAR = 2000, 81, 5, 0.01, 4.0
"""Parameters of the test: bootstrap draws, vector lengths tried, folds, inverse penalty, cut."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shares:
    """Store mean and covariance of the class probabilities predicted for many galaxies.

    Parameters
    ----------
    mean : ndarray of float64
        Mean probabilities, shape (k,), in [0, 1], sum 1.
    covariance : ndarray of float64
        Covariance of one galaxy's probabilities, shape (k, k).
    n : int
        Galaxies.

    Raises
    ------
    InputError
        Shapes disagree, or a number is not finite.
    """

    mean: Array
    covariance: Array
    n: int

    def __post_init__(self) -> None:
        k = len(self.mean)
        if self.mean.shape != (k,) or self.covariance.shape != (k, k) or self.n < 1:
            raise InputError("record of class shares", rule="hold arrays of shapes that agree")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise InputError("record of class shares", rule="hold finite numbers")

    @classmethod
    def of(cls, probabilities: Array) -> Shares:
        """Compute mean and covariance from class probabilities of n galaxies, shape (n, k)."""
        mean = probabilities.mean(0)
        return cls(mean, np.atleast_2d(np.cov(probabilities.T, bias=True)), len(probabilities))

    def asdict(self) -> dict[str, Any]:
        """Return the class probabilities' mean and covariance, and how many galaxies, as JSON."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist(), "n": self.n}

    @classmethod
    def fromdict(cls, fields: Mapping[str, Any]) -> Shares:
        """Return class shares from a dict written by `asdict`."""
        mean, covariance = (
            np.asarray(fields[name], dtype=np.float64) for name in ("mean", "covariance")
        )
        return cls(mean, covariance, int(fields["n"]))


class TableSample:
    """Collect a random sample of a table's galaxies, chosen by id, while the table is read.

    Parameters
    ----------
    known : Familiarity
        Has the principal axes along which coordinates of galaxies are stored.
    """

    def __init__(self, known: Familiarity) -> None:
        self.known = known
        self._order = np.empty(0)
        self.coordinates: Array = np.empty((0, known.reference.shape[1]))
        """Coordinates of the sampled galaxies, shape (up to 2,000, up to 32)."""

    def add(self, ids: Ids, vectors: Matrix, seen: npt.NDArray[np.bool_] | None) -> None:
        """Add galaxies to the sample, except galaxies that a network was trained on.

        A network gives its training galaxies different embeddings than new galaxies.

        Parameters
        ----------
        ids : Ids
            Shape (n,).
        vectors : ndarray of float32
            Shape (n, dim).
        seen : ndarray of bool, optional
            Whether a network was trained on the galaxy, shape (n,).
        """
        rows = np.arange(len(ids)) if seen is None else np.flatnonzero(~seen)
        order = uniform(ids[rows], 0)
        # each id gives a fixed random number: the galaxies with the 2,000 smallest numbers are the
        # sample, in whatever order the table is read
        if len(self._order) == MOST:
            rows, order = rows[order < self._order.max()], order[order < self._order.max()]
        best = np.argsort(order, kind="stable")[:MOST]
        coordinates = self.known.coordinates(vectors[rows[best]])
        order, coordinates = (
            np.concatenate([self._order, order[best]]),
            np.concatenate([self.coordinates, coordinates]),
        )
        smallest = np.argsort(order, kind="stable")[:MOST]
        self._order, self.coordinates = order[smallest], coordinates[smallest]


@dataclasses.dataclass(frozen=True, eq=False)
class Shift:
    """Store how much a table's galaxies differ from the galaxies a head was trained on.

    A difference is judged by its size, not by a small p value.

    With 10⁶ galaxies every test rejects; what matters is how large a difference is. Two are
    measured: half the sum of absolute differences of mean class probabilities (total variation, 0 =
    same shares), and how well a classifier on vectors separates the table's galaxies from galaxies
    that were kept out of the head's training (AUC, ½ = not at all).

    Parameters
    ----------
    variation : float, optional
        Total variation of the class shares, minus the part that noise adds, in [0, 1]; None unless
        a head predicts one class per galaxy.
    variation_interval : (float, float), optional
        Its 90 % interval.
    auc : float
        Area under the ROC curve of a cross-validated logistic regression, in [0, 1].
    auc_interval : (float, float)
        Its 90 % interval.
    galaxies, kept_out : int
        Number of galaxies of the table, and of galaxies kept out of training, that were compared.

    References
    ----------
    Lipton+2018, arXiv:1802.03916, section 4 (shares of predictions tell a shift of classes);
    Lopez-Paz & Oquab 2017, arXiv:1610.06545, and Rabanser+2019, arXiv:1810.11953 (a classifier as
    two-sample test); Efron & Tibshirani 1993, chapter 12.3 (an interval of all values that the
    draws do not contradict); DeLong+1988, doi:10.2307/2531595 (AUC).

    Examples
    --------
    >>> draw = np.random.default_rng(0).normal(size=(900, 4))
    >>> same, moved = (Shift.between(draw[:300], draw[300:] + by) for by in (0, 1))
    >>> same.shifted, moved.shifted
    (False, True)
    """

    variation: float | None
    variation_interval: tuple[float, float] | None
    auc: float
    auc_interval: tuple[float, float]
    galaxies: int
    kept_out: int

    @classmethod
    def between(
        cls,
        reference: Array | Matrix,
        table: Array,
        shares: Shares | None = None,
        of_table: Shares | None = None,
    ) -> Shift:
        """Measure the difference between a table's galaxies and galaxies kept out of training.

        Parameters
        ----------
        reference : ndarray
            Coordinates of kept-out galaxies, shape (m, c), m ≥ 50 (see `Familiarity.reference`).
        table : ndarray of float64
            Coordinates of the table's galaxies, shape (n, c), n ≥ 50.
        shares, of_table : Shares, optional
            Class shares of the kept-out galaxies, and of the table's galaxies.

        Raises
        ------
        InputError
            One of the two samples has fewer than 50 galaxies.
        """
        if min(len(reference), len(table)) < FEWEST:
            raise InputError(
                "galaxies to compare",
                rule=f"be {FEWEST} or more a side",
                found=(len(reference), len(table)),
            )
        auc, auc_interval = _told_apart(_thinned(reference), _thinned(table))
        variation = interval = None
        if shares is not None and of_table is not None:
            variation, interval = _variation(shares, of_table)
        return cls(variation, interval, auc, auc_interval, len(table), len(reference))

    @property
    def shares_shifted(self) -> bool:
        """Return whether class shares surely differ by over .05 from those of kept-out galaxies."""
        return self.variation_interval is not None and self.variation_interval[0] > VARIATION

    @property
    def looks_shifted(self) -> bool:
        """Return whether a classifier tells table from kept-out galaxies; AUC surely above .6."""
        return self.auc_interval[0] > AUC

    @property
    def shifted(self) -> bool:
        """Return whether the table differs from kept-out galaxies in class shares or embeddings."""
        return self.shares_shifted or self.looks_shifted

    def warning(self, *, corrected: bool = False, model: str = "head") -> str | None:
        """Return a warning and a remedy if the table differs from the training galaxies, or None.

        Parameters
        ----------
        corrected : bool
            Whether the class shares are corrected already (`--priors unlabelled`).
        model : {"head", "network"}
            What was trained: a head or a network.
        """
        parts = []
        if self.shares_shifted and not corrected:
            size = _sized(self.variation, self.variation_interval)
            parts.append(f"class shares differ by {size}, above {VARIATION:g}")
        if self.looks_shifted:
            size = _sized(self.auc, self.auc_interval)
            parts.append(f"a classifier tells them from it with an AUC of {size}, above {AUC:g}")
        if not parts:
            return None
        # heads predict from tables and networks from images, so the message needs different words
        these, trained = "galaxies of this table", "the head was fitted on"
        remedy = "fit on some labelled galaxies of this table"
        if model != "head":
            these, trained = "these galaxies", f"the {model} was trained on"
            remedy = "train on some of them, labelled"
        # advise a correction of class shares only if class shares differ: a correction does not
        # help if the images look different
        if self.shares_shifted and not corrected:
            remedy += "; for shares alone, --priors unlabelled corrects them"
        return f"{these} are not drawn like those {trained}: {', and '.join(parts)}; {remedy}"

    def asdict(self) -> dict[str, Any]:
        """Return this object's attributes, the confidence level and `shifted` as JSON values."""
        return {**dataclasses.asdict(self), "level": LEVEL, "shifted": self.shifted}


def _sized(value: float | None, interval: tuple[float, float] | None) -> str:
    """Return a number and its confidence interval as text."""
    low, high = interval or (np.nan, np.nan)
    return f"{value:.2f} ({LEVEL:.0%} interval {low:.2f} to {high:.2f})"


def _thinned(rows: Array | Matrix) -> Array:
    """Return at most `MOST` evenly spaced rows of an array."""
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().astype(np.intp)
    return np.asarray(rows[chosen], dtype=np.float64)


def _variation(shares: Shares, table: Shares) -> tuple[float, tuple[float, float]]:
    """Return the total variation distance between two tables' class shares, with an interval.

    The distance is half the sum of absolute differences, corrected for the noise of both means; the
    interval is from a parametric bootstrap. Noise makes a sum of absolute differences larger, most
    of all if the true differences are small, so that a percentile interval would be too high.
    Instead the true difference is assumed to be a times the measured difference. The interval
    contains every a for which the measured sum lies inside the central 90 % of simulated sums (test
    inversion); the estimate is the a for which it is their median.
    """
    difference = table.mean - shares.mean
    scatter = shares.covariance / shares.n + table.covariance / table.n
    # simulate the noise of the difference between the mean probabilities of two tables: means of
    # many galaxies are nearly normal, so the difference is too, with the covariance `scatter`
    noise = np.random.default_rng(0).multivariate_normal(
        np.zeros(len(difference)), scatter, DRAWS, method="eigh"
    )
    variation = np.abs(difference).sum() / 2
    widest = float(np.quantile(np.abs(noise).sum(1) / 2, (1 + LEVEL) / 2))
    if variation < 1e-9 * max(widest, 1e-9):
        # class shares without any difference come only from two tables of the same galaxies; stop
        # here, because the steps below divide by the difference
        return 0.0, (0.0, widest)
    lengths = np.linspace(0, 1 + 2 * widest / variation, LENGTHS)
    drawn = np.stack([np.abs(a * difference + noise).sum(1) / 2 for a in lengths])
    tails = ((1 + LEVEL) / 2, 0.5, (1 - LEVEL) / 2)
    # np.interp needs increasing values: take the running maximum, because noise can make a quantile
    # decrease
    rising = np.maximum.accumulate(np.quantile(drawn, tails, axis=1), axis=1)
    low, middle, high = (
        float(np.clip(variation * np.interp(variation, row, lengths), 0, 1)) for row in rising
    )
    return middle, (low, high)


def _told_apart(reference: Array, table: Array) -> tuple[float, tuple[float, float]]:
    """Return the AUC of a classifier that separates two tables, with DeLong's interval.

    The classifier is cross-validated: each galaxy is scored by a fit without this galaxy.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.clip(np.concatenate([reference, table]), -FAR, FAR)
    # add the squares of coordinates, so that a linear classifier also detects a different scatter
    rows = np.concatenate([rows, rows**2], axis=1)
    of = np.repeat([0, 1], [len(reference), len(table)])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000)
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    p = cross_val_predict(model, rows, of, cv=folds, method="predict_proba")
    statistics = Statistics.of(p, of)
    low, high = of_auc(statistics.curves, statistics.confusion.sum(-1), statistics.n, LEVEL)
    return float(statistics.curves.areas.mean()), (float(low), float(high))
