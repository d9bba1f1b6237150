"""List all kinds of heads with their parameters, without importing scikit-learn or XGBoost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from gzfeatures.galaxies.labels.labels import Target

_CLASSES: dict[str, Any] = {
    "pca": None,
    "whiten": False,
    "impute": False,
    "calibration": "platt",
    "class_weight": None,
}
_FRACTIONS: dict[str, Any] = {"pca": None, "whiten": False, "impute": False}
_TREES: dict[str, Any] = {
    "rounds": 250,
    "depth": 3,
    "rate": 0.2,
    "columns": 0.25,
    "bins": 64,
    "device": "cpu",
}


@dataclasses.dataclass(frozen=True)
class HeadKind:
    """Define a kind of head by its default parameters, and build its unfitted estimator.

    Parameters
    ----------
    name : str
        Name in `HEADS`.
    task : {"classes", "fractions"}
        What the head predicts: one of k classes; or the vote fraction of each answer, or one number
        such as a redshift.
    about : str
        What the head does, in one line.
    source : str
        Publication of the method.
    defaults : mapping
        Parameters and their default values: those of the classifier or regressor itself, and those
        of every head: `pca` (number of principal components; None for no PCA), `whiten` (scale the
        components to unit variance), `impute` (accept NaN, and replace it by the training median).
        Heads that predict classes also have `calibration` (platt, isotonic, temperature, none) and
        `class_weight` (None, "balanced", "macro-f1" for the weights with the best macro F1, or code
        → weight; the probabilities are then those of a sample with these weights).
    search_space : mapping of str to tuple
        Values `tune` tries, best guess first.
    of_numbers : mapping
        Defaults for one number, which is learned in units of its standard deviation.
    """

    name: str
    task: Literal["classes", "fractions"]
    about: str
    source: str
    defaults: Mapping[str, Any]
    search_space: Mapping[str, tuple[Any, ...]]
    of_numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def for_target(self, target: Target) -> HeadKind:
        """Return this kind of head; to predict numbers, replace some defaults.

        Examples
        --------
        >>> HEADS["svr"].for_target("redshift").defaults["epsilon"]
        0.1
        """
        if target not in VALUE_TARGETS:
            return self
        return dataclasses.replace(self, defaults={**self.defaults, **self.of_numbers})

    def __call__(self, seed: int = 0, **parameters: Any) -> BaseEstimator:
        """Build the unfitted estimator, with scaling and calibration, for class codes 0…k−1.

        Raises
        ------
        InputError
            A parameter is not one of this head's.
        """
        # this import loads scikit-learn, which is slow, so it happens only when a head is built
        from gzfeatures.heads.estimators.build import build

        complete = self.complete(parameters)
        if "members" in complete:
            complete["members"] = [
                _member(recipe(name), complete["impute"]) for name in complete["members"]
            ]
        return build(self.name, self.task, seed, complete)

    def complete(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return given parameters of the head, with the defaults of all other parameters.

        Raises
        ------
        InputError
            A parameter is not one of this head's.

        Examples
        --------
        >>> HEADS["ridge"].complete({"alpha": 10.0})
        {'alpha': 10.0, 'pca': None, 'whiten': False, 'impute': False}
        """
        # a command or an experiment file cannot write None: there, "none" names such a default
        none = {name for name, value in self.defaults.items() if value is None}
        parameters = {
            name: None if value == "none" and name in none else value
            for name, value in parameters.items()
        }
        unknown_names = [name for name in parameters if name not in self.defaults]
        if unknown_names:
            raise InputError(
                "unknown parameter",
                where=f"head {self.name}",
                rule=f"be one of {', '.join(self.defaults)}",
                found=unknown_names[0],
            )
        return {**self.defaults, **parameters}

    def asdict(self) -> dict[str, Any]:
        """Return this kind of head as JSON values: name, source, defaults, search ranges and more.

        The source is the publication that describes the method.
        """
        return {
            "name": self.name,
            "task": self.task,
            "about": self.about,
            "source": self.source,
            "licence": "Apache-2.0" if "xgboost" in self.name else "BSD-3-Clause",
            "defaults": dict(self.defaults),
            "space": {name: list(values) for name, values in self.search_space.items()},
        }


