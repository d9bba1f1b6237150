"""Every head keeps one contract: scaler inside, codes in, calibrated probabilities out, rows left
alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.svm import SVC

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.heads.estimators.calibrated import Calibrated, weights_for_macro_f1
from gzfeatures.heads.estimators.machines import LinearMachine, RbfMachine, RbfRegression
from gzfeatures.heads.estimators.registry import HEADS, recipe
from gzfeatures.heads.estimators.transforms import Compress, Standardise
from gzfeatures.heads.folds import folds_of

CLASSIFIERS = [name for name, entry in HEADS.items() if entry.task == "classes"]
REGRESSORS = [name for name, entry in HEADS.items() if entry.task == "fractions"]
QUICK = {"ensemble": {"members": ("logistic", "lda")}, "xgboost": {"rounds": 40}}


def survey(
    n: int, d: int = 24, k: int = 4, seed: int = 0, signal: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of k classes of unequal size, on scales from 1e-3 to 1e3 and far from zero."""
    rng = np.random.default_rng(seed)
    shares = np.arange(k, 0, -1) / np.arange(k, 0, -1).sum()
    codes = rng.choice(k, n, p=shares)
    X = rng.normal(size=(n, d)) + signal * np.eye(k, d)[codes]
    return ((X + 1) * np.logspace(-3, 3, d)).astype(np.float32), codes


def calibration_error(p: np.ndarray, codes: np.ndarray) -> float:
    sure, right = p.max(1), p.argmax(1) == codes
    bins = np.minimum((sure * 10).astype(int), 9)
    return sum(abs((sure - right)[bins == b].sum()) for b in range(10)) / len(codes)


def test_the_zoo_is_read_without_scikit_learn() -> None:
    words = (
        "import sys, gzfeatures.heads.estimators.registry; "
        "print(sorted({'sklearn', 'xgboost', 'scipy', 'torch'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", words], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


def test_recipes_tell_what_they_are() -> None:
    for name, entry in HEADS.items():
        assert entry.name == name == name.lower() and " " not in name
        assert set(entry.asdict()) >= {
            "name",
            "task",
            "about",
            "source",
            "licence",
            "defaults",
            "space",
        }
        for parameter, values in entry.search_space.items():
            assert entry.defaults[parameter] == values[0], (
                f"{name}: the space names the default first"
            )


