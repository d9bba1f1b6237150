"""Save results in a file of the experiment's folder if MLflow is unreachable; read the file."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.files import join_inside, require_file, written_whole
from gzfeatures.report.report import UNRECORDED
from gzfeatures.tracking.records import CandidateRecord, ComparisonRecord, fields_of

FORMAT = 1
"""Format version of the file of unrecorded results; increase it if old code would misread it."""
_KEY = re.compile(r"[0-9a-f-]{8,80}")
"""Pattern of a run's key. The key becomes part of a query to MLflow, so quotes are forbidden."""


@dataclasses.dataclass(frozen=True)
class WaitingRun:
    """Store all results of an experiment, with the MLflow run of each result already recorded.

    Parameters
    ----------
    candidates : sequence of CandidateRecord
        Results of each compared model.
    comparison : ComparisonRecord or None
        Results of the comparison; None for a training outside of an experiment.
    uri : str or None
        Database or server with the runs of the recorded results; None if none is recorded.
    """

    candidates: Sequence[CandidateRecord]
    comparison: ComparisonRecord | None
    uri: str | None = None

    @property
    def records(self) -> list[CandidateRecord | ComparisonRecord]:
        """Return the results of all compared models and, if there is one, of the comparison."""
        return [*self.candidates, *([] if self.comparison is None else [self.comparison])]

    @property
    def number(self) -> int:
        """Return the number of MLflow runs: one per model, and one for the comparison, if any."""
        return len(self.records)

    def write(self, folder: Path) -> Path:
        """Write the unrecorded results to a file in an experiment's folder, with relative paths.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        root = folder.resolve()
        candidates = [
            fields_of(record)
            | {"artifacts": [_relative(Path(name), root) for name in record.artifacts]}
            for record in self.candidates
        ]
        content = {
            "format": FORMAT,
            "uri": self.uri,
            "candidates": candidates,
            "comparison": None if self.comparison is None else fields_of(self.comparison),
        }
        path = folder / UNRECORDED
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> WaitingRun:
        """Read the unrecorded results of an experiment from its folder; make their paths absolute.

        Raises
        ------
        MissingFileError
            The folder has no unrecorded results.
        InputError
            The file of results cannot be read, is of a later version, or names files outside the
            folder.
        """
        path = require_file(folder / UNRECORDED, "records of a run that wait")
        with parsing("records of a run cannot be read", path):
            content = json.loads(path.read_text(encoding="utf-8"))
            require_format("record", int(content["format"]), FORMAT, path)
            candidates = [_candidate(fields, folder) for fields in content["candidates"]]
            fields = content["comparison"]
            comparison = None if fields is None else ComparisonRecord(**fields)
            waiting = cls(candidates, comparison, content["uri"])
            for record in waiting.records:
                if not _KEY.fullmatch(record.key):
                    raise InputError("key of a record", where=path, found=record.key)
            return waiting


def _candidate(fields: Mapping[str, Any], folder: Path) -> CandidateRecord:
    inside = [str(join_inside(folder, name)) for name in fields["artifacts"]]
    return CandidateRecord(**{**fields, "artifacts": inside})


def _relative(path: Path, root: Path) -> str:
    """Return a file's path relative to the experiment's folder, with slashes."""
    return path.resolve().relative_to(root).as_posix()
