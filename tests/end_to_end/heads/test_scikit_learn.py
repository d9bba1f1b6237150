"""Heads as estimators of scikit-learn: its own checks, and its pipelines, searches and routing."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import gzfeatures as gz
from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.estimators.scikit_learn import ESTIMATORS, UNWEIGHTED, estimator

QUICK: dict[str, dict[str, Any]] = {
    # scikit-learn checks on 10 to 30 rows: fewer neighbours than rows, and few trees
    "knn": {"neighbours": 3},
    "xgboost": {"rounds": 20, "columns": 1.0},
    "xgboost-regression": {"rounds": 20, "columns": 1.0},
}
CHECKED = ("logistic", "svm", "knn", "ridge", "xgboost-regression")
"""Heads whose checks are quick; those of all are `experiments/estimator_checks.py`."""
EXCEPTIONS = {
    "check_sample_weight_equivalence_on_dense_data": "a weight of 2 is not the same as the row "
    "twice: scaling and principal components are learned from all rows alike, and the rows that "
    "calibrate are drawn by chance from those that there are",
}
"""Checks of scikit-learn that weighted heads fail, with the reason."""
X, CODES = make_blobs(90, n_features=4, centers=3, cluster_std=0.6, random_state=0)
NAMES = np.array(["merger", "smooth", "spiral"])[CODES]


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:no convergence")
def test_a_head_passes_the_checks_of_scikit_learn_but_for_listed_exceptions(name: str) -> None:
    weighted = name not in UNWEIGHTED
    expected = EXCEPTIONS if weighted else {}
    results = check_estimator(
        estimator(name, **QUICK.get(name, {})), expected_failed_checks=expected, on_fail=None
    )
    failed = {
        each["check_name"]: each["exception"] for each in results if each["status"] == "failed"
    }
    assert failed == {}
    assert len(results) > 50
    # an exception that is none any more has to leave the list
    met = {each["check_name"] for each in results if each["status"] == "xfail"}
    assert met == set(expected)


@pytest.mark.parametrize("name", HEADS)
def test_an_estimator_has_the_parameters_and_defaults_of_its_head(name: str) -> None:
    kind = HEADS[name]
    parameters = estimator(name).get_params()
    assert parameters == {**kind.defaults, **kind.of_numbers, "seed": 0}
    assert ESTIMATORS[name].__name__ in repr(estimator(name))


def test_labels_of_any_kind_come_back_as_they_were() -> None:
    for labels in (NAMES, CODES * 10 - 7, CODES == 1, CODES.astype(np.int8), list(NAMES)):
        fitted = estimator("logistic", C=1.0).fit(X, labels)
        assert fitted.score(X, labels) > 0.9
        assert fitted.predict(X).dtype == np.asarray(labels).dtype
        assert fitted.predict_proba(X).shape == (90, len(set(np.asarray(labels).tolist())))


def test_cross_validation_pipelines_and_searches_take_a_head() -> None:
    head = estimator("svm", gamma=0.5)
    assert cross_val_score(head, X, NAMES, cv=3).mean() > 0.9
    scored = cross_validate(head, X, NAMES, cv=3, scoring=["neg_log_loss", "f1_macro"])
    assert scored["test_neg_log_loss"].min() > -0.5
    pipeline = make_pipeline(StandardScaler(), PCA(3), head)
    search = GridSearchCV(pipeline, {"svmhead__C": [0.1, 3.0]}, cv=3).fit(X, NAMES)
    assert search.best_score_ > 0.9 and search.best_params_["svmhead__C"] in (0.1, 3.0)
    copy = clone(search.best_estimator_)
    with pytest.raises(NotFittedError):
        copy.predict(X)


def test_a_fitted_estimator_is_pickled_and_predicts_the_same() -> None:
    fitted = estimator("prototype").fit(X, NAMES)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_names_of_columns_are_kept_and_other_columns_are_refused() -> None:
    frame = pd.DataFrame(X, columns=[f"vector_{number}" for number in range(4)])
    pipeline = make_pipeline(StandardScaler(), estimator("lda")).set_output(transform="pandas")
    head = pipeline.fit(frame, NAMES)[-1]
    assert head.feature_names_in_.tolist() == frame.columns.tolist()
    assert head.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names should match"):
        head.predict(frame[frame.columns[::-1]])


def test_groups_are_routed_to_the_head_whose_calibration_keeps_them_together() -> None:
    groups = np.arange(90) // 2
    with sklearn.config_context(enable_metadata_routing=True):
        head = estimator("logistic").set_fit_request(groups=True, sample_weight=False)
        routed = cross_val_score(head, X, NAMES, cv=GroupKFold(3), params={"groups": groups})
        assert routed.shape == (3,)
        pipeline = make_pipeline(StandardScaler(), head).fit(X, NAMES, groups=groups)
    together = estimator("logistic").fit(StandardScaler().fit_transform(X), NAMES, groups)
    alone = estimator("logistic").fit(StandardScaler().fit_transform(X), NAMES)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(pipeline.predict_proba(X), together.predict_proba(scaled))
    assert not np.array_equal(together.predict_proba(scaled), alone.predict_proba(scaled))


@pytest.mark.parametrize("name", sorted(set(HEADS) - set(UNWEIGHTED)))
def test_weights_of_rows_count(name: str) -> None:
    targets = NAMES if HEADS[name].task == "classes" else X[:, 0] + X[:, 1] ** 2
    weights = np.where(CODES == 0, 30.0, 1.0)
    shifted = X + np.random.default_rng(1).normal(size=X.shape) * 4
    with sklearn.config_context(enable_metadata_routing=True):
        requested = estimator(name).set_fit_request(sample_weight=True)
        heavy = make_pipeline(requested).fit(shifted, targets, sample_weight=weights)
    light = estimator(name).fit(shifted, targets)
    if HEADS[name].task == "classes":
        mean = [each.predict_proba(shifted)[:, 0].mean() for each in (heavy, light)]
        assert mean[0] > mean[1]
    else:
        errors = [np.abs(each.predict(shifted) - targets)[CODES == 0] for each in (heavy, light)]
        assert errors[0].mean() < errors[1].mean()


def test_a_row_of_weight_zero_is_left_out() -> None:
    weights = np.where(np.arange(90) < 60, 1.0, 0.0)
    weighted = estimator("logistic").fit(X, NAMES, sample_weight=weights)
    fewer = estimator("logistic").fit(X[:60], NAMES[:60], sample_weight=np.ones(60))
    np.testing.assert_array_equal(weighted.predict_proba(X), fewer.predict_proba(X))


def test_equal_weights_give_the_head_without_weights() -> None:
    for name in sorted(set(HEADS) - set(UNWEIGHTED)):
        targets = NAMES if HEADS[name].task == "classes" else X[:, 0]
        plain = estimator(name, **QUICK.get(name, {})).fit(X, targets)
        weighted = clone(plain).fit(X, targets, sample_weight=np.ones(90))
        answers = [
            each.predict_proba(X) if HEADS[name].task == "classes" else each.predict(X)
            for each in (plain, weighted)
        ]
        np.testing.assert_allclose(*answers, atol=2e-3, err_msg=name)


def test_class_weights_are_by_label_and_a_label_that_no_row_has_is_refused() -> None:
    noisy = X + np.random.default_rng(0).normal(size=X.shape) * 3
    plain = estimator("logistic").fit(noisy, NAMES)
    favoured = estimator("logistic", class_weight={"merger": 20.0}).fit(noisy, NAMES)
    assert (favoured.predict(noisy) == "merger").sum() > (plain.predict(noisy) == "merger").sum()
    with pytest.raises(InputError, match=r"class_weight.*name labels of merger, smooth, spiral"):
        estimator("logistic", class_weight={"ring": 2.0}).fit(noisy, NAMES)


def test_gaps_are_filled_where_the_head_is_told_so_and_refused_elsewhere() -> None:
    gaps = X.copy()
    gaps[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        estimator("logistic").fit(gaps, NAMES)
    assert estimator("logistic", impute=True, C=1.0).fit(gaps, NAMES).score(gaps, NAMES) > 0.9


def test_an_unknown_head_or_parameter_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="svm"):
        gz.estimator("svn")
    with pytest.raises(InputError, match=r"head svm: unknown parameter.*found Q"):
        gz.estimator("svm", Q=1)


MISSING_GROUPS = {
    "numbers with NaN": np.where(np.arange(90) < 4, np.arange(90) // 2, np.nan),
    "series with NaN": pd.Series(np.where(np.arange(90) < 4, np.arange(90) // 2, np.nan)),
    "integers with NA": pd.Series([0, 0, 1, 1, *[pd.NA] * 86], dtype="Int64"),
    "text with None": np.array(["a", "a", "b", "b", *[None] * 86], dtype=object),
    "list with NaN": ["a", "a", "b", "b", *[float("nan")] * 86],
    "list of numbers and text": [1, 1, "a", "a", *[None] * 86],
    "text with NA": pd.Series(["a", "a", "b", "b", *[pd.NA] * 86], dtype="string"),
    "categories": pd.Series(["a", "a", "b", "b", *[None] * 86], dtype="category"),
    "empty text": ["a", "a", "b", "b", *[""] * 43, *[" "] * 43],
    "masked": np.ma.masked_array([0, 0, 1, 1, *[7] * 86], mask=np.arange(90) >= 4),
    "masked column": np.ma.masked_array([0, 0, 1, 1, *[7] * 86], mask=np.arange(90) >= 4)[:, None],
}


@pytest.mark.parametrize("kind", MISSING_GROUPS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_a_row_without_a_group_is_a_group_of_its_own(kind: str) -> None:
    """Not a member of one large group: then only four rows would calibrate the head."""
    known = np.where(np.arange(90) < 4, np.arange(90) // 2, np.arange(90))
    wanted = estimator("svm", gamma=0.5).fit(X, NAMES, groups=known)
    fitted = estimator("svm", gamma=0.5).fit(X, NAMES, groups=MISSING_GROUPS[kind])
    np.testing.assert_array_equal(fitted.predict_proba(X), wanted.predict_proba(X))


def test_masked_entries_are_not_fitted() -> None:
    """Columns of astropy are masked arrays: below a mask lies a number that nobody measured."""
    gaps = np.arange(90) % 9 == 0
    numbers = np.ma.masked_array(np.where(gaps, 1e20, X[:, 0]), mask=gaps)
    with pytest.raises(ValueError, match=r"y; must have no masked entries, found 10"):
        estimator("ridge").fit(X, numbers)
    with pytest.raises(ValueError, match="y; must have no masked entries"):
        estimator("logistic").fit(X, np.ma.masked_array(CODES, mask=gaps))
    weights = np.ma.masked_array(np.where(gaps, 1e20, 1.0), mask=gaps)
    with pytest.raises(ValueError, match="sample_weight; must have no masked entries"):
        estimator("logistic").fit(X, NAMES, sample_weight=weights)
    holed = np.ma.masked_array(np.where(gaps[:, None], 1e20, X), mask=np.tile(gaps[:, None], 4))
    with pytest.raises(ValueError, match="contains NaN"):
        estimator("logistic").fit(holed, NAMES)
    filled = estimator("logistic", impute=True).fit(np.ma.filled(holed, np.nan), NAMES)
    masked = estimator("logistic", impute=True).fit(holed, NAMES)
    np.testing.assert_array_equal(masked.predict_proba(holed), filled.predict_proba(holed))
    # a mask without masked entries is no gap
    estimator("ridge").fit(X, np.ma.masked_array(X[:, 0], mask=np.zeros(90, bool)))
