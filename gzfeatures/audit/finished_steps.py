"""Save results of an audit's steps in a folder; a later audit with the same inputs reads them."""

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
    """Save results of steps as JSON files, each with a sha256 of the inputs of the step.

    Parameters
    ----------
    folder : Path, optional
        Folder of the JSON files; None saves nothing.
    """

    folder: Path | None = None

    def result(self, name: str, key: Any, compute: Callable[[], Any]) -> Any:
        """Read a step's result from the folder; if it is absent, compute and save it.

        Parameters
        ----------
        name : str
            Name of the step, unique in the folder; the file is named after it.
        key : JSON value
            All inputs that the result depends on.
        compute : callable
            Returns the result as JSON values.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        if self.folder is None:
            return jsonable(compute())
        digest = fingerprint.of([FORMAT, name, key])
        # add a digest of the name to the file name, because names such as `a_r` and `a r` both
        # become `a-r`
        stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
        path = self.folder / STEPS / f"{stem}-{fingerprint.of(name)[:8]}.json"
        note = read_sidecar(path)
        # use the stored result only if the inputs are the same and nobody edited the file (else its
        # text would differ from that of json.dumps)
        if note.get("key") == digest and path.read_text(encoding="utf-8") == json.dumps(note):
            return note["result"]
        result = jsonable(compute())
        write_sidecar(path, {"key": digest, "result": result})
        return result
