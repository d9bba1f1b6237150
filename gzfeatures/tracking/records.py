"""Store what is recorded in MLflow of a model or comparison, as plain values and file names.

Values that cannot be recorded at once are saved in the experiment's folder in this form, and are
recorded later by the same functions.
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
"""Tag with a unique key of a run, by which it is found, so that it is not recorded twice."""
MADE = "gzfeatures.made"
"""Tag with the time at which a comparison was made (ns since 1970); it may be recorded later."""


@dataclasses.dataclass(frozen=True)
class CandidateRecord:
    """Store what is recorded in MLflow of one compared model.

    Parameters
    ----------
    key : str
        Unique key of this record.
    experiment, name : str
        Names of the experiment and of the run.
    model : str
        Name of the head or network in the registry.
    is_network : bool
        True if the model is a network, whose folder is among the artifacts.
    tags, parameters : mapping of str to str
    metrics : mapping of str to float
        Finite.
    dataset : mapping of str to str
        Arguments for an MLflow dataset of the test galaxies.
    whole : str
        The whole record as JSON text, written to the run's `pairing.json`.
    confusion : list of list of float, or None
        Rows are true classes.
    classes : list of str
    artifacts : list of str
        Files and folders to store with the run, as absolute paths or in the experiment's folder.
    opened : str or None
        Id of the training's run, which is continued; None: a new run is created.
    logged : int
        Number of epochs already logged.
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
        """Collect what is recorded of a compared model: scores, settings, files, training run."""
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
            # a training recorded epoch by epoch (`live`) gave its MLflow run a name: keep that name
            name=candidate.name if live is None else live.name,
            model=run_contents.model_name(experiment, candidate),
            is_network=candidate.head is None,
            tags=tags | {NOTE: run_contents.summary_line(candidate)},
            parameters=run_contents.texts_of(run_contents.parameters(candidate)),
            metrics=run_contents.metrics(candidate),
            dataset=run_contents.dataset(candidate),
            # MLflow shortens long parameters; this JSON text contains them in full
            whole=json.dumps(record, indent=1, default=str),
            confusion=None if confusion is None else confusion.tolist(),
            classes=list(scores.classes),
            artifacts=[str(path) for path in artifacts],
            opened=live.run if live else None,
            logged=live.logged if live else 0,
        )


class ComparedRun(TypedDict):
    """Store the tags that identify a compared model's run, its new tags, and the model's name."""

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
    """Store what is recorded in MLflow of the comparison of several models.

    Parameters
    ----------
    key, experiment : str
        As in `CandidateRecord`.
    tags, parameters : mapping of str to str
    metrics : mapping of str to float
    ranking : str
        Ranking in Markdown, the description of the experiment in MLflow's UI.
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
        """Collect what is recorded of a report's comparison: ranking, settings, compared models."""
        # MLflow's UI shows the first line as title, so remove the headline's #
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
            # log no score here: the UI sorts runs by score, and would list the comparison among the
            # models
            metrics={"pairings": float(len(report.candidates))},
            ranking=ranking,
            view=run_contents.view(report),
            split=report.split.fingerprint,
            compared=[_compared(experiment, report, row) for row, _ in report.ranked],
        )


def _compared(experiment: str, report: Report, row: RankedRow) -> ComparedRun:
    """Return the tags of one compared model's MLflow run, from its row of the ranking."""
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
    """Return "first", "yes" or "no": whether a model is tied with the best, or clearly worse."""
    if row.untrained is not None:
        return "first, untrained" if row.rank == 1 else "untrained"
    if row.rank == 1:
        return "first"
    if row.tied:
        return "yes"
    return "no, one seed" if row.compares == "trainings" else "no"


def fields_of(record: CandidateRecord | ComparisonRecord) -> dict[str, Any]:
    """Return a record of a compared model or comparison as JSON values."""
    return dataclasses.asdict(record)


def _new_key() -> str:
    """Return a random text that identifies one MLflow run on all machines."""
    return f"{time.time_ns():x}-{os.getpid():x}-{os.urandom(4).hex()}"
