"""Write the galaxies with the most confident wrong predictions as a web page and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gzfeatures import outputs
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.figures.gallery import Gallery, Picture, tiles
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet

FILES = PAGE, RECORD = "errors.html", "errors.json"
MOST = 40
"""Largest number of galaxies that the page shows."""
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class WorstError:
    """Store a wrongly classified galaxy, with the probabilities of its label and of the prediction.

    Parameters
    ----------
    galaxy_id : str
        Id of the galaxy, untrusted text.
    label : str
        Class in the labels, such as the volunteers' class.
    predicted : str
        Most probable class, which differs from the label.
    probability : float
        Predicted probability of the most probable class.
    label_probability : float
        Predicted probability of the label.
    log_loss : float
        −ln(`label_probability`); at most 27.6, which belongs to a probability of 1e-12.
    """

    galaxy_id: str
    label: str
    predicted: str
    probability: float
    label_probability: float
    log_loss: float


def worst_errors(predictions: Predictions, labels: Labels, count: int = MOST) -> list[WorstError]:
    """Return the wrongly classified galaxies, the one with the largest log loss first.

    Parameters
    ----------
    predictions : Predictions
        Probabilities of classes; each galaxy has one class.
    labels : Labels
        True classes of all these galaxies, with the same classes in the same order.
    count : int
        Largest number of galaxies to return.
    """
    truth = labels.select(predictions.ids)
    rows = np.arange(len(predictions))
    of_label = predictions.probabilities[rows, truth.codes]
    loss = -np.log(np.maximum(of_label, _TINY))
    wrong = np.flatnonzero(predictions.codes != truth.codes)
    # sort galaxies of equal loss by id, so that repeated calls write the same page
    order = wrong[np.lexsort((predictions.ids[wrong].astype(str), -loss[wrong]))][:count]
    names = predictions.names
    return [
        WorstError(
            str(predictions.ids[row]),
            str(truth.names[row]),
            str(names[row]),
            float(predictions.probabilities[row].max()),
            float(of_label[row]),
            float(loss[row]),
        )
        for row in order
    ]


def write_worst_errors(
    folder: Path, predictions: Predictions, labels: Labels, images: ImageSet, side: str
) -> list[Path]:
    """Write the worst errors to `errors.json`, and with a picture of each galaxy to `errors.html`.

    Files of an earlier call are removed first.

    Parameters
    ----------
    folder : Path
        Folder to write into.
    predictions : Predictions
        Predictions for galaxies that were not trained on. If they are not one class for each
        galaxy, nothing is written, because then a prediction is not simply right or wrong.
    labels : Labels
        True classes of all these galaxies.
    images : ImageSet
        Images of the galaxies; a galaxy without a readable image gets an empty picture.
    side : str
        Side of the split from which the galaxies come, such as test.

    Returns
    -------
    list of Path
        Files that were written.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    for name in (PAGE, RECORD):
        outputs.remove(folder / name)
    if predictions.kind != "classes" or not len(predictions):
        return []
    wrong = int((predictions.codes != labels.select(predictions.ids).codes).sum())
    errors = worst_errors(predictions, labels)
    record = {
        "side": side,
        "galaxies": len(predictions),
        "wrong": wrong,
        "errors": [dataclasses.asdict(error) for error in errors],
    }
    with written_whole(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1), "utf-8")
    written = [folder / RECORD]
    if errors:
        title = f"{len(errors)} worst of {wrong} errors among {len(predictions)} {side} galaxies"
        written.append(_gallery(title, errors, images).write(folder / PAGE))
    return written


def _gallery(title: str, errors: Sequence[WorstError], images: ImageSet) -> Gallery:
    """Return a gallery of errors with one section per labelled class, worst error first."""
    captions = [(error.galaxy_id, _caption(error)) for error in errors]
    sections: dict[str, list[Picture]] = {}
    for error, picture in zip(errors, tiles(images, captions), strict=True):
        sections.setdefault(f"labelled {error.label}", []).append(picture)
    note = (
        "Galaxies whose most probable class is not that of their label. In each section those "
        "come first to whose label the network gives the smallest probability: they are its own "
        "mistakes, or labels worth a second look."
    )
    return Gallery(title, note, sections)


def _caption(error: WorstError) -> str:
    return (
        f"predicted {error.predicted}: {error.probability:.2f}\n"
        f"label {error.label}: {error.label_probability:.2g}, log loss {error.log_loss:.2f}"
    )
