"""Claim: a class keeps its place under every calibration, also where folds lack it; held-back rows
are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.estimators.build import Ensemble
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.heads.estimators.machines import LinearMachine
from gzfeatures.heads.fit import fit
from gzfeatures.images.view import View


def clusters(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    centres = np.array([[0.0, 0, 0, 0], [2.5, 0, 0, 0], [0, 2.5, 0, 0]])
    return (centres[codes] + rng.normal(size=(n, 4))).astype(np.float32), codes


@pytest.mark.parametrize("n", [600, 3000])  # crossed, and with a share held back
@pytest.mark.parametrize("method", ["isotonic", "platt", "temperature"])
def test_a_class_whose_rows_share_one_group_is_still_predicted(method: str, n: int) -> None:
    X, codes = clusters(n)
    groups = np.where(codes == 2, "one field", np.arange(n).astype(str))
    test, truth = clusters(900, 1)
    recall = {}
    for name, given in (("own", None), ("shared", groups)):
        fitted = Calibrated(LinearMachine(), method=method, seed=0).fit(X, codes, given)
        recall[name] = (fitted.predict(test)[truth == 2] == 2).mean()
        assert list(fitted.unchecked_) == ([2] if given is not None else [])
    assert recall["shared"] > 0.9 * recall["own"], recall


@pytest.mark.parametrize("method", ["isotonic", "platt", "temperature"])
def test_a_class_that_a_fold_was_fitted_without_does_not_spoil_the_calibration(method: str) -> None:
    """All galaxies of a class lie in one mixed group: the fold that scores them never met it."""
    X, codes = clusters(600)
    common = np.flatnonzero(codes == 0)[
        :220
    ]  # the group counts for its commonest class, so it can be in a part
    groups = np.arange(600).astype(str).astype(object)
    groups[codes == 2] = "mixed"
    groups[common] = "mixed"
    test, truth = clusters(900, 1)
    fitted = Calibrated(LinearMachine(), method=method, seed=0).fit(X, codes, groups)
    assert (fitted.predict(test) == truth).mean() > 0.8
    assert (fitted.predict(test)[truth == 2] == 2).mean() > 0.8


def test_a_class_without_held_back_rows_is_named() -> None:
    X, codes = clusters(300)
    ids = np.array([f"g{i}" for i in range(300)], dtype=object)
    labels = Labels(ids, ("round", "disk", "edge"), codes)
    alone = {name: "one field" for name, code in zip(ids[:240], codes, strict=False) if code == 2}
    split = Split(ids[:240], ids[240:270], ids[270:], alone)
    extractor = Extractor("r", "r", "random:0", "pool", 4, View(size=64))
    table = EmbeddingTable(ids, np.array(["0" * 64] * 300, dtype=object), X, extractor)
    head = fit(table, labels, "logistic", split=split, calibration="isotonic")
    assert head.uncalibrated_classes == ("edge",)


def test_a_label_of_several_without_held_back_rows_is_named() -> None:
    X, codes = clusters(300)
    ids = np.array([f"g{i}" for i in range(300)], dtype=object)
    flags = np.column_stack([np.arange(300) % 2, codes == 2, np.ones(300)]).astype(np.int64)
    labels = Labels(ids, ("bar", "edge", "galaxy"), flags, "multi-label")
    alone = {name: "one field" for name, code in zip(ids[:240], codes, strict=False) if code == 2}
    extractor = Extractor("r", "r", "random:0", "pool", 4, View(size=64))
    table = EmbeddingTable(ids, np.array(["0" * 64] * 300, dtype=object), X, extractor)
    for groups, named in ((alone, ("edge",)), ({}, ())):
        split = Split(ids[:240], ids[240:270], ids[270:], groups)
        assert fit(table, labels, "logistic", split=split).uncalibrated_classes == named


def test_a_stacked_ensemble_keeps_a_class_that_its_held_back_rows_lack() -> None:
    X, codes = clusters(900)
    kept = np.sort(np.concatenate([np.flatnonzero(codes != 2), np.flatnonzero(codes == 2)[:1]]))
    members = [
        ("a", Calibrated(LinearMachine())),
        ("b", Calibrated(LinearMachine(), method="temperature")),
    ]
    head = Ensemble(members, "stack").fit(X[kept], codes[kept])
    test, _ = clusters(300, 5)
    p = head.predict_proba(test)
    assert 2 not in head.judge_.classes_
    np.testing.assert_allclose(
        p[:, 2],
        np.mean([m.predict_proba(test)[:, 2] for m in head.members_], 0),
        rtol=1e-3,
        atol=2e-7,
    )
    np.testing.assert_allclose(p.sum(1), 1)


@pytest.mark.parametrize("n", [600, 3000])  # crossed, and with a share held back
def test_the_seed_draws_which_rows_are_held_back(n: int) -> None:
    """Else every seed of a head is judged by the same rows, and seeds look more alike than they
    are."""
    X, codes = clusters(n)
    biases = [Calibrated(LinearMachine(), seed=seed).fit(X, codes).bias_ for seed in (0, 1, 0)]
    assert np.array_equal(biases[0], biases[2]) and not np.array_equal(biases[0], biases[1])


def test_a_calibration_on_other_galaxies_says_which_classes_it_lacks() -> None:
    X, codes = clusters(600)
    groups = np.where(codes == 2, "one field", np.arange(600).astype(str))
    fitted = Calibrated(LinearMachine(), seed=0).fit(X, codes, groups)
    others, truth = clusters(300, 1)
    assert list(fitted.recalibrate(others, truth).unchecked_) == []
    assert list(fitted.recalibrate(others[truth > 0], truth[truth > 0]).unchecked_) == [0]
    with pytest.raises(InputError, match=r"be one of 0, 1, 2, found 3"):
        fitted.recalibrate(others, truth + 1)


def test_a_classifier_without_calibration_stays_without_one() -> None:
    X, codes = clusters(600)
    fitted = Calibrated(LinearMachine(), method="none", seed=0).fit(X, codes)
    others, truth = clusters(300, 1)
    before = fitted.predict_proba(others)
    np.testing.assert_array_equal(
        fitted.recalibrate(others, 2 - truth).predict_proba(others), before
    )
    np.testing.assert_allclose(before, fitted.uncalibrated(others), atol=1e-12)
