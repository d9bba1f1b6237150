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
"""Galaxies that are shown."""
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class WorstError:
    """Store a wrongly classified galaxy, with the probabilities of its label and of the prediction.

    Parameters
    ----------
    galaxy_id : str
        Untrusted text.
    label : str
        The volunteers' class.
    predicted : str
        The most probable class, another one.
    probability : float
        Probability of the predicted class.
    label_probability : float
        Probability of the volunteers' class.
    log_loss : float
        −ln of that; at most 27.6, that of a probability of 1e-12.
    """

    galaxy_id: str
    label: str
    predicted: str
    probability: float
    label_probability: float
    log_loss: float


def worst_errors(predictions: Predictions, labels: Labels, count: int = MOST) -> list[WorstError]:
    """Return the wrongly classified galaxies, sorted by falling log loss.

    Parameters
    ----------
    predictions : Predictions
        Of one class a galaxy.
    labels : Labels
        Truth of all of them, with the same classes in the same order.
    count : int
        At most so many.
    """
    truth = labels.select(predictions.ids)
    rows = np.arange(len(predictions))
    of_label = predictions.probabilities[rows, truth.codes]
    loss = -np.log(np.maximum(of_label, _TINY))
    wrong = np.flatnonzero(predictions.codes != truth.codes)
    # order equal losses by id, so that repeated calls write the same page
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
    """Write `errors.json`, and `errors.html` with a picture of each galaxy.

    Files of an earlier call are removed first.

    Parameters
    ----------
    folder : Path
        Where to.
    predictions : Predictions
        Of galaxies that were not trained on. Of other targets than one class a galaxy nothing is
        written: no single class is wrong there.
    labels : Labels
        Truth of all of them.
    images : ImageSet
        Their pictures; a galaxy without a readable one has a blank.
    side : str
        Side of the split that they stand on, such as test.

    Returns
    -------
    list of Path
        What was written.

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
