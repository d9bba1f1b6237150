"""Report scikit-learn's own checks of every head: `python experiments/estimator_checks.py`."""

from __future__ import annotations

import sys
import warnings

import sklearn
from sklearn.utils.estimator_checks import check_estimator

from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.estimators.scikit_learn import estimator

FEW = {"knn": {"neighbours": 3}, "ensemble": {"members": ("logistic", "prototype")}}
"""The checks fit on 10 to 30 rows, which are fewer than the default neighbours of knn."""


def report(names: list[str]) -> int:
    """Print a row per head, and the checks that failed; return their number."""
    print(f"scikit-learn {sklearn.__version__}\n\n| head | checks | failed |\n|---|---|---|")
    number = 0
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(estimator(name, **FEW.get(name, {})), on_fail=None)
        failed = sorted({each["check_name"] for each in results if each["status"] == "failed"})
        print(f"| {name} | {len(results)} | {', '.join(failed)} |", flush=True)
        number += len(failed)
    return number


if __name__ == "__main__":
    report(sys.argv[1:] or list(HEADS))
