"""Check that the arrays of a head read from disk fit each other in shape and type.

Each step of the head is checked against the step before it: the rows of a table have `dim` numbers,
a step may change that number, and the last step, the machine, predicts a known number of classes.
At the end the head predicts two rows of zeros, and its answer is checked too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.heads.estimators._compat_sklearn import fitted_neighbours
from gzfeatures.heads.estimators.build import Answers, Ensemble, Flags, Neighbours, Perceptron
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.heads.estimators.machines import (
    LinearMachine,
    Prototype,
    RbfMachine,
    RbfRegression,
    RidgeRegression,
)
from gzfeatures.heads.estimators.numbers import NumberRegression
from gzfeatures.heads.estimators.transforms import Compress, Fill, Standardise
from gzfeatures.heads.trees import BoostedTrees

Shape = tuple[int | None, ...]
"""Expected shape of an array; None for an axis of any length."""


def check_estimator(estimator: Any, dim: int, target: str, k: int) -> None:
    """Refuse a fitted estimator whose arrays do not fit rows of `dim` numbers and `k` classes.

    Parameters
    ----------
    estimator : estimator
        The estimator as it was read from a file.
    dim : int
        Length of a row.
    target : {"classes", "multi-label", "fractions", "value", "redshift"}
        What the head predicts.
    k : int
        Number of classes.

    Raises
    ------
    InputError
        An array or object has a wrong type or shape, is out of range, or is not finite.
    """
    regression = target == "fractions" or target in VALUE_TARGETS
    if target in VALUE_TARGETS:
        if k != 1:
            raise InputError("columns of the head", rule="be one", found=k)
        _number(_typed(estimator, NumberRegression, "head on a number"), dim)
    elif target == "fractions":
        _answers(_typed(estimator, Answers, "head on fractions"), dim, k)
    elif target == "multi-label":
        _flags(_typed(estimator, Flags, "head on flags"), dim, k)
    else:
        classes = _calibrated(_typed(estimator, Calibrated, "head on classes"), dim)
        _codes(estimator.classes_, classes, k, "classes of the head")
    # arrays of correct shapes may still predict nonsense: try two rows of zeros
    zeros = np.zeros((2, dim), dtype=np.float32)
    answer = np.asarray(estimator.predict(zeros) if regression else estimator.predict_proba(zeros))
    width = k if target != "classes" else len(estimator.classes_)
    if answer.shape != (2, width) or answer.dtype.kind != "f" or not np.isfinite(answer).all():
        raise InputError("head does not answer", rule=f"give {width} finite numbers for a row")


def _answers(head: Answers, dim: int, k: int) -> None:
    asked = [_array(part, "answers of a regressor", (None,), "iu") for part in head.answers_]
    if sorted(np.concatenate(asked).tolist()) != list(range(k)) or len(asked) != len(
        head.estimators_
    ):
        raise InputError("answers of the head", rule=f"be each of {k} once")
    if head.n_answers_ != k:
        raise InputError("number of answers", rule=f"be {k}", found=head.n_answers_)
    for part, steps in zip(asked, head.estimators_, strict=True):
        _pipeline(steps, dim, len(part))


def _number(head: NumberRegression, dim: int) -> None:
    _array(head.mean_, "mean of the number", (), "f")
    if not _array(head.scale_, "scale of the number", (), "f") > 0:
        raise InputError("scale of the number", rule="be above 0")
    _pipeline(head.estimator_, dim, 1)


def _flags(head: Flags, dim: int, k: int) -> None:
    constant = _array(head.constant_, "constant flags", (k,), "f", finite=False)
    # a label with one value in all training galaxies is predicted as this constant, without a
    # classifier; every other label has a classifier, and NaN as its constant
    if len(head.estimators_) != int(np.isnan(constant).sum()):
        raise InputError(
            "classifiers of flags",
            rule="be one for each flag that varies",
            found=len(head.estimators_),
        )
    for each in head.estimators_:
        if _calibrated(_typed(each, Calibrated, "classifier of a flag"), dim) != 2:
            raise InputError("classes of a flag", rule="be two")


def _calibrated(head: Calibrated, dim: int) -> int:
    """Check the arrays of a calibrated classifier; return its number of classes."""
    k = len(_array(head.classes_, "classes", (None,), "iu"))
    trained_codes = _codes(head.known_, None, k, "classes that the classifier met")
    _choice(head.output, "output of the classifier", ("decision_function", "predict_proba"))
    _array(np.asarray(head.scale_), "scale of the calibration", (), "f")
    _array(head.bias_, "offsets of the calibration", (k,), "f")
    _array(head.weights_, "weights of the classes", (k,), "f")
    _codes(head.unchecked_, None, k, "classes without calibration")
    # `stepped_` lists the classes whose probability is corrected by a step function; earlier
    # versions, without this list, had a step function for every class
    stepped = _codes(getattr(head, "stepped_", np.arange(k)), None, k, "classes with steps")
    if head.steps_ and len(head.steps_) != len(stepped):
        raise InputError(
            "steps of the calibration", rule=f"be {len(stepped)}", found=len(head.steps_)
        )
    for step in head.steps_:
        _array(step, "steps of the calibration", (2, None), "f")
    inner = head.estimator_
    if isinstance(inner, Ensemble):
        _ensemble(inner, dim, len(trained_codes))
    else:
        _pipeline(inner, dim, len(trained_codes))
    return k


def _ensemble(head: Ensemble, dim: int, k: int) -> None:
    _codes(head.classes_, k, k, "classes of the ensemble")
    for member in head.members_:
        if _calibrated(_typed(member, Calibrated, "member of the ensemble"), dim) != k:
            raise InputError("classes of a member", rule=f"be {k}")
    if head.judge_ is not None:
        model = _typed(head.judge_, LinearMachine, "judge of the ensemble")
        combined_codes = _codes(model.classes_, None, k, "classes of the ensemble's judge")
        _linear(model, len(head.members_) * k, len(combined_codes))


def _pipeline(steps: Any, dim: int, outputs: int) -> None:
    """Check each step of a pipeline that takes `dim` numbers and returns `outputs` numbers."""
    for name, step in _typed(steps, Pipeline, "steps of the head").steps:
        if name == "machine":
            model = _MACHINES.get(type(step))
            if model is None:
                raise InputError("machine of the head is unknown", found=type(step).__name__)
            model(step, dim, outputs)
        elif isinstance(step, Fill):
            _array(step.medians_, "medians", (dim,), "f")
        elif isinstance(step, Standardise):
            _array(step.mean_, "means of the columns", (dim,), "f")
            if not (_array(step.scale_, "scales of the columns", (dim,), "f") > 0).all():
                raise InputError("scales of the columns", rule="be above 0")
        # the PCA changes the number of columns for the steps after it
        elif isinstance(step, Compress):
            dim = _pca(_typed(step.pca_, PCA, "components"), dim)
        else:
            raise InputError("step of the head is unknown", found=type(step).__name__)
    if steps.steps[-1][0] != "machine":
        raise InputError("steps of the head", rule="end with a machine")


def _pca(pca: PCA, dim: int) -> int:
    width = len(_array(pca.components_, "components", (None, dim), "f"))
    _array(pca.mean_, "means of the components", (dim,), "f")
    _array(pca.explained_variance_, "variances of the components", (width,), "f")
    return width


def _linear(machine: LinearMachine, dim: int, k: int) -> None:
    _array(machine.coefficients_, "coefficients", (dim, k), "f")
    _array(machine.intercept_, "intercepts", (k,), "f")
    _codes(machine.classes_, k, None, "classes of the machine")


def _kernel(machine: RbfMachine | RbfRegression, dim: int, k: int) -> None:
    n = len(_array(machine.vectors_, "support vectors", (None, dim), "f"))
    _array(machine.weights_, "weights of support vectors", (n, k), "f")
    _array(machine.intercept_, "intercepts", (k,), "f")
    _array(np.asarray(machine.gamma_), "gamma", (), "f")


def _prototype(machine: Prototype, dim: int, k: int) -> None:
    _array(machine.means_, "means of the classes", (k, dim), "f")
    _codes(machine.classes_, k, None, "classes of the machine")


def _neighbours(machine: Neighbours, dim: int, k: int) -> None:
    # allow only these settings: with others, scikit-learn runs compiled code that does not check
    # indices, and a hostile file could make it read other memory
    for name, only in (("algorithm", "brute"), ("metric", "cosine"), ("weights", "distance")):
        _choice(getattr(machine, name), f"{name} of the neighbours", (only,))
    vectors, codes, algorithm = fitted_neighbours(machine)
    _choice(algorithm, "algorithm of the neighbours", ("brute",))
    _choice(machine.effective_metric_, "metric of the neighbours", ("cosine",))
    n = len(_array(vectors, "vectors of the neighbours", (None, dim), "f"))
    _codes(machine.classes_, k, k, "classes of the machine")
    if len(_array(codes, "classes of the neighbours", (n,), "iu")) and not (
        0 <= codes.min() and codes.max() < k
    ):
        raise InputError("classes of the neighbours", rule=f"be codes below {k}")
    if type(machine.n_neighbors) is not int or not 0 < machine.n_neighbors <= n:
        raise InputError(
            "number of neighbours", rule=f"be from 1 to {n}", found=machine.n_neighbors
        )


def _discriminant(machine: LinearDiscriminantAnalysis, dim: int, k: int) -> None:
    scores = 1 if k == 2 else k  # two classes have a single score, whose sign decides
    _array(machine.coef_, "coefficients", (scores, dim), "f")
    _array(machine.intercept_, "intercepts", (scores,), "f")
    _codes(machine.classes_, k, k, "classes of the machine")


def _network(machine: Perceptron, dim: int, k: int) -> None:
    if len(machine.coefs_) != 2 or len(machine.intercepts_) != 2:
        raise InputError("layers of the network", rule="be two", found=len(machine.coefs_))
    scores = 1 if k == 2 else k
    hidden = _array(machine.coefs_[0], "weights of the hidden layer", (dim, None), "f").shape[1]
    _array(machine.intercepts_[0], "intercepts of the hidden layer", (hidden,), "f")
    _array(machine.coefs_[1], "weights of the output layer", (hidden, scores), "f")
    _array(machine.intercepts_[1], "intercepts of the output layer", (scores,), "f")


def _ridge(machine: Ridge | RidgeRegression, dim: int, k: int) -> None:
    _array(np.atleast_2d(machine.coef_), "coefficients", (k, dim), "f")
    _array(np.atleast_1d(machine.intercept_), "intercepts", (k,), "f")


def _trees(machine: BoostedTrees, dim: int, k: int) -> None:
    """Refuse trees whose nodes are out of order or form a loop, so that every prediction ends."""
    nodes = len(_array(machine.left_, "left children", (None,), "i"))
    right = _array(machine.right_, "right children", (nodes,), "i")
    feature = _array(machine.feature_, "columns of the nodes", (nodes,), "i")
    _array(machine.value_, "values of the nodes", (nodes,), "f")
    _array(machine.missing_left_, "ways of missing values", (nodes,), "b")
    trees = len(_array(machine.roots_, "roots of the trees", (None,), "i"))
    outputs = _array(machine.outputs_, "classes of the trees", (trees,), "i")
    classifies = (
        _choice(machine.kind, "kind of the trees", ("XGBClassifier", "XGBRegressor"))
        == "XGBClassifier"
    )
    sums = 1 if classifies and k == 2 else k
    _array(machine.base_, "base of the trees", (sums,), "f")
    if classifies:
        _codes(machine.classes_, k, k, "classes of the trees")
    if nodes and (feature.min() < 0 or feature.max() >= dim):
        raise InputError("columns of the nodes", rule=f"be from 0 to {dim - 1}")
    if trees and (outputs.min() < 0 or outputs.max() >= sums):
        raise InputError("classes of the trees", rule=f"be from 0 to {sums - 1}")
    # each child must come after its parent in the array: then no path loops, and
    # every prediction ends at a leaf
    inner_nodes = np.flatnonzero((machine.left_ >= 0) | (right >= 0))
    children = np.concatenate([machine.left_[inner_nodes], right[inner_nodes]])
    if len(children) and (children.max() >= nodes or (children <= np.tile(inner_nodes, 2)).any()):
        raise InputError(
            "children of the nodes", rule=f"stand behind their node and before {nodes}"
        )
    if sorted([*children.tolist(), *machine.roots_.tolist()]) != list(range(nodes)):
        raise InputError("nodes of the trees", rule="be a root or the child of one node each")


_MACHINES: dict[type, Callable[[Any, int, int], None]] = {
    LinearMachine: _linear,
    RbfMachine: _kernel,
    RbfRegression: _kernel,
    Prototype: _prototype,
    Neighbours: _neighbours,
    LinearDiscriminantAnalysis: _discriminant,
    Perceptron: _network,
    RidgeRegression: _ridge,
    # heads of earlier versions have the regression of scikit-learn itself
    Ridge: _ridge,
    BoostedTrees: _trees,
}


def _array(value: Any, what: str, shape: Shape, kinds: str, *, finite: bool = True) -> Any:
    """Return a value if it is an array of the given shape and type (NumPy's letters), else fail."""
    if not isinstance(value, np.ndarray):
        raise InputError(what, rule="be an array", found=type(value).__name__)
    wanted = len(shape) == value.ndim and all(
        n in (None, m) for n, m in zip(shape, value.shape, strict=True)
    )
    if not wanted or value.dtype.kind not in kinds:
        size = " × ".join("any" if n is None else str(n) for n in shape) or "one number"
        raise InputError(
            what,
            rule=f"have the shape {size}, kind {kinds}",
            found=f"{value.shape} of {value.dtype}",
        )
    if finite and value.dtype.kind == "f" and not np.isfinite(value).all():
        raise InputError(what, rule="be finite")
    return value


def _codes(value: Any, count: int | None, limit: int | None, what: str) -> Any:
    """Return class codes; refuse codes that are negative, do not increase, or reach `limit`."""
    codes = _array(value, what, (count,), "iu")
    if len(codes) and (
        (np.diff(codes) <= 0).any() or codes[0] < 0 or (limit is not None and codes[-1] >= limit)
    ):
        rule = "be different codes in order" + ("" if limit is None else f", all below {limit}")
        raise InputError(what, rule=rule, found=str(codes[:20].tolist()))
    return codes


def _typed(value: Any, kind: type, what: str) -> Any:
    if type(value) is not kind:
        raise InputError(what, rule=f"be {kind.__name__}", found=type(value).__name__)
    return value


def _choice(value: Any, what: str, legal: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in legal:
        raise InputError(what, rule=f"be {' or '.join(legal)}", found=value)
    return value