HEADS: dict[str, HeadKind] = {
    "logistic": HeadKind(
        "logistic",
        "classes",
        "multinomial logistic regression, L2, L-BFGS in single precision",
        "Bishop 2006, Pattern Recognition and Machine Learning, section 4.3.4",
        {
            "C": 0.003,
            "tolerance": 1e-4,
            "iterations": 300,
            **_CLASSES,
            "calibration": "temperature",
        },
        {"C": (0.003, 0.03, 0.001, 0.0003)},
    ),
    "svm": HeadKind(
        "svm",
        "classes",
        "support vector machine with a Gaussian kernel; gamma in units of 1 / (length of vector × "
        "variance), by default 200 / length before pca, at most 1",
        "Cortes & Vapnik 1995, doi:10.1007/BF00994018",
        {"C": 10.0, "gamma": None, "accelerated": True, **_CLASSES},
        {"C": (10.0, 3.0, 30.0), "gamma": (None, 0.3)},
    ),
    "linear-svm": HeadKind(
        "linear-svm",
        "classes",
        "linear support vector machine, squared hinge, one against the rest",
        "Fan+2008, LIBLINEAR, JMLR 9, 1871",
        {"C": 0.0003, "tolerance": 1e-4, "iterations": 300, **_CLASSES},
        {"C": (0.0003, 0.003, 0.0001)},
    ),
    "xgboost": HeadKind(
        "xgboost",
        "classes",
        "gradient-boosted trees on histograms of the 128 leading components",
        "Chen & Guestrin 2016, doi:10.1145/2939672.2939785",
        {**_TREES, **_CLASSES, "pca": 128, "calibration": "temperature"},
        {"depth": (3, 2), "pca": (128, 64)},
    ),
    "knn": HeadKind(
        "knn",
        "classes",
        "nearest neighbours by cosine distance in the 128 leading components",
        "Cover & Hart 1967, doi:10.1109/TIT.1967.1053964",
        {"neighbours": 15, **_CLASSES, "pca": 128, "calibration": "temperature"},
        {"neighbours": (15, 30, 7), "pca": (128, 64), "whiten": (False, True)},
    ),
    "lda": HeadKind(
        "lda",
        "classes",
        "linear discriminant with Ledoit-Wolf shrinkage in the 256 leading components",
        "Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4",
        {"shrinkage": "auto", **_CLASSES, "pca": 256, "calibration": "temperature"},
        {"pca": (256, 128, 512), "shrinkage": ("auto", 0.1)},
    ),
    "mlp": HeadKind(
        "mlp",
        "classes",
        "one hidden layer on the 256 leading components, Adam for a fixed number of epochs",
        "Kingma & Ba 2015, arXiv:1412.6980",
        {
            "hidden": 128,
            "alpha": 1.0,
            "epochs": 30,
            **_CLASSES,
            "pca": 256,
            "calibration": "temperature",
        },
        {"alpha": (1.0, 10.0, 0.1), "hidden": (128, 256)},
    ),
    "prototype": HeadKind(
        "prototype",
        "classes",
        "nearest class mean in the whitened 128 leading components, fewer for few galaxies",
        "Snell+2017, arXiv:1703.05175",
        {**_CLASSES, "pca": 128, "whiten": True},
        {"pca": (128, 64, 256)},
    ),
    "ensemble": HeadKind(
        "ensemble",
        "classes",
        "named heads together: mean of their probabilities (soft), "
        "or a logistic regression on them (stack)",
        "Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1",
        {
            "members": ("svm", "logistic", "xgboost"),
            "combine": "soft",
            "impute": False,
            "calibration": "temperature",
            "class_weight": None,
        },
        {"combine": ("soft", "stack")},
    ),
    "ridge": HeadKind(
        "ridge",
        "fractions",
        "linear regression, L2, of vote fractions (clipped to [0, 1]) or of one number; alpha is "
        "by default the length of the vector before pca",
        "Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634",
        {"alpha": None, **_FRACTIONS},
        {"alpha": (None, 100.0, 10.0)},
    ),
    "svr": HeadKind(
        "svr",
        "fractions",
        "support vector regression with a Gaussian kernel, of vote fractions (one machine per "
        "answer, clipped to [0, 1]) or of one number",
        "Smola & Schölkopf 2004, doi:10.1023/B:STCO.0000035301.49549.88",
        {"C": 3.0, "gamma": None, "epsilon": 0.05, "accelerated": True, **_FRACTIONS},
        {"C": (3.0, 1.0, 10.0), "gamma": (None, 0.3)},
        {"epsilon": 0.1},
    ),
    "xgboost-regression": HeadKind(
        "xgboost-regression",
        "fractions",
        "gradient-boosted trees on the 128 leading components, of vote fractions (clipped to "
        "[0, 1]) or of one number",
        "Chen & Guestrin 2016, doi:10.1145/2939672.2939785",
        {**_TREES, **_FRACTIONS, "pca": 128},
        {"depth": (3, 2), "pca": (128, 64)},
    ),
}


def _member(member: HeadKind, impute: bool) -> tuple[str, str, dict[str, Any]]:
    """Return name, task (`classes`) and all parameters of a classifier that joins an ensemble."""
    if member.task != "classes" or member.name == "ensemble":
        raise InputError(
            "ensemble member", rule="be a head that predicts classes", found=member.name
        )
    return member.name, member.task, member.complete({"impute": impute})


def build_for(chosen: HeadKind, target: Target, seed: int, parameters: Mapping[str, Any]) -> Any:
    """Build the unfitted estimator of a head for classes, several labels, fractions or a number."""
    estimator = chosen(seed, **parameters)
    if target in VALUE_TARGETS:
        # this import loads scikit-learn, which is slow, so it happens only when a head is built
        from gzfeatures.heads.estimators.numbers import NumberRegression

        return NumberRegression(estimator.estimator)
    if target != "multi-label":
        return estimator
    # this import loads scikit-learn, which is slow, so it happens only when a head is built
    from gzfeatures.heads.estimators.build import Flags

    return Flags(estimator)


def recipe(name: str) -> HeadKind:
    """Return the kind of head with a given name; the error for an unknown name lists all names."""
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    return HEADS[name]