def test_unknown_names_list_the_legal_ones() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown head; must be one of logistic, svm.*did you mean 'svr'"
    ):
        recipe("svn")
    with pytest.raises(
        InputError, match=r"head svm: unknown parameter; must be one of C, gamma.*found depth"
    ):
        HEADS["svm"](depth=3)
    with pytest.raises(
        InputError, match="ensemble member; must be a head that predicts classes, found ridge"
    ):
        HEADS["ensemble"](members=("svm", "ridge"))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_contract(name: str) -> None:
    X, codes = survey(600)
    kept = X.copy()
    head = HEADS[name](seed=3, **QUICK.get(name, {})).fit(X[:400], codes[:400])
    p = head.predict_proba(X[400:])
    assert p.shape == (200, 4) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-9)
    assert np.isfinite(p).all() and (p >= 0).all()
    np.testing.assert_array_equal(head.predict(X[400:]), head.classes_[p.argmax(1)])
    assert (head.predict(X[400:]) == codes[400:]).mean() > 0.6  # the largest class holds 0.4
    np.testing.assert_array_equal(X, kept)
    again = clone(head).fit(X[:400], codes[:400])
    np.testing.assert_array_equal(again.predict_proba(X[400:]), p)
    alone = np.concatenate([head.predict_proba(X[i : i + 1]) for i in range(400, 420)])
    np.testing.assert_allclose(alone, p[:20], atol=2e-5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_two_classes_and_codes_with_gaps(name: str) -> None:
    X, codes = survey(300, k=2)
    head = HEADS[name](**QUICK.get(name, {})).fit(X[:200], codes[:200] * 5 + 2)
    assert list(head.classes_) == [2, 7]
    assert (head.predict(X[200:]) == codes[200:] * 5 + 2).mean() > 0.75


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_contract(name: str) -> None:
    X, _ = survey(500)
    Z = (X - X.mean(0)) / X.std(0)
    fractions = np.clip(0.5 + 0.3 * Z[:, :3].astype(float), 0, 1)
    fractions[:100, 2] = np.nan  # the question was not asked
    kept = X.copy()
    head = HEADS[name](seed=1).fit(X[:400], fractions[:400])
    said = head.predict(X[400:])
    assert said.shape == (100, 3) and said.min() >= 0 and said.max() <= 1
    spread = fractions[400:].std(0)
    assert np.all(np.sqrt(((said - fractions[400:]) ** 2).mean(0)) < 0.75 * spread)
    np.testing.assert_array_equal(X, kept)
    fractions[1:, 2] = np.nan
    with pytest.raises(
        InputError, match="answer 2: answer is known on too few galaxies; must be known on two"
    ):
        HEADS[name]().fit(X[:400], fractions[:400])


@pytest.mark.parametrize("name", ["svm", "xgboost", "logistic", "mlp", "knn"])
def test_heads_are_calibrated(name: str) -> None:
    X, codes = survey(6000, signal=1.4, seed=5)
    fitted = HEADS[name](seed=0).fit(X[:2000], codes[:2000])
    assert calibration_error(fitted.predict_proba(X[2000:]), codes[2000:]) < 0.06


@pytest.mark.parametrize("method", ["platt", "isotonic", "temperature"])
def test_calibration_mends_an_overconfident_head(method: str) -> None:
    X, codes = survey(8400, d=300, signal=1.0, seed=6)
    before, after = (
        HEADS["logistic"](C=100.0, calibration=m)
        .fit(X[:4400], codes[:4400])
        .predict_proba(X[4400:])
        for m in ("none", method)
    )
    truth = np.eye(4)[codes[4400:]]
    assert calibration_error(before, codes[4400:]) > 0.08
    assert calibration_error(after, codes[4400:]) < 0.05
    assert ((after - truth) ** 2).sum(1).mean() < ((before - truth) ** 2).sum(1).mean() - 0.005


def test_calibration_refuses() -> None:
    X, codes = survey(50)
    with pytest.raises(InputError, match="labels have one class; must have at least two, found 0"):
        HEADS["svm"]().fit(X, np.zeros(50, dtype=int))
    with pytest.raises(
        InputError,
        match="calibration; must be one of platt, isotonic, temperature, none, found magic",
    ):
        HEADS["svm"](calibration="magic").fit(X, codes)


def test_held_back_rows_teach_the_calibration_of_a_large_table_only() -> None:
    X, codes = survey(600)
    seen: list[int] = []

    class Counted(LinearMachine):
        def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: None = None) -> Counted:  # type: ignore[override]
            seen.append(len(X))
            return super().fit(X, y)  # type: ignore[return-value]

    Calibrated(Counted(), crossed_below=100, share=0.2).fit(X.astype(np.float32) / X.std(0), codes)
    assert seen == [480]
    seen.clear()
    Calibrated(Counted(), crossed_below=1000).fit(X / X.std(0), codes)
    assert seen == [480] * 5 + [600]


@pytest.mark.parametrize("name", ["svm", "xgboost", "lda"])
def test_a_fold_may_lack_a_class_and_a_table_may_be_empty(name: str) -> None:
    X, codes = survey(90, k=3)
    groups = np.arange(90)
    codes[:3], groups[:8] = 1, 0  # class 1 lives in one group, in which class 0 is more common
    codes[3:8] = 0
    codes[8:][codes[8:] == 1] = 2
    head = HEADS[name](**QUICK.get(name, {})).fit(X, codes, groups)
    assert head.predict_proba(X).shape == (90, 3)
    assert head.predict_proba(X[:0]).shape == (0, 3)


def test_class_weights_raise_the_recall_of_rare_classes() -> None:
    X, codes = survey(3000, k=2, signal=0.8, seed=7)
    rare = (codes == 1) & (np.random.default_rng(0).random(3000) < 0.15)
    keep = (codes == 0) | rare
    X, codes = X[keep], codes[keep]
    for name in ("svm", "lda"):
        plain, balanced, asked = (
            HEADS[name](class_weight=w).fit(X[::2], codes[::2]).predict(X[1::2])
            for w in (None, "balanced", {1: 6.0})
        )
        recall = [(said[codes[1::2] == 1] == 1).mean() for said in (plain, asked, balanced)]
        assert recall[0] < recall[1] < recall[2] and recall[2] > recall[0] + 0.3


@pytest.mark.parametrize("rows", [1200, 6000])  # calibrated out of fold, and on a share held back
def test_weights_for_macro_f1_find_rare_classes(rows: int) -> None:
    X, codes = survey(3 * rows, k=3, signal=0.8, seed=7)
    keep = (codes == 0) | (np.random.default_rng(0).random(len(codes)) < 0.08)
    X, codes = X[keep], codes[keep]
    learned, tested = slice(None, None, 2), slice(1, None, 2)
    fitted = [
        HEADS["lda"](class_weight=w).fit(X[learned], codes[learned]) for w in (None, "macro-f1")
    ]
    reached = [f1_score(codes[tested], head.predict(X[tested]), average="macro") for head in fitted]
    assert reached[1] > reached[0] + 0.03
    assert fitted[1].weights_[0] == min(fitted[1].weights_)
    np.testing.assert_allclose(fitted[1].predict_proba(X[tested]).sum(1), 1)


