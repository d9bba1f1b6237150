"""Measure how much better embeddings predict a nuisance than morphology alone does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.audit.probes.nuisances import Nuisance
from gzfeatures.audit.probes.ridge import Fold, Matrix, out_of_fold, standardised

DRAWS = 200
"""Simulations of the nuisance by morphology alone, with which the measured gain is compared."""
LANDMARKS = 60
"""Galaxies whose similarity to each galaxy describes morphology beyond straight lines."""
LEVERAGE = 3.0
"""How much longer columns of morphology are than those of vectors: they are penalised less."""
LEVEL = 0.05
"""Chance that any nuisance of an audit is called known although vectors tell shapes alone."""
GUESS = {"R2": 0.0, "AUROC": 0.5}
"""Score of a guess, which knows nothing about the nuisance."""
LEAST = 0.02
"""Smallest gain in score over morphology that is called knowledge."""
REACH = {"R2": 40.0, "AUROC": 20.0}
"""How far above `LEAST` a gain in score has to be to be detected, times the number of galaxies.

Simulated by experiments/audit_power.py; the table is in experiments/README.md.
"""


@dataclasses.dataclass(frozen=True)
class Probe:
    """Store how well a nuisance is predicted by morphology, and by morphology plus embeddings.

    Parameters
    ----------
    name : str
        Name of the nuisance.
    origin : str
        Column of the nuisance, or how it was measured.
    measure : {"R2", "AUROC"}
        Score: R² of a number, or area under the ROC curve of categories (mean over them).
    galaxies : int
        Number of galaxies whose nuisance is known.
    morphology : float
        Score of models that use only the given morphology (votes or classes).
    apparent : float
        Score of models that use the given morphology, and the morphology that embeddings predict:
        embeddings may show a shape better than the volunteers' votes do.
    both : float
        Score of models that use the embeddings, and both kinds of morphology.
    highest : float
        95th percentile of `beyond` in simulations where the nuisance depends on morphology alone.
    p : float
        p value: share of these simulations that reach the measured `beyond`.
    """

    name: str
    origin: str
    measure: str
    galaxies: int
    morphology: float
    apparent: float
    both: float
    highest: float
    p: float

    @property
    def difference(self) -> float:
        """Return the score of embeddings plus morphology, minus that of morphology alone."""
        return self.both - self.morphology

    @property
    def beyond(self) -> float:
        """Return how much embeddings raise the score above that of both kinds of morphology.

        The two kinds are the given labels, and the labels that embeddings predict. A score worse
        than that of a guess counts as that of a guess: 0 for R², 0.5 for AUROC.
        """
        guess = GUESS[self.measure]
        return max(self.both, guess) - max(self.apparent, guess)

    def asdict(self) -> dict[str, Any]:
        """Return the scores, and how much embeddings raise them, as JSON values."""
        reach = detectable(self.measure, self.galaxies)
        more = {"difference": self.difference, "beyond": self.beyond, "detectable": reach}
        return dataclasses.asdict(self) | more


def detectable(measure: str, galaxies: int) -> float:
    """Return by how much embeddings must beat morphology so that 8 of 10 audits detect a nuisance.

    At least 80 % of simulated audits detect a nuisance that embeddings predict this much better
    than morphology on average. A weaker nuisance may stay undetected.

    Parameters
    ----------
    measure : {"R2", "AUROC"}
        Score of the nuisance.
    galaxies : int
        Number of galaxies whose nuisance is known.

    Examples
    --------
    >>> round(detectable("R2", 1000), 3)
    0.06
    """
    return LEAST + REACH[measure] / galaxies


def known(probes: Sequence[Probe]) -> list[bool]:
    """Return, per nuisance, if embeddings predict it significantly better than morphology does.

    The score beyond morphology has to be `LEAST` or more, and its p value at most `LEVEL`,
    corrected for the number of nuisances (Holm 1979, https://www.jstor.org/stable/4615733).
    """
    verdicts = [False] * len(probes)
    for place, number in enumerate(sorted(range(len(probes)), key=lambda n: probes[n].p)):
        if probes[number].p * (len(probes) - place) > LEVEL:
            break
        verdicts[number] = probes[number].beyond >= LEAST
    return verdicts


def probed(
    vectors: Matrix,
    morphology: Matrix,
    nuisance: Nuisance,
    folds: Sequence[Fold],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Probe:
    """Measure how much better embeddings predict a nuisance than morphology alone does.

    Redshift and size correlate with morphology in nature, so vectors that know only shapes predict
    them. The result is therefore the score of linear models on vectors and morphology together,
    minus the score on morphology alone, all cross-validated.

    Parameters
    ----------
    vectors : ndarray of float64
        Principal components, shape (n, c).
    morphology : ndarray of float64
        Vote fractions or classes as numbers, shape (n, q).
    nuisance : Nuisance
        Nuisance, known for all n galaxies.
    folds : sequence of (rest, part)
        Rows to fit and rows to predict, for each fold of the cross-validation; related galaxies
        share a fold.
    seed : int
        Seed of the simulations, and of the galaxies to which similarities are computed.
    draws : int
        Number of simulations under the null hypothesis.

    Notes
    -----
    Votes are noisy, and vectors may show the true shape better. So vectors have to surpass two
    kinds of morphology together: the votes, and the votes as predicted from the vectors by
    cross-validation. Under the null hypothesis the nuisance depends on this morphology alone:
    residuals of a number are permuted (Freedman & Lane 1983, doi:10.2307/1391660), categories drawn
    by their probabilities (Candès+2018, doi:10.1111/rssb.12265), and vectors stay as they are.
    """
    rng = np.random.default_rng(seed)
    votes = _curved(morphology, rng)
    apparent = _curved(np.hstack([morphology, out_of_fold(vectors, morphology, folds)]), rng)
    both = np.hstack([vectors, apparent])
    drawn = nuisance.drawn(apparent, folds, draws, rng)
    targets = np.concatenate([nuisance.targets[None], drawn])
    of_votes = _figures(nuisance, targets[:1], votes, folds)
    of_apparent, of_both = (_figures(nuisance, targets, each, folds) for each in (apparent, both))
    beyond = of_both - of_apparent
    return Probe(
        nuisance.name,
        nuisance.origin,
        nuisance.measure,
        len(nuisance.ids),
        float(of_votes[0]),
        float(of_apparent[0]),
        float(of_both[0]),
        float(np.quantile(beyond[1:], 0.95)),
        float((1 + (beyond[1:] >= beyond[0]).sum()) / (1 + draws)),
    )


def _figures(
    nuisance: Nuisance, targets: npt.NDArray[np.float64], features: Matrix, folds: Sequence[Fold]
) -> npt.NDArray[np.float64]:
    """Return how well features predict each set of values (measured or simulated), (draws,)."""
    draws, n, k = targets.shape
    columns = targets.transpose(1, 0, 2).reshape(n, draws * k)
    predicted = out_of_fold(features, columns, folds)
    figures = nuisance.figures(columns, predicted).reshape(draws, k)
    # ignore NaN: a random draw may lack a rare category, whose AUROC is then NaN
    return np.asarray(np.nanmean(figures, axis=1))


def _curved(morphology: Matrix, rng: np.random.Generator) -> Matrix:
    """Add each galaxy's similarity to 60 random galaxies, so that a linear model can fit curves.

    A similarity is a Gaussian kernel of the distance between two morphologies (Williams & Seeger
    2001, NIPS 13). Without similarities, vectors that depend on morphology along a curve would seem
    to know more than morphology. Tables of fewer than 600 galaxies give fewer similarities.
    """
    straight = standardised(morphology)
    n, q = straight.shape
    if not q:
        return np.zeros((n, 0))
    marks = straight[rng.choice(n, min(LANDMARKS, n // 10), replace=False)]
    squares = (straight**2).sum(1)[:, None] + (marks**2).sum(1) - 2 * straight @ marks.T
    kernel = standardised(np.exp(-np.maximum(squares, 0) / (2 * q)))
    return np.asarray(np.hstack([straight, kernel]) * LEVERAGE)
