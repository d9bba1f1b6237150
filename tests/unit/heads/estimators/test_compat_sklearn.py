"""scikit-learn's private optimiser: heads are written without it, and heads that hold one are
read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.neural_network import MLPClassifier

from gzfeatures.errors import InputError
from gzfeatures.heads import persist
from gzfeatures.heads.estimators._compat_sklearn import OPTIMIZERS, without_optimizer
from gzfeatures.heads.estimators.build import Perceptron

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
CODES = np.random.default_rng(1).integers(0, 3, 60)


@pytest.fixture(scope="module")
def network() -> MLPClassifier:
    """As earlier versions fitted it: with its optimiser."""
    return MLPClassifier.fit(Perceptron((5,), max_iter=3, random_state=0), X, CODES)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_canary_a_fitted_network_of_scikit_learn_keeps_an_optimiser_of_a_private_type(
    network: MLPClassifier,
) -> None:
    kept = type(vars(network)["_optimizer"])
    assert f"{kept.__module__}.{kept.__name__}" in OPTIMIZERS, f"scikit-learn {sklearn.__version__}"


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_head_names_no_private_type_and_predicts_the_same(
    tmp_path: Path, network: MLPClassifier
) -> None:
    ours = Perceptron((5,), max_iter=3, random_state=0).fit(X, CODES)
    np.testing.assert_array_equal(ours.predict_proba(X), network.predict_proba(X))
    path = persist.write(tmp_path / "head.skops", {}, ours)
    assert not [name for name in skops.io.get_untrusted_types(file=path) if "._" in name]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_head_written_with_its_optimiser_is_read(
    tmp_path: Path, network: MLPClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = persist.write(tmp_path / "old.skops", {}, network)
    np.testing.assert_array_equal(persist.read(path)[1].predict_proba(X), network.predict_proba(X))
    monkeypatch.delattr("sklearn.neural_network._stochastic_optimizers.AdamOptimizer")
    with pytest.raises(
        InputError, match=r"old\.skops: not a readable head, .*AdamOptimizer"
    ) as caught:
        persist.read(path)
    assert "\n" not in str(caught.value)


def test_without_a_private_optimiser_there_is_nothing_to_forget() -> None:
    fresh = Perceptron()
    without_optimizer(fresh)
    assert "_optimizer" not in vars(fresh)