def test_weights_for_macro_f1_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.6, 0.4]])
    weights = weights_for_macro_f1(p, np.array([0, 0, 0, 1, 1]))
    assert ((p * weights).argmax(1) == [0, 0, 0, 1, 1]).all()
    assert weights_for_macro_f1(p, np.zeros(5, dtype=int)).tolist() == [1, 1]
    with pytest.raises(InputError, match="class weights for macro F1; must go with a calibration"):
        HEADS["lda"](calibration="none", class_weight="macro-f1").fit(*survey(90))


def test_missing_columns_are_filled_when_asked() -> None:
    X, codes = survey(300)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    head = HEADS["logistic"](impute=True).fit(X[:200], codes[:200])
    assert (head.predict(X[200:]) == codes[200:]).mean() > 0.55


def test_stacked_and_soft_ensembles_are_no_worse_than_their_weakest_member() -> None:
    X, codes = survey(1200, signal=1.5, seed=8)
    members = ("knn", "lda")
    lone = [
        (HEADS[m]().fit(X[:800], codes[:800]).predict(X[800:]) == codes[800:]).mean()
        for m in members
    ]
    for combine in ("soft", "stack"):
        together = HEADS["ensemble"](members=members, combine=combine).fit(X[:800], codes[:800])
        assert (together.predict(X[800:]) == codes[800:]).mean() > min(lone) - 0.01


# machines


@pytest.mark.parametrize("k", [2, 3, 5])
def test_kernel_machine_is_scikit_learns(k: int) -> None:
    X, codes = survey(400, k=k, signal=1.5)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    ours = RbfMachine(C=2.0, gamma=1.0, accelerated=False).fit(X[:300], codes[:300])
    theirs = SVC(C=2.0, gamma=ours.gamma_, decision_function_shape="ovo").fit(X[:300], codes[:300])
    pairs = theirs.decision_function(X[300:]).reshape(100, -1)
    sums = np.zeros((100, k))
    column = 0
    for i in range(k):
        for j in range(i + 1, k):
            margin = pairs[:, column] * (-0.5 if k == 2 else 1)
            sums[:, i] += margin
            sums[:, j] -= margin
            column += 1
    np.testing.assert_allclose(ours.decision_function(X[300:]), sums, atol=2e-4)
    assert (
        ours.predict(X[300:]) == theirs.predict(X[300:])
    ).mean() > 0.9  # sums of margins, not votes


def test_accelerated_and_plain_scikit_learn_agree() -> None:
    pytest.importorskip("sklearnex")
    X, codes = survey(500, signal=1.5)
    fast, plain = (
        HEADS["svm"](accelerated=a).fit(X[:400], codes[:400]).predict_proba(X[400:])
        for a in (True, False)
    )
    np.testing.assert_allclose(fast, plain, atol=5e-3)
    fractions = np.clip(X[:, :2] / X[:, :2].max(0), 0, 1).astype(float)
    fast, plain = (
        HEADS["svr"](accelerated=a).fit(X[:400], fractions[:400]).predict(X[400:])
        for a in (True, False)
    )
    np.testing.assert_allclose(fast, plain, atol=5e-3)


@pytest.mark.parametrize("accelerated", [True, False])
def test_an_answer_that_all_galaxies_share_is_regressed_to_it(accelerated: bool) -> None:
    X, _ = survey(60, signal=1.5)
    answers = np.full((60, 2), [0.0, 0.7])
    found = HEADS["svr"](accelerated=accelerated).fit(X, answers).predict(X)
    np.testing.assert_allclose(found, answers, atol=0.051)


def test_plain_scikit_learn_serves_where_the_accelerated_one_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearnex.svm", None)
    X, codes = survey(200)
    assert (HEADS["svm"]().fit(X, codes).predict(X) == codes).mean() > 0.8


