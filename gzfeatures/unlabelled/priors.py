"""Estimate the class shares of galaxies without labels, and correct their probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.proportions import Array
from gzfeatures.ids import uniform

FEWEST, MOST = 30, 50_000
"""Fewest and most galaxies for the estimate of class shares; 50,000 give shares to .002."""
ROUNDS, STEP = 5000, 1e-7
"""Most iterations of the estimate, and the change of a share at which the iteration ends."""


@dataclasses.dataclass(frozen=True, eq=False)
class Priors:
    """Hold class shares among unlabelled galaxies, estimated from a head's predictions.

    A head's probabilities hold where classes have the shares they had among its own galaxies. Where
    only the shares differ, and galaxies of each class look as before, expectation maximisation
    finds the new shares, and Bayes' rule the probabilities that belong to them. It cannot mend
    galaxies that look otherwise (see `shift.Shift`).

    Parameters
    ----------
    classes : tuple of str
        k names.
    training : ndarray of float64
        Shares that the head's probabilities are made for, shape (k,), sum 1.
    before : ndarray of float64
        Mean probabilities before the correction, shape (k,), sum 1.
    after : ndarray of float64
        Estimated shares, shape (k,), sum 1.
    galaxies : int
        Galaxies they were estimated from.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446, equations 2.4 and 2.9 to
    2.12.

    Examples
    --------
    >>> priors = Priors.of(predictions, head.shares.mean)  # doctest: +SKIP
    >>> priors.corrected(predictions).probabilities  # doctest: +SKIP
    """

    classes: tuple[str, ...]
    training: Array
    before: Array
    after: Array
    galaxies: int

    @classmethod
    def of(cls, predictions: Predictions, training: Array) -> Priors:
        """Return class shares estimated from the predictions of galaxies without labels.

        Parameters
        ----------
        predictions : Predictions
            One class per galaxy. Those that were trained on and those unlike the training galaxies
            are not estimated from: what a head says of them is not calibrated.
        training : ndarray of float64
            Mean probabilities of galaxies kept out of training, shape (k,), sum 1.

        Raises
        ------
        InputError
            Predictions are not of one class per galaxy, or of other classes; fewer than 30 galaxies
            are left.
        """
        if predictions.kind != "classes" or len(predictions.classes) != len(training):
            raise InputError(
                "class shares",
                rule="be estimated from predictions of one class per galaxy, of a head",
            )
        usable = np.ones(len(predictions), dtype=bool)
        for mask in (predictions.seen, predictions.unfamiliar):
            usable &= True if mask is None else ~mask
        if usable.sum() < FEWEST:
            raise InputError(
                "galaxies to estimate class shares from",
                rule=f"be {FEWEST} or more that were not trained on "
                "and are like the training galaxies",
                found=int(usable.sum()),
                remedy="predict a larger table, or leave out --priors",
            )
        rows = np.flatnonzero(usable)
        if len(rows) > MOST:
            rows = rows[np.argsort(uniform(predictions.ids[rows], 0), kind="stable")[:MOST]]
        p = predictions.probabilities[rows]
        after = _estimated(p, training)
        return cls(predictions.classes, training, p.mean(0), after, len(rows))

    def corrected(self, predictions: Predictions) -> Predictions:
        """Return predictions with probabilities corrected to the estimated class shares.

        Class sets stay those of the uncorrected probabilities, with the most probable class added
        where the correction made it another one: thresholds within each class ask nothing of the
        classes' shares, so the promise within each class holds as before, and no set becomes
        smaller.
        """
        weights = _weights(self.after, self.training)
        p = _normalised(predictions.probabilities * weights)
        moved = dataclasses.replace(predictions, probabilities=p)
        if predictions.sets is None:
            return moved
        sets = predictions.sets.copy()
        corrected_rows = sets.any(1)  # an unfamiliar galaxy keeps its empty set
        sets[np.flatnonzero(corrected_rows), moved.codes[corrected_rows]] = True
        return dataclasses.replace(moved, sets=sets)

    def rows(self) -> list[dict[str, Any]]:
        """Return each class's share in training, before and after the correction, as dicts."""
        columns = zip(self.classes, self.training, self.before, self.after, strict=True)
        return [
            {"class": name, "training": float(t), "before": float(b), "after": float(a)}
            for name, t, b, a in columns
        ]


def _estimated(p: Array, training: Array) -> Array:
    """Return the class shares of maximum likelihood, found by expectation maximisation.

    The mean probabilities of each round are the shares of the next.
    """
    shares = training / training.sum()
    for _ in range(ROUNDS):
        new_shares = _normalised(p * _weights(shares, training)).mean(0)
        if np.abs(new_shares - shares).max() < STEP:
            return np.asarray(new_shares)
        shares = new_shares
    return np.asarray(shares)


def _weights(shares: Array, training: Array) -> Array:
    """Return new class shares divided by old ones; 0 for a class that is never predicted."""
    return np.where(training > 0, shares / np.where(training > 0, training, 1), 0.0)


def _normalised(p: Array) -> Array:
    total = p.sum(1, keepdims=True)
    # a galaxy whose classes all have weight 0 would give 0 / 0; equal probabilities avoid that, but
    # real predictions do not have this case
    return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1])
