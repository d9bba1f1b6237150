"""A damaged head ends in one line, never in a crash: trees and arrays are judged before anything
runs on them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import xgboost
from hostile.readers import LABELS, TABLE
from rows import put_row

from gzfeatures.errors import InputError
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head
from gzfeatures.heads.trees import BoostedTrees

README = Path(__file__).with_name("README.md")
HEADING = "| reader | cases | tracebacks |"


def test_heads_damaged_inside_their_members_never_end_the_process(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cases = request.config.getoption("--cases") or 240
    progress = tmp_path / "progress"
    command = [
        sys.executable,
        str(Path(__file__).with_name("inside.py")),
        str(cases),
        str(progress),
    ]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    where = progress.read_text() if progress.exists() else "before the first"
    assert child.returncode == 0, f"died at case {where}: {child.stderr[-2000:]}"
    met = json.loads(child.stdout)
    assert (
        met["cases"] == cases == met["read"] + met["refused"]
        and met["refused"] > cases / 4
        and met["read"]
    )
    if request.config.getoption("--cases"):
        put_row(README, HEADING, ("head, inside its members", cases, 0), keys=1)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_trees_answer_as_xgboost_does(k: int) -> None:
    rng = np.random.default_rng(k)
    X, y = rng.normal(size=(400, 12)).astype(np.float32), rng.integers(0, k, 400)
    X[rng.random(X.shape) < 0.1] = np.nan
    own = BoostedTrees("XGBClassifier", 40, 3, 0.2, 0.5, 64, "cpu", 1).fit(X, y)
    theirs = xgboost.XGBClassifier(
        n_estimators=40, max_depth=3, learning_rate=0.2, colsample_bytree=0.5, max_bin=64,
        tree_method="hist",
        random_state=1,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(own.predict_proba(X), theirs.predict_proba(X), atol=2e-6)
    assert (own.predict(X) == theirs.predict(X)).mean() > 0.999


def test_trees_of_fractions_answer_as_xgboost_does() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 8)).astype(np.float32), rng.random((300, 3)).astype(np.float32)
    own = BoostedTrees("XGBRegressor", 30, 3, 0.2, 1.0, 64, "cpu", 1).fit(X, y)
    theirs = xgboost.XGBRegressor(
        n_estimators=30,
        max_depth=3,
        learning_rate=0.2,
        max_bin=64,
        tree_method="hist",
        random_state=1,
    ).fit(X, y)
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), atol=2e-6)


def _machine(head: Head) -> Any:
    return head.estimator.estimator_.steps[-1][1]


def _set(name: str, place: int, value: Any) -> Callable[[Head], None]:
    def damage(head: Head) -> None:
        getattr(_machine(head), name)[place] = value

    return damage


def _replace(name: str, make: Callable[[Any], Any]) -> Callable[[Head], None]:
    def damage(head: Head) -> None:
        setattr(_machine(head), name, make(getattr(_machine(head), name)))

    return damage


TREES: dict[str, tuple[Callable[[Head], None], str]] = {
    "a child out of range": (
        _set("left_", 0, 10**6),
        "children of the nodes; must stand behind their node",
    ),
    "a child before its node": (
        _set("right_", 0, 0),
        "children of the nodes; must stand behind their node",
    ),
    "a node with two parents": (
        _set("right_", 0, 1),
        "nodes of the trees; must be a root or the child of one node",
    ),
    "a column out of range": (
        _set("feature_", 0, 10**6),
        "columns of the nodes; must be from 0 to",
    ),
    "a negative column": (_set("feature_", 0, -5), "columns of the nodes; must be from 0 to"),
    "a class out of range": (_set("outputs_", 0, 7), "classes of the trees; must be from 0 to 0"),
    "a root out of range": (_set("roots_", 0, 10**6), "nodes of the trees"),
    "a value that is not finite": (
        _set("value_", 0, np.nan),
        "values of the nodes; must be finite",
    ),
    "values of another length": (
        _replace("value_", lambda v: v[:-1]),
        "values of the nodes; must have the shape",
    ),
    "values of another kind": (
        _replace("value_", lambda v: v.astype(np.int32)),
        "values of the nodes; must have",
    ),
    "no trees but a base for many": (
        _replace("base_", lambda v: np.zeros(9, np.float32)),
        "base of the trees",
    ),
    "a kind there is not": (
        _replace("kind", lambda v: "Booster"),
        "kind of the trees; must be XGBClassifier or",
    ),
    "too many classes": (
        _replace("classes_", lambda v: np.arange(5)),
        "classes of the trees; must have the shape 2",
    ),
}


@pytest.mark.parametrize("kind", TREES)
def test_damaged_trees_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    damage, message = TREES[kind]
    head = fit(TABLE, LABELS, "xgboost", split=Split.draw(LABELS), rounds=6, pca=3)
    damage(head)
    path = head.write(tmp_path / "h.skops")
    with pytest.raises(InputError) as caught:
        Head.read(path)
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


ARRAYS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "svm": ("vectors_", lambda v: v[:, :-1], "support vectors; must have the shape"),
    "logistic": ("intercept_", lambda v: np.append(v, v), "intercepts; must have the shape 2"),
    "prototype": ("means_", lambda v: v[:1], "means of the classes; must have the shape"),
    "knn": ("_y", lambda v: v + 10**6, "classes of the neighbours; must be codes below 2"),
    "lda": ("coef_", lambda v: v * np.nan, "coefficients; must be finite"),
    "mlp": ("coefs_", lambda v: v[:1], "layers of the network; must be two"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_not_as_the_head_says_is_named(name: str, tmp_path: Path) -> None:
    attribute, change, message = ARRAYS[name]
    parameters = {"pca": 3} | ({"neighbours": 3} if name == "knn" else {})
    head = fit(TABLE, LABELS, name, split=Split.draw(LABELS), **parameters)
    setattr(_machine(head), attribute, change(getattr(_machine(head), attribute)))
    path = head.write(tmp_path / "h.skops")
    with pytest.raises(InputError, match="head is damaged") as caught:
        Head.read(path)
    assert message in str(caught.value)


def test_neighbours_that_would_choose_other_code_are_refused(tmp_path: Path) -> None:
    head = fit(TABLE, LABELS, "knn", split=Split.draw(LABELS), neighbours=3, pca=3)
    _machine(head).weights = "uniform"
    with pytest.raises(InputError, match="weights of the neighbours; must be distance"):
        Head.read(head.write(tmp_path / "h.skops"))


@pytest.mark.parametrize("type_", ["xgboost", "sklearn"])
def test_what_hands_its_content_to_c_is_refused_before_anything_is_built(
    type_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.svm import SVC

    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    machine = (xgboost.XGBClassifier(n_estimators=2) if type_ == "xgboost" else SVC()).fit(X, y)
    path = tmp_path / "h.skops"
    skops.io.dump({"format": 1, "record": "{}", "estimator": machine}, path)
    monkeypatch.setattr("skops.io.load", None)
    expected = (
        "trees of XGBoost itself" if type_ == "xgboost" else "file holds types that no head has"
    )
    with pytest.raises(InputError, match=expected):
        Head.read(path)


def test_a_head_whose_members_are_compressed_is_refused(tmp_path: Path) -> None:
    path = fit(TABLE, LABELS, "prototype", split=Split.draw(LABELS)).write(tmp_path / "h.skops")
    packed = tmp_path / "packed.skops"
    with zipfile.ZipFile(path) as one, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as two:
        for name in one.namelist():
            two.writestr(name, one.read(name))
    with pytest.raises(InputError, match="member of the head is compressed"):
        Head.read(packed)