def test_linear_machine_finds_the_optimum() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    X, codes = survey(500, signal=1.0)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    ours = LinearMachine("softmax", C=0.1, tolerance=1e-6, iterations=2000).fit(X, codes)
    theirs = LogisticRegression(C=0.1, tol=1e-8, max_iter=2000).fit(X, codes)
    np.testing.assert_allclose(ours.coefficients_.T, theirs.coef_, atol=5e-3)
    hinge = LinearMachine("squared-hinge", C=0.1, tolerance=1e-6, iterations=2000).fit(X, codes)
    assert (hinge.predict(X) == LinearSVC(C=0.2, dual=False).fit(X, codes).predict(X)).mean() > 0.98


def test_linear_machine_says_when_it_stops_early() -> None:
    X, codes = survey(200)
    with pytest.warns(UserWarning, match="no convergence in 2 steps; raise 'iterations'"):
        LinearMachine(iterations=2, C=10.0).fit(X / X.std(0), codes)


def test_weighted_rows_count_as_often_as_their_weight() -> None:
    X, codes = survey(120, signal=1.0)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    weight = np.random.default_rng(0).integers(1, 4, 120)
    rows = np.repeat(np.arange(120), weight)
    weighted = LinearMachine(tolerance=1e-6).fit(X, codes, weight.astype(float))
    repeated = LinearMachine(tolerance=1e-6).fit(X[rows], codes[rows])
    np.testing.assert_allclose(weighted.coefficients_, repeated.coefficients_, atol=1e-3)


def test_kernel_regression_is_scikit_learns() -> None:
    from sklearn.svm import SVR

    X, _ = survey(200)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    ours = RbfRegression(C=1.0, accelerated=False).fit(X, np.sin(X[:, :2]))
    theirs = SVR(C=1.0, gamma=ours.gamma_, epsilon=0.05).fit(X, np.sin(X[:, 1]))
    np.testing.assert_allclose(ours.predict(X)[:, 1], theirs.predict(X), atol=1e-4)


def test_scaling_by_blocks_is_scaling() -> None:
    X, _ = survey(20_000, d=6)
    X[:, 2] = 1234.5
    scaled = Standardise().fit(X).transform(X.copy())
    rest = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(scaled[:, rest].mean(0), 0, atol=2e-4)
    np.testing.assert_allclose(scaled[:, rest].std(0), 1, rtol=1e-3)
    np.testing.assert_array_equal(scaled[:, 2], 0)


def test_compression_keeps_what_there_is() -> None:
    X = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    assert Compress(3).fit(X).transform(X).shape == (50, 3)
    assert Compress(128).fit(X).transform(X).shape == (50, 8)
    assert Compress(128).fit(X[:5]).transform(X).shape == (50, 4)
    np.testing.assert_allclose(
        Compress(3, whiten=True).fit(X).transform(X).std(0, ddof=1), 1, atol=1e-3
    )


# folds


def test_folds_keep_groups_whole_and_classes_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 150, 600)
    codes = (groups % 10 == 0).astype(int) + (groups % 3 == 0)
    folds = folds_of(codes, groups, 5, 1)
    assert sorted(np.concatenate([part for _, part in folds])) == list(range(600))
    for rest, part in folds:
        assert not set(groups[rest]) & set(groups[part])
        assert set(rest) | set(part) == set(range(600))
        np.testing.assert_allclose(
            np.bincount(codes[part], minlength=3) / len(part), np.bincount(codes) / 600, atol=0.1
        )
    again = folds_of(codes, groups, 5, 1)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    assert any(
        not np.array_equal(a[1], b[1])
        for a, b in zip(folds, folds_of(codes, groups, 5, 2), strict=True)
    )


def test_a_lone_galaxy_is_always_learned_from() -> None:
    codes = np.array([0] * 20 + [1] * 20 + [2])
    assert all(40 in rest and 40 not in part for rest, part in folds_of(codes, None, 5, 0))


ALTERED = {
    "combine": "stack",
    "calibration": "isotonic",
    "class_weight": "balanced",
    "device": "cuda",
    "shrinkage": 0.5,
}


@pytest.mark.parametrize("name", HEADS)
def test_every_parameter_reaches_the_estimator(name: str) -> None:
    def settings(**parameters: object) -> str:
        return repr(
            sorted(HEADS[name](**parameters).get_params().items(), key=lambda item: item[0])
        )

    with config_context(print_changed_only=False):
        for parameter, value in HEADS[name].defaults.items():
            if parameter in ALTERED:
                other = ALTERED[parameter]
            elif parameter == "members":
                other = ("lda", "knn")
            else:
                other = (
                    (not value) if isinstance(value, bool) else 7 if value is None else value * 2
                )
            whitened = {"pca": 8} if parameter == "whiten" else {}
            assert settings(**whitened, **{parameter: other}) != settings(**whitened), parameter
