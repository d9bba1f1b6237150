"""Choose galaxies to show in a report, and collect the classes predicted for each galaxy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.figures.gallery import tiles
from gzfeatures.figures.sprites import address
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View

THUMBNAIL = View(size=96, crop=0.6)


@dataclasses.dataclass(frozen=True)
class Guess:
    """Store the class that one network or head predicts for a galaxy.

    Parameters
    ----------
    rank : int
        Rank of the network or head.
    candidate : str
        Name of the network or head.
    predicted : str
        Most probable class.
    probability : float
        Probability of the most probable class.
    right : bool
        True if the most probable class is the volunteers' class.
    """

    rank: int
    candidate: str
    predicted: str
    probability: float
    right: bool


@dataclasses.dataclass(frozen=True)
class Example:
    """Store one galaxy of a gallery: its id, its label and the classes predicted for it.

    Parameters
    ----------
    id : str
        Galaxy id, untrusted text.
    actual : str
        The volunteers' class.
    votes : float or None
        Vote fraction for this class; None if unknown.
    guesses : tuple of Guess
        Class predicted by each network or head.
    """

    id: str
    actual: str
    votes: float | None
    guesses: tuple[Guess, ...]


def mistakes(predictions: Predictions, labels: Labels, count: int = 24) -> Ids:
    """Return ids of at most `count` wrongly classified galaxies, most certain mistake first."""
    wrong = predictions.codes != labels.select(predictions.ids).codes
    return _most(predictions.ids, np.where(wrong, predictions.probabilities.max(1), -np.inf), count)


def disagreements(first: Predictions, second: Predictions, count: int = 24) -> Ids:
    """Return ids of at most `count` galaxies that two networks or heads classify differently.

    A galaxy comes early if both give a high probability to the class that they predict.
    """
    second = second.select(first.ids)
    sure = np.minimum(first.probabilities.max(1), second.probabilities.max(1))
    return _most(first.ids, np.where(first.codes != second.codes, sure, -np.inf), count)


def successes(predictions: Predictions, labels: Labels, per_class: int = 3) -> Ids:
    """Return ids of correctly classified galaxies: of each class those with highest probability.

    The ids are sorted by class.
    """
    actual = labels.select(predictions.ids).codes
    right = predictions.codes == actual
    # choose the highest probabilities: these galaxies show what is typical of a class for the
    # network
    best = [
        _most(
            predictions.ids,
            np.where(right & (actual == code), predictions.probabilities.max(1), -np.inf),
            per_class,
        )
        for code in range(len(predictions.classes))
    ]
    return np.concatenate(best)


def _most(ids: Ids, weight: npt.NDArray[np.float64], count: int) -> Ids:
    # sort galaxies of equal weight (a predicted probability) by id, so that a repeated report shows
    # the same galaxies
    order = np.lexsort((ids.astype(str), -weight))[:count]
    return ids[order[np.isfinite(weight[order])]]


def examples(
    ids: Ids, labels: Labels, guesses: Sequence[tuple[int, str, Predictions]]
) -> list[Example]:
    """Return, for each id, the galaxy's label and the class that each network or head predicts."""
    chosen = labels.select(ids)
    actual, rows = chosen.names, np.arange(len(ids))
    votes = np.full(len(ids), np.nan) if chosen.soft is None else chosen.soft[rows, chosen.codes]
    predicted = [(rank, name, predictions.select(ids)) for rank, name, predictions in guesses]
    return [
        Example(
            id=str(ids[row]),
            actual=str(actual[row]),
            votes=None if np.isnan(votes[row]) else float(votes[row]),
            guesses=tuple(
                Guess(
                    rank=rank,
                    candidate=name,
                    predicted=str(predictions.names[row]),
                    probability=float(predictions.probabilities[row].max()),
                    right=bool(predictions.names[row] == actual[row]),
                )
                for rank, name, predictions in predicted
            ),
        )
        for row in range(len(ids))
    ]


def thumbnails(images: ImageSet, ids: Ids, view: View = THUMBNAIL) -> dict[str, str]:
    """Return galaxy id → small JPEG as a `data:` URL; images that cannot be read are left out.

    Parameters
    ----------
    images : ImageSet
        Images of the galaxies.
    ids : Ids
        Galaxies to show.
    view : View
        Size and crop of the small pictures.
    """
    pictures = tiles(images, ((name, "") for name in dict.fromkeys(ids)), view)
    return {
        picture.name: address(picture.picture)
        for picture in pictures
        if picture.picture is not None
    }
