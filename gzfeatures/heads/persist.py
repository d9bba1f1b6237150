"""Save and load what was fitted: skops, which builds no object of a type that is not on the list below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, reading, require_format
from gzfeatures.files import existing, written_whole
from gzfeatures.heads._compat_sklearn import OPTIMIZERS

FORMAT = 1
"""Raise when a reader of the old number would misread a new file; readers refuse a higher number."""

TRUSTED = (
    "gzfeatures.heads.calibrated.Calibrated",
    "gzfeatures.heads.machines.LinearMachine",
    "gzfeatures.heads.machines.Prototype",
    "gzfeatures.heads.machines.RbfMachine",
    "gzfeatures.heads.machines.RbfRegression",
    "gzfeatures.heads.pipelines.Answers",
    "gzfeatures.heads.pipelines.Ensemble",
    "gzfeatures.heads.pipelines.Flags",
    "gzfeatures.heads.pipelines.Neighbours",
    "gzfeatures.heads.pipelines.Network",
    "gzfeatures.heads.transforms.Compress",
    "gzfeatures.heads.transforms.Fill",
    "gzfeatures.heads.transforms.Standardise",
    *OPTIMIZERS,
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)
"""Types a head file may hold beside those of numpy, scipy and scikit-learn that skops itself trusts."""


def write(path: Path, record: dict[str, Any], estimator: Any) -> Path:
    """Write a fitted estimator and its record (JSON values) as one skops file.

    Raises
    ------
    OutputError
        The place cannot be written; an existing file is left as it was.
    """
    import skops.io

    with written_whole(path) as temporary:
        skops.io.dump({"format": FORMAT, "record": json.dumps(record), "estimator": estimator}, temporary)
    return path


def read(path: str | Path) -> tuple[dict[str, Any], Any]:
    """Record and estimator of a file written by `write`; nothing in the file is executed.

    Raises
    ------
    MissingFileError, InputError
        No such file; not a head; a newer format; it holds a type that no head has.
    """
    import skops.io

    path = existing(path, "head")
    with reading("not a readable head", path):
        strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
        if strange:
            raise InputError(
                "file holds types that no head has",
                where=path,
                rule="be written by this package",
                found=", ".join(strange),
                remedy="do not open it: it may be malicious",
            )
        content = skops.io.load(path, trusted=list(TRUSTED))
        if not isinstance(content, dict) or set(content) != {"format", "record", "estimator"}:
            raise InputError("not a head", where=path, rule="hold format, record and estimator")
        require_format("head", content["format"], FORMAT, path)
        return json.loads(content["record"]), content["estimator"]
