"""Write scored networks and heads (candidates) to a run's folder, and read them again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, parsing
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.metrics import Scores, evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.files import join_inside, require_file, written_whole
from gzfeatures.galaxies.catalogs.label_words import AS_IS
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.target_column import TargetColumn
from gzfeatures.galaxies.splits.label_file import read_labels, read_target
from gzfeatures.galaxies.splits.split import Split

PAIRINGS, LABELS = "pairings.json", "labels.csv"
FIELDS = {
    "road": "approach",
    "backbone": "backbone",
    "head": "head",
    "scheme": "scheme",
    "split": "split",
    "seconds": "seconds",
    "parameters": "parameters",
    "seed": "seed",
    "dagger": "contaminated",
    "cost": "cost",
    "calibration": "calibration",
    "validation_curve": "curve",
}
"""Keys in `pairings.json`, each with the attribute of `Candidate` that it stores."""


TARGET = "target"
"""Key in `pairings.json` for what predicted numbers are: `value` or `redshift`."""


def slug(text: str) -> str:
    """Turn the name of a network or head into a file name: letters, digits, dots, hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "unnamed"


def record_of(candidate: Candidate, predictions: str) -> dict[str, Any]:
    """Return a scored network or head as JSON values, with the path of its predictions."""
    fields = {key: getattr(candidate, field) for key, field in FIELDS.items()}
    # record if predicted numbers are redshifts: the file of predictions does not say so
    number = {TARGET: candidate.predictions.kind} if candidate.predictions.is_value else {}
    return fields | {"predictions": predictions} | number


def candidate_of(record: Mapping[str, Any], predictions: Predictions, scores: Scores) -> Candidate:
    """Rebuild a scored network or head from JSON values, predictions and scores."""
    fields = {FIELDS[key]: value for key, value in record.items()}
    # files of earlier versions have no validation curve
    fields["curve"] = tuple(map(float, fields.get("curve", ())))
    return Candidate(**fields, predictions=predictions, scores=scores)


def write_candidates(folder: Path, candidates: Sequence[Candidate]) -> list[Path]:
    """Write the test predictions of each network or head (Parquet), all else to `pairings.json`.

    Returns
    -------
    list of Path
        Files of the predictions, in the order of `candidates`.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    notes, paths = [], []
    for number, candidate in enumerate(candidates):
        name = f"predictions/{number:02d}-{slug(f'{candidate.approach} {candidate.name}')}.parquet"
        paths.append(candidate.predictions.write(folder / name))
        notes.append(record_of(candidate, name))
    with written_whole(folder / PAIRINGS) as temporary:
        temporary.write_text(json.dumps(notes, indent=1, default=dict), encoding="utf-8")
    return paths


def read_candidates(folder: Path) -> tuple[list[Candidate], Labels, Split]:
    """Read networks, heads, labels and split of a finished run, and compute the scores again.

    Raises
    ------
    MissingFileError, InputError
        The folder has no finished run, or its files cannot be read.
    """
    path = require_file(folder / PAIRINGS, "candidates of a finished run")
    with parsing("candidates of a run cannot be read", path):
        notes = json.loads(path.read_text(encoding="utf-8"))
        target = next((note[TARGET] for note in notes if TARGET in note), None)
        column = str(notes[0]["scheme"]) if target is not None else ""
    labels, split = _labels(require_file(folder / LABELS, "labels of a run"), target, column)
    candidates = []
    with parsing("candidates of a run cannot be read", path):
        for note in notes:
            file = join_inside(folder, note.pop("predictions"))
            predictions = Predictions.read(file, number=note.pop(TARGET, None))
            # order the classes as in the predictions: the CSV file of labels has no
            # order of classes
            labels = labels.ordered(predictions.classes)
            scores = evaluate(predictions, labels, groups=split.groups, train=split.train)
            candidates.append(candidate_of(note, predictions, scores))
    return candidates, labels, split


def _labels(path: Path, target: str | None, column: str) -> tuple[Labels, Split]:
    """Read a run's split, and its class labels or the numeric values of its target column."""
    if target is None:
        labels, split = read_labels(path, words=AS_IS)
    else:
        number = TargetColumn(column, target == "redshift", as_number=True)
        labels, split = read_target(path, number)
    if split is None:
        raise InputError("labels of a run have no split", where=path, rule="have a split column")
    return labels, split
