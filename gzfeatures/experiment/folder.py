"""Write the candidates of a run to its folder, and read them again."""

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
"""Keys in `pairings.json`, with the fields of a candidate that the keys hold."""


TARGET = "target"
"""Key of a candidate's record that tells the kind of predicted numbers: `value` or `redshift`."""


def slug(text: str) -> str:
    """Return a file name for a candidate or backbone: letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "unnamed"


def record_of(candidate: Candidate, predictions: str) -> dict[str, Any]:
    """Return a scored network or head as JSON values, with a path instead of its predictions."""
    fields = {key: getattr(candidate, field) for key, field in FIELDS.items()}
    # note whether predicted numbers are redshifts, because their own file does not say so
    number = {TARGET: candidate.predictions.kind} if candidate.predictions.is_value else {}
    return fields | {"predictions": predictions} | number


def candidate_of(record: Mapping[str, Any], predictions: Predictions, scores: Scores) -> Candidate:
    """Rebuild a scored network or head from its JSON values, its predictions and its scores."""
    fields = {FIELDS[key]: value for key, value in record.items()}
    # files of earlier versions hold no validation curve
    fields["curve"] = tuple(map(float, fields.get("curve", ())))
    return Candidate(**fields, predictions=predictions, scores=scores)


def write_candidates(folder: Path, candidates: Sequence[Candidate]) -> list[Path]:
    """Write the test predictions of each candidate (Parquet), and all else as `pairings.json`.

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
    for number, candidate in enumerate(candidates):
        name = f"predictions/{number:02d}-{slug(f'{candidate.approach} {candidate.name}')}.parquet"
        paths.append(candidate.predictions.write(folder / name))
        notes.append(record_of(candidate, name))
    with written_whole(folder / PAIRINGS) as temporary:
        temporary.write_text(json.dumps(notes, indent=1, default=dict), encoding="utf-8")
    return paths


def read_candidates(folder: Path) -> tuple[list[Candidate], Labels, Split]:
    """Read the candidates, labels and split of a finished run, and score the candidates again.

    Raises
    ------
    MissingFileError, InputError
        The folder holds no finished run, or its files cannot be read.
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
            # use the predictions' order of classes, which a CSV of labels does not contain
            labels = labels.ordered(predictions.classes)
            scores = evaluate(predictions, labels, groups=split.groups, train=split.train)
            candidates.append(candidate_of(note, predictions, scores))
    return candidates, labels, split


def _labels(path: Path, target: str | None, column: str) -> tuple[Labels, Split]:
    """Read the labels of a run, or the numbers of its target column, with their split."""
    if target is None:
        labels, split = read_labels(path, words=AS_IS)
    else:
        number = TargetColumn(column, target == "redshift", as_number=True)
        labels, split = read_target(path, number)
    if split is None:
        raise InputError("labels of a run have no split", where=path, rule="have a split column")
    return labels, split
