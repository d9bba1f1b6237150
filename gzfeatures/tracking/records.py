"""Hold what MLflow gets of a compared model or a comparison, as plain values and file names.

What could not be recorded at once waits in the run folder in this form, and is recorded later by
the same steps.
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
"""Tag by which a run that is recorded later is known, so that it is not recorded twice."""
MADE = "gzfeatures.made"
"""Tag of a comparison: when it was made (ns since 1970), whenever it was recorded."""


@dataclasses.dataclass(frozen=True)
class CandidateRecord:
    """Hold what the MLflow run of one compared model contains.

    Parameters
    ----------
    key : str
        The same for no other record.
    experiment, name : str
        Names of the experiment and of the run.
    model : str
        Name of the head or network in the registry.
    is_network : bool
        A folder among the artifacts is then the model itself.
    tags, parameters : mapping of str to str
    metrics : mapping of str to float
        Finite.
    dataset : mapping of str to str
        Arguments of MLflow's dataset of the test galaxies.
    whole : str
        The whole record as JSON text, which `pairing.json` of the run holds.
    confusion : list of list of float, or None
        Rows are true classes.
    classes : list of str
    artifacts : list of str
        Files and folders to keep with it, in the run folder or absolute.
    opened : str or None
        Run of the training that is filled in place of a new one.
    logged : int
        Epochs it has.
    run : str or None
        Run id, once it is recorded.
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
        """Return what MLflow gets of a compared model: scores, settings, files, training run."""
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
            # a training that had finished earlier, and is only read, gets the same run name as a
            # new training
            name=candidate.name if live is None else live.name,
            model=run_contents.model_name(experiment, candidate),
            is_network=candidate.head is None,
            tags=tags | {NOTE: run_contents.summary_line(candidate)},
            parameters=run_contents.texts_of(run_contents.parameters(candidate)),
            metrics=run_contents.metrics(candidate),
            dataset=run_contents.dataset(candidate),
            # MLflow cuts long parameters, so this JSON text keeps them completely
            whole=json.dumps(record, indent=1, default=str),
            confusion=None if confusion is None else confusion.tolist(),
            classes=list(scores.classes),
            artifacts=[str(path) for path in artifacts],
            opened=live.run if live else None,
            logged=live.logged if live else 0,
        )


class ComparedRun(TypedDict):
    """Hold the tags that identify a compared run, the tags it gets, and its model's name."""

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
    """Hold what the MLflow run of a comparison contains.

    Parameters
    ----------
    key, experiment : str
        As of `CandidateRecord`.
    tags, parameters : mapping of str to str
    metrics : mapping of str to float
    ranking : str
        Markdown that describes the experiment in the UI.
    view : str
        The UI's view of its runs, as JSON text.
    split : str
        Fingerprint of the split.
    compared : list of ComparedRun
        Those that are compared, best first.
    run : str or None
        Run id, once it is recorded.
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
        """Return what MLflow gets of the comparison in a report."""
        # the UI shows the first line of a description as its title, so begin with the headline,
        # without its #
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
            # with a score of its own the comparison would appear among the compared models, which
            # the UI sorts by score
            metrics={"pairings": float(len(report.candidates))},
            ranking=ranking,
            view=run_contents.view(report),
            split=report.split.fingerprint,
            compared=[_compared(experiment, report, row) for row, _ in report.ranked],
        )


def _compared(experiment: str, report: Report, row: RankedRow) -> ComparedRun:
    """Return the tags of one compared model's run, from its row of the ranking."""
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
    """Return "first", "yes" or "no": whether a method differs clearly from the best one."""
    if row.untrained is not None:
        return "first, untrained" if row.rank == 1 else "untrained"
    if row.rank == 1:
        return "first"
    if row.tied:
        return "yes"
    return "no, one seed" if row.compares == "trainings" else "no"


def fields_of(record: CandidateRecord | ComparisonRecord) -> dict[str, Any]:
    """Return what MLflow gets of a compared model or comparison, as JSON values."""
    return dataclasses.asdict(record)


def _new_key() -> str:
    """Return a text that identifies one MLflow run, different for every run on any machine."""
    return f"{time.time_ns():x}-{os.getpid():x}-{os.urandom(4).hex()}"
