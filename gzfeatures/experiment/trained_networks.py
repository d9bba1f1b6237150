"""Score trained networks on test galaxies, so that a run can rank them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.metrics import LOWER_IS_BETTER, evaluate, headline
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.reliability import measured
from gzfeatures.evaluation.statistics.conformal_intervals import ValueIntervals
from gzfeatures.features.backbones import RECORD, TENSORS
from gzfeatures.files import read_sidecar
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.networks.inference.temperature import tempered
from gzfeatures.unlabelled.familiarity import Familiarity

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """Store a trained network's folder, name, parameters and seed.

    Parameters
    ----------
    name : str
        Name of the network, as the user wrote it.
    folder : Path
        Folder of its checkpoint.
    seconds : float
        Duration of its training.
    parameters : mapping
        Settings of its training.
    seed : int
        Seed of its training.
    curve : tuple of float
        Validation score after each epoch, see `validation_curve`.
    """

    name: str
    folder: Path
    seconds: float
    parameters: Mapping[str, Any]
    seed: int
    curve: tuple[float, ...] = ()

    def candidate(
        self,
        predictions: Predictions,
        labels: Labels,
        split: Split,
        catalog: Catalog | None = None,
    ) -> Candidate:
        """Score the network by its test predictions, and return a record to rank it with others.

        Parameters
        ----------
        predictions : Predictions
            Calibrated predictions of the galaxies to score.
        labels : Labels
            True labels of these and of the training galaxies.
        split : Split
            Split into training, validation and test galaxies.
        catalog : Catalog, optional
            Catalog whose redshift, magnitude and size are used for scores in bins.
        """
        weights = self.folder / TENSORS
        return Candidate(
            approach="end-to-end",
            backbone=self.name,
            head=None,
            scheme=labels.scheme,
            split=split.fingerprint,
            predictions=predictions,
            scores=evaluate(
                predictions, labels, catalog=catalog, groups=split.groups, train=split.train
            ),
            seconds={"train": self.seconds},
            parameters=self.parameters,
            seed=self.seed,
            cost={"parameters": float(_learned(weights)), "bytes": float(weights.stat().st_size)},
            calibration=_calibration(predictions, read_sidecar(self.folder / RECORD), labels),
            curve=self.curve,
        )


def validation_curve(history: Sequence[Mapping[str, Any]], target: str) -> tuple[float, ...]:
    """Return the validation score after each epoch of a training; higher is better.

    Parameters
    ----------
    history : sequence of mapping
        Scores of each epoch, one mapping per epoch, as in `Training.history`.
    target : str
        Kind of labels, such as "classes" or "fractions"; it decides whether the score is accuracy,
        or RMSE with its sign changed.

    Returns
    -------
    tuple of float
        Scores in the order of epochs. Empty if an epoch has no score, as without validation
        galaxies.

    Examples
    --------
    >>> validation_curve([{"epoch": 1, "rmse": 0.3}, {"epoch": 2, "rmse": 0.2}], "fractions")
    (-0.3, -0.2)
    """
    metric = headline(target)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    if any(metric not in row for row in history):
        return ()
    return tuple(sign * float(row[metric]) for row in history)


def mean_curve(curves: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the mean of validation curves, aligned at their ends, as long as the shortest.

    Examples
    --------
    >>> mean_curve([(0.1, 0.5, 0.7), (0.7, 0.9)])
    (0.6, 0.8)
    """
    shortest = min(map(len, curves), default=0)
    ends = zip(*(curve[len(curve) - shortest :] for curve in curves), strict=True)
    return tuple(sum(values) / len(values) for values in ends)


def ensemble_name(name: str, members: int) -> str:
    """Return the name of an ensemble: the name of its members, and their number.

    Examples
    --------
    >>> ensemble_name("resnet18", 3)
    'resnet18 x3'
    """
    return f"{name} x{members}"


def _calibration(
    predictions: Predictions,
    record: Mapping[str, Any],
    labels: Labels,
) -> dict[str, Any]:
    """Score probabilities before calibration; measure the coverage of class sets or intervals."""
    calibration: dict[str, Any] = {}
    if record.get("intervals"):
        intervals = ValueIntervals.fromdict(record["intervals"])
        calibration["intervals"] = intervals.coverage_report(predictions, labels)
    if labels.target == "classes":
        temperature = float(record.get("temperature", 1.0))
        # these probabilities are calibrated by a temperature: undo it to get the network's own ones
        plain = tempered(predictions.probabilities, 1 / temperature, predictions.kind)
        bare = dataclasses.replace(predictions, probabilities=plain, sets=None)
        calibration |= {"before": measured(bare, labels), "temperature": temperature}
    if record.get("sets"):
        sets = Conformal.fromdict(record["sets"])
        calibration["sets"] = sets.coverage_report(predictions, labels)
    if record.get("familiarity"):
        note = Familiarity.fromdict(record["familiarity"]).why_none_flagged
        calibration |= {} if note is None else {"notes": [note]}
    return calibration


def _learned(path: Path) -> int:
    """Return how many numbers a network has learned, from the header of its weights file."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        # leave out the running means of batch normalisation: they are measured, not learned
        names = [name for name in file.keys() if "running_" not in name]  # noqa: SIM118
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
