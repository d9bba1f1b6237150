"""Store all that MLflow records about a model or a comparison, as plain values and file names.

If MLflow cannot record the values at once, they are saved in the experiment's folder in this form,
and the same functions record them later.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from gzfeatures.report.texts import flat
from gzfeatures.tracking import run_contents
from gzfeatures.tracking._compat_mlflow import NOTE

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.evaluation.rows import RankedRow
    from gzfeatures.report.report import Report
    from gzfeatures.tracking.live import Live

KEY = "gzfeatures.record"
"""Tag of an MLflow run with a unique key, by which a result recorded before is recognised."""
MADE = "gzfeatures.made"
"""Tag with the time (ns since 1970) when a comparison was made, not when it was recorded."""


@dataclasses.dataclass(frozen=True)
class CandidateRecord:
    """Store all that MLflow records about one compared model: scores, settings, files.

    Parameters
    ----------
    key : str
        Unique key of this record.
    experiment, name : str
        Names of the experiment and of the run.
    model : str
        Name of the head or network in MLflow's registry of models.
    is_network : bool
        True if the model is a network, whose folder is among the artifacts.
    tags, parameters : mapping of str to str
        MLflow's tags and parameters of the run.
    metrics : mapping of str to float
        MLflow's metrics of the run; all values are finite.
    dataset : mapping of str to str
        Arguments for an MLflow dataset of the test galaxies.
    whole : str
        Tags, settings and scores as JSON text, written to the run's `pairing.json`.
    confusion : list of list of float, or None
        Confusion matrix: rows are true classes, columns are predicted classes.
    classes : list of str
        Class names, in the order of the confusion matrix.
    artifacts : list of str
        Files and folders to store with the run: absolute paths, or paths relative to the
        experiment's folder.
    opened : str or None
        Id of the run in which the training was recorded epoch by epoch; scores are added to that
        run. If None, a new run is created.
    logged : int
        Number of epochs already logged in that run.
    run : str or None
        Id of the MLflow run; None before it is recorded.
    """

    key: str
    experiment: str
    name: str
    model: str
    is_network: bool
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    dataset: Mapping[str, str]
    whole: str
    confusion: list[list[float]] | None
    classes: list[str]
    artifacts: list[str]
    opened: str | None = None
    logged: int = 0
    run: str | None = None

    @classmethod
    def of(
        cls,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Live | None = None,
    ) -> CandidateRecord:
        """Collect what MLflow records about a compared model: scores, settings, files, run."""
        tags, scores = run_contents.tags(experiment, candidate), candidate.scores
        record = {
            "tags": tags,
            "parameters": dict(candidate.parameters),
            "scores": scores.asdict(),
        }
        confusion = scores.confusion
        return cls(
            key=_new_key(),
            experiment=experiment,
            # a training that was recorded epoch by epoch (`live`) has already named its MLflow run
            name=candidate.name if live is None else live.name,
            model=run_contents.model_name(experiment, candidate),
            is_network=candidate.head is None,
            tags=tags | {NOTE: run_contents.summary_line(candidate)},
            parameters=run_contents.texts_of(run_contents.parameters(candidate)),
            metrics=run_contents.metrics(candidate),
            dataset=run_contents.dataset(candidate),
            # MLflow limits the length of parameters; this JSON text contains them in full
            whole=json.dumps(record, indent=1, default=str),
            confusion=None if confusion is None else confusion.tolist(),
            classes=list(scores.classes),
            artifacts=[str(path) for path in artifacts],
            opened=live.run if live else None,
            logged=live.logged if live else 0,
        )


class ComparedRun(TypedDict):
    """Store tags that identify a compared model's run, tags of its rank, and the model's name."""

    road: str
    backbone: str
    head: str
    seed: str
    tied: str
    interval: str
    seconds: str
    model: str


@dataclasses.dataclass(frozen=True)
class ComparisonRecord:
    """Store all that MLflow records about the comparison of several models.

    Parameters
    ----------
    key, experiment : str
        As in `CandidateRecord`.
    tags, parameters : mapping of str to str
        MLflow's tags and parameters of the comparison's run.
    metrics : mapping of str to float
        MLflow's metrics of that run.
    ranking : str
        Ranking of the models in Markdown; MLflow's UI shows it as the experiment's description.
    view : str
        Columns and order of the UI's list of runs, as JSON text.
    split : str
        Fingerprint of the split.
    compared : list of ComparedRun
        Tags of the compared models' runs, best first.
    run : str or None
        Id of the MLflow run; None before it is recorded.
    """

    key: str
    experiment: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    ranking: str
    view: str
    split: str
    compared: list[ComparedRun]
    run: str | None = None

    @classmethod
    def of(cls, experiment: str, report: Report) -> ComparisonRecord:
        """Collect what MLflow records about a comparison: ranking, settings, compared models."""
        # remove the # of the headline, because MLflow's UI shows the first line as a title anyway
        ranking = report.markdown().removeprefix("# ")
        tags = {
            "kind": "comparison",
            "experiment": experiment,
            "scheme": report.labels.scheme,
            "split": report.split.fingerprint,
            NOTE: ranking,
            MADE: str(time.time_ns()),
        }
        return cls(
            key=_new_key(),
            experiment=experiment,
            tags=tags,
            parameters=run_contents.texts_of(dict(flat(report.provenance))),
            # log no score for the comparison: MLflow's UI sorts runs by score, and would list the
            # comparison among the models
            metrics={"pairings": float(len(report.candidates))},
            ranking=ranking,
            view=run_contents.view(report),
            split=report.split.fingerprint,
            compared=[_compared(experiment, report, row) for row, _ in report.ranked],
        )


def _compared(experiment: str, report: Report, row: RankedRow) -> ComparedRun:
    """Return the tags of a compared model's MLflow run, from the model's row in the ranking."""
    seconds = row.costs.get("end_to_end_seconds")
    return {
        "road": row.approach,
        "backbone": row.backbone,
        "head": row.head or "none",
        "seed": str(row.seed),
        "tied": _tied(row),
        "interval": run_contents.interval_text(row, report.comparison.metric),
        "seconds": "" if seconds is None else f"{seconds:,.1f}",
        "model": run_contents.model_name(experiment, row),
    }


def _tied(row: RankedRow) -> str:
    """Return "first" for the best model, "yes" for one not clearly worse, otherwise "no".

    The text is "no, one seed" if the test compared only one training of each network, and contains
    "untrained" if the network was not trained long enough to be compared.
    """
    if row.untrained is not None:
        return "first, untrained" if row.rank == 1 else "untrained"
    if row.rank == 1:
        return "first"
    if row.tied:
        return "yes"
    return "no, one seed" if row.compares == "trainings" else "no"


def fields_of(record: CandidateRecord | ComparisonRecord) -> dict[str, Any]:
    """Return a record of a compared model or of a comparison as a dictionary of JSON values."""
    return dataclasses.asdict(record)


def _new_key() -> str:
    """Return a random string that identifies one MLflow run, unique across machines."""
    return f"{time.time_ns():x}-{os.getpid():x}-{os.urandom(4).hex()}"
