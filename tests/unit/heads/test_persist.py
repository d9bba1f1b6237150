"""Heads on disk: they come back as they went, and a file that holds anything else is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io

from gzfeatures.errors import InputError, MissingFileError, OutputError
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads import persist
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.fit import Head, fit
from gzfeatures.images.view import View

N = 120
IDS = np.array([f"galaxy {i}" for i in range(N)], dtype=object)
CODES = np.random.default_rng(0).integers(0, 3, N)
MATRIX = (np.random.default_rng(1).normal(size=(N, 8)) + 2 * np.eye(3, 8)[CODES]).astype(np.float32)
TABLE = EmbeddingTable(
    IDS,
    np.array(["0" * 64] * N, dtype=object),
    MATRIX,
    Extractor("r", "r", "random:0", "pool", 8, View(size=64)),
)
LABELS = {
    "classes": Labels(IDS, ("round", "in-between", "spiral"), CODES, scheme="three"),
    "multi-label": Labels(
        IDS, ("ring", "bar"), np.stack([CODES == 0, CODES > 0], 1), "multi-label"
    ),
    "fractions": Labels(
        IDS, ("Class1.1", "Class1.2"), np.clip(MATRIX[:, :2] / 4, 0, 1).astype(float), "fractions"
    ),
    "value": Labels(IDS, ("mass",), 1e9 + MATRIX[:, :1].astype(float), "value"),
    "redshift": Labels(IDS, ("z",), np.abs(MATRIX[:, :1]).astype(float) / 9, "redshift"),
}
SPLIT = Split.draw(LABELS["classes"])
QUICK = {
    "xgboost": {"rounds": 5},
    "xgboost-regression": {"rounds": 5},
    "ensemble": {"members": ("lda", "knn")},
}


@pytest.mark.parametrize(
    ("head", "target"),
    [
        (name, target)
        for name, entry in HEADS.items()
        for target in LABELS
        if (target in ("classes", "multi-label")) == (entry.task == "classes")
    ],
)
def test_every_head_comes_back_as_it_went(tmp_path: Path, head: str, target: str) -> None:
    fitted = fit(TABLE, LABELS[target], head, split=SPLIT, **QUICK.get(head, {}))
    back = Head.read(fitted.write(tmp_path / "deep" / "head.skops"))
    here, there = fitted.predict(TABLE), back.predict(TABLE)
    np.testing.assert_array_equal(here.probabilities, there.probabilities)
    np.testing.assert_array_equal(here.seen, there.seen)
    assert here.classes == there.classes and here.kind == there.kind
    for name in (
        "name",
        "classes",
        "target",
        "scheme",
        "extractors",
        "columns",
        "dim",
        "labels",
        "split",
        "seed",
        "left_out",
    ):
        assert getattr(fitted, name) == getattr(back, name), name
    assert json.dumps(dict(back.parameters)) == json.dumps(dict(fitted.parameters))


def test_calibrations_and_stacks_come_back(tmp_path: Path) -> None:
    for head, parameters in (
        ("svm", {"calibration": "isotonic"}),
        ("ensemble", {"members": ("lda", "knn"), "combine": "stack"}),
        ("logistic", {"impute": True}),
    ):
        fitted = fit(TABLE, LABELS["classes"], head, split=SPLIT, **parameters)
        back = Head.read(fitted.write(tmp_path / "head.skops"))
        np.testing.assert_array_equal(
            fitted.predict(TABLE).probabilities, back.predict(TABLE).probabilities
        )


def test_promised_sets_come_back_and_stand_in_predictions(tmp_path: Path) -> None:
    fitted = fit(TABLE, LABELS["classes"], "logistic", split=SPLIT)
    kept_out = fitted.predict(TABLE.select(SPLIT.validation))
    promising = dataclasses.replace(fitted, sets=Conformal.of(kept_out, LABELS["classes"], 0.8))
    back = Head.read(promising.write(tmp_path / "head.skops"))
    said = back.predict(TABLE)
    np.testing.assert_array_equal(said.sets, promising.sets.sets(said))
    assert back.sets.coverage == 0.8 and fitted.predict(TABLE).sets is None
    assert said.select(TABLE.ids[:3]).sets.shape == (3, len(said.classes))


def test_trials_come_back(tmp_path: Path) -> None:
    fitted = fit(TABLE, LABELS["classes"], "linear-svm", split=SPLIT, tune=True)
    assert Head.read(fitted.write(tmp_path / "head.skops")).trials == fitted.trials


class Trap:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch trapped",)


@pytest.mark.parametrize("disguise", ["skops", "pickle"])
def test_a_malicious_file_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disguise: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "head.skops"
    if disguise == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
        message = "head.skops: not a readable head"
    else:
        skops.io.dump({"format": 1, "record": "{}", "estimator": os.system}, path)
        message = (
            "file holds types that no head has; must be written by this package, found "
            ".*system.*malicious"
        )
    with pytest.raises(InputError, match=message):
        Head.read(path)
    assert not (tmp_path / "trapped").exists()


def test_no_trusted_type_is_a_function_or_a_module() -> None:
    for name in persist.ALLOWED:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(__import__(module, fromlist=[kind]), kind), type), name


def test_what_is_no_head_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.skops"
    with pytest.raises(MissingFileError, match=r"head.skops: head not found"):
        Head.read(path)
    for content in (b"", b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"head.skops: not a readable head"):
            Head.read(path)
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    path.write_bytes(empty.getvalue())
    with pytest.raises(InputError, match=r"head.skops: not a readable head"):
        Head.read(path)
    skops.io.dump({"format": 1}, path)
    with pytest.raises(
        InputError, match=r"head.skops: not a head; must hold format, record and estimator"
    ):
        Head.read(path)
    skops.io.dump({"format": 2, "record": "{}", "estimator": None}, path)
    with pytest.raises(InputError, match="head format is newer; must be at most 1, found 2"):
        Head.read(path)
    skops.io.dump({"format": 1, "record": "{}", "estimator": None}, path)
    with pytest.raises(InputError, match=r"head.skops: record of the head cannot be read"):
        Head.read(path)


def test_a_head_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    fitted = fit(TABLE, LABELS["classes"], "prototype", split=SPLIT)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        fitted.write(tmp_path / "file" / "head.skops")
    path = fitted.write(tmp_path / "head.skops")
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        persist.write(path, {"cannot be JSON": object()}, None)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2
