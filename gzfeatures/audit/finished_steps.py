"""Keep results of an audit's finished steps in a folder, to read them if nothing has changed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gzfeatures import fingerprint
from gzfeatures.evaluation.metrics import jsonable
from gzfeatures.files import read_sidecar, write_sidecar

FORMAT = 1
"""Version of the steps; raise it if a step computes something else."""
STEPS = "steps"
"""Folder of the steps inside an audit's folder."""


@dataclasses.dataclass(frozen=True)
class FinishedSteps:
    """Keep results of steps as JSON files, each with a digest of all that it was computed from.

    Parameters
    ----------
    folder : Path, optional
        Where they are kept; None keeps nothing.
    """

    folder: Path | None = None

    def result(self, name: str, key: Any, compute: Callable[[], Any]) -> Any:
        """Return the result of a step, computed only if the folder does not have it.

        Parameters
        ----------
        name : str
            Names the file, and stands in no other step of the folder.
        key : JSON value
            All that the result depends on.
        compute : callable
            Returns JSON values.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        if self.folder is None:
            return jsonable(compute())
        digest = fingerprint.of([FORMAT, name, key])
        # add a digest to the file's name, because different names of nuisances may look the same
        # after other characters are replaced
        stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
        path = self.folder / STEPS / f"{stem}-{fingerprint.of(name)[:8]}.json"
        note = read_sidecar(path)
        # do not trust a file that somebody changed: compute the step again; `outputs` decides
        # whether the file may be replaced
        if note.get("key") == digest and path.read_text(encoding="utf-8") == json.dumps(note):
            return note["result"]
        result = jsonable(compute())
        write_sidecar(path, {"key": digest, "result": result})
        return result
