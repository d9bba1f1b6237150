"""RunFolder: where a run's pairings lie, and how to read them again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from gzfeatures.errors import InputError, reading
from gzfeatures.files import existing, inside, written_whole
from gzfeatures.galaxies.labelfile import read_labels
from gzfeatures.galaxies.labels import Labels
from gzfeatures.galaxies.labelwords import AS_IS
from gzfeatures.galaxies.splits import Split
from gzfeatures.results.metrics import evaluate
from gzfeatures.results.pairing import Pairing
from gzfeatures.results.predictions import Predictions

PAIRINGS, LABELS = "pairings.json", "labels.csv"
FIELDS = (
    "road",
    "backbone",
    "head",
    "scheme",
    "split",
    "seconds",
    "parameters",
    "seed",
    "dagger",
    "cost",
    "calibration",
)


def slug(text: str) -> str:
    """File name for a pairing or backbone: letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "unnamed"


def write_pairings(folder: Path, pairings: Sequence[Pairing]) -> list[Path]:
    """Write each pairing's test predictions (Parquet) and `pairings.json`.

    Returns
    -------
    list of Path
        The predictions' files, in order.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    notes, paths = [], []
    for number, pairing in enumerate(pairings):
        name = f"predictions/{number:02d}-{slug(f'{pairing.road} {pairing.name}')}.parquet"
        paths.append(pairing.predictions.write(folder / name))
        notes.append({field: getattr(pairing, field) for field in FIELDS} | {"predictions": name})
    with written_whole(folder / PAIRINGS) as temporary:
        temporary.write_text(json.dumps(notes, indent=1, default=dict), encoding="utf-8")
    return paths


def read_pairings(folder: Path) -> tuple[list[Pairing], Labels, Split]:
    """Pairings of a finished run, scored anew, with its labels and split.

    Raises
    ------
    MissingFileError, InputError
        The folder holds no finished run, or its files cannot be read.
    """
    labels, split = read_labels(existing(folder / LABELS, "labels of a run"), words=AS_IS)
    if split is None:
        raise InputError("labels of a run have no split", where=folder / LABELS, rule="have a split column")
    path = existing(folder / PAIRINGS, "pairings of a finished run")
    pairings = []
    with reading("pairings of a run cannot be read", path):
        for note in json.loads(path.read_text(encoding="utf-8")):
            predictions = Predictions.read(inside(folder, note.pop("predictions")))
            labels = labels.ordered(predictions.classes)
            pairings.append(Pairing(**note, predictions=predictions, scores=evaluate(predictions, labels)))
    return pairings, labels, split
