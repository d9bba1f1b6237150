"""Read settings, scores and predictions from the folder of a finished run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.rows import RankedRow
from gzfeatures.experiment import config as configs
from gzfeatures.experiment.config import SETTINGS, Experiment
from gzfeatures.experiment.folder import read_candidates
from gzfeatures.files import require_file
from gzfeatures.report.report import FORMAT, Report

RECORD = "report.json"
"""Name of the file with a run's ranking, versions, machine and settings."""


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedRun:
    """Store settings, report and record (versions, machine, ranking) of a finished run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    settings : Experiment
        Settings of the experiment that was run.
    report : Report
        Networks and heads, labels and split; the ranking is computed again, by the run's metric.
    record : mapping
        Content of `report.json`.
    """

    folder: Path
    settings: Experiment
    report: Report
    record: Mapping[str, Any]

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Return the versions, machine and settings that the run recorded."""
        provenance: Mapping[str, Any] = self.record["provenance"]
        return provenance

    @property
    def scheme(self) -> str:
        """Return the name of the class scheme, which the label file does not contain."""
        return str(self.record["scheme"])

    def candidate(self, rank: int) -> tuple[RankedRow, Candidate]:
        """Return the row of the ranking with this rank, and its network or head.

        Raises
        ------
        InputError
            The ranking has no such rank.
        """
        ranked = self.report.ranked
        if not 1 <= rank <= len(ranked):
            raise InputError(
                "rank of a candidate",
                where=self.folder,
                rule=f"be 1 to {len(ranked)}",
                found=rank,
            )
        return ranked[rank - 1]


def read_run(place: str | Path) -> FinishedRun:
    """Read settings, report and predictions of a finished run from its folder.

    Parameters
    ----------
    place : str or Path
        Run folder; or an experiment file, whose default run folder `runs/<name>` is read.

    Raises
    ------
    MissingFileError
        The run is not finished.
    InputError
        A file of the run cannot be read, or its report and its predictions are of different runs.
    """
    folder = Path(place)
    if folder.is_file():
        folder = Path("runs") / configs.load(folder).name
    path = require_file(folder / RECORD, "report of a finished run")
    with parsing("report of a run cannot be read", path):
        record = json.loads(path.read_text(encoding="utf-8"))
        format_, metric, curves = int(record["format"]), str(record["metric"]), record["curves"]
        provenance, name = dict(record["provenance"]), str(record["name"])
    require_format("report", format_, FORMAT, path)
    require_file(folder / SETTINGS, "settings of a finished run")
    candidates, labels, split = read_candidates(folder)
    report = Report(
        name,
        tuple(candidates),
        compare(candidates, labels, metric=metric),
        labels,
        split,
        provenance,
    )
    read = {each: [tuple(point) for point in points] for each, points in curves.items()}
    settings = configs.load(folder)
    # curves over `sizes` have intervals, curves of the older `learning_curve` all draws of a head
    report = dataclasses.replace(report, curves=read) if settings.sizes else report.with_draws(read)
    # refuse a folder whose report and predictions come from different runs
    if report.split.fingerprint != record["split"]:
        raise InputError(
            "report and predictions are of different runs",
            where=folder,
            rule="share a split",
            remedy="run the experiment again",
        )
    return FinishedRun(folder, settings, report, record)
