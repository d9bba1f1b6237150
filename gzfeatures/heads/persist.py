"""Write heads to skops files and read them; reading builds only objects of known types."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.files import require_file, written_whole
from gzfeatures.heads._compat_skops import skops_io
from gzfeatures.heads.file_safety import ALLOWED, check_members, renewed

FORMAT = 1
"""Version of head files; raise it if older code would misread a new file."""


def write(path: Path, record: dict[str, Any], estimator: Any) -> Path:
    """Write a fitted estimator and the head's other fields (JSON values) as one skops file.

    Raises
    ------
    OutputError
        The place cannot be written; an existing file is left as it was.
    """
    with written_whole(path) as temporary:
        skops_io().dump(
            {"format": FORMAT, "record": json.dumps(record), "estimator": estimator}, temporary
        )
    return path


def read(path: str | Path) -> tuple[dict[str, Any], Any]:
    """Read fields and estimator from a head file, without executing code in the file.

    Raises
    ------
    MissingFileError, InputError
        No such file; not a head; a newer format; it holds a type that no head has.
    """
    path = require_file(path, "head")
    with parsing("not a readable head", path), warnings.catch_warnings():
        # hide scikit-learn's warning about another version: a head needs only arrays, which are
        # checked, and tests show equal predictions with the oldest and newest supported version
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        # check the whole file first, because skops builds objects while it reads
        check_members(path)
        data = renewed(path)
        # name all types that a head may contain: when gzfeatures runs as a command, `skops_io`
        # imports skops without its own list of trusted types
        trusted, io = list(ALLOWED), skops_io()
        content = (
            io.load(path, trusted=trusted) if data is None else io.loads(data, trusted=trusted)
        )
        if not isinstance(content, dict) or set(content) != {"format", "record", "estimator"}:
            raise InputError("not a head", where=path, rule="hold format, record and estimator")
        require_format("head", content["format"], FORMAT, path)
        return json.loads(content["record"]), content["estimator"]
