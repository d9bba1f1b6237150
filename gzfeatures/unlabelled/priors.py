"""Estimate the class shares of galaxies without labels, and correct predictions to them."""

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
    """Store class shares of unlabelled galaxies, estimated from a head's predictions.

    A head's probabilities are right only if classes have the same shares as among its training
    galaxies. If only the shares differ, and galaxies of each class look the same, expectation
    maximisation finds the new shares, and Bayes' rule the corrected probabilities. It cannot
    correct for galaxies that look different (see `shift.Shift`).

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    training : ndarray of float64
        Class shares for which the head's probabilities are right, shape (k,), sum 1.
    before : ndarray of float64
        Mean probabilities before the correction, shape (k,), sum 1.
    after : ndarray of float64
        Estimated shares, shape (k,), sum 1.
    galaxies : int
        Number of galaxies from which the shares were estimated.

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
        """Estimate the class shares of unlabelled galaxies from predictions (Saerens+2002).

        Parameters
        ----------
        predictions : Predictions
            One class per galaxy. Galaxies that were trained on, and galaxies unlike the training
            galaxies, are left out, because their probabilities are not calibrated.
        training : ndarray of float64
            Mean probabilities of galaxies kept out of training, shape (k,), sum 1.

        Raises
        ------
        InputError
            The predictions are not one class per galaxy, or have different classes; or fewer than
            30 galaxies are left.
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
        """Correct probabilities, by Bayes' rule, to the class shares of the unlabelled galaxies.

        A galaxy's class set (classes among which the true class is, as often as promised) stays,
        and the class that is now most probable is added; an empty set stays empty. The thresholds
        of sets are computed within each class and do not depend on class shares, so the promise
        still holds within each class.
        """
        weights = _weights(self.after, self.training)
        p = _normalised(predictions.probabilities * weights)
        moved = dataclasses.replace(predictions, probabilities=p)
        if predictions.sets is None:
            return moved
        sets = predictions.sets.copy()
        # add no class to an empty class set: it marks a galaxy unlike the training galaxies, whose
        # probabilities cannot be trusted
        corrected_rows = sets.any(1)
        sets[np.flatnonzero(corrected_rows), moved.codes[corrected_rows]] = True
        return dataclasses.replace(moved, sets=sets)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict per class: training share, mean predicted probability, estimated share."""
        columns = zip(self.classes, self.training, self.before, self.after, strict=True)
        return [
            {"class": name, "training": float(t), "before": float(b), "after": float(a)}
            for name, t, b, a in columns
        ]


def _estimated(p: Array, training: Array) -> Array:
    """Find the class shares of maximum likelihood by expectation maximisation, shape (k,).

    The mean corrected probabilities of a round are the class shares of the next round.
    """
    shares = training / training.sum()
    for _ in range(ROUNDS):
        new_shares = _normalised(p * _weights(shares, training)).mean(0)
        if np.abs(new_shares - shares).max() < STEP:
            return np.asarray(new_shares)
        shares = new_shares
    return np.asarray(shares)


def _weights(shares: Array, training: Array) -> Array:
    """Return estimated class shares divided by training shares; 0 for a training share of 0."""
    return np.where(training > 0, shares / np.where(training > 0, training, 1), 0.0)


def _normalised(p: Array) -> Array:
    total = p.sum(1, keepdims=True)
    # avoid 0 / 0 if all classes of a galaxy have weight 0, which real predictions never have
    return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1])
