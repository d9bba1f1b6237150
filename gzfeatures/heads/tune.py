"""Choose a head's parameters by cross-validation on the training galaxies."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import numpy.typing as npt

from gzfeatures import user_folders
from gzfeatures.evaluation.statistics.residuals import residuals
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, quantile_parts
from gzfeatures.heads.estimators.registry import HeadKind, build_for, recipe
from gzfeatures.heads.folds import Groups, Rows, folds_of
from gzfeatures.progress import SILENT, Progress, each

if TYPE_CHECKING:
    from gzfeatures.galaxies.labels.labels import Target

FOLDS = 3
RUNGS = (3000, 9000)
"""Numbers of rows to compare parameters on; after each, the best third goes on to the next."""


def search(
    chosen: HeadKind,
    X: npt.NDArray[np.float32],
    targets: npt.NDArray[Any],
    groups: Groups | None,
    rows: Rows,
    target: Target,
    fixed: Mapping[str, Any],
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress = SILENT,
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """Return the best combination of a head's parameters, and all combinations that were tried.

    For large tables, all combinations are tried on few rows, and the best third on more rows
    (successive halving: Jamieson & Talwalkar 2016, arXiv:1502.07943).
    Combinations are scored without calibration, by accuracy (classes; mean recall of the classes if
    these are weighted), mean of −ln p (several labels) or RMSE (vote fractions, numbers). Among
    equal scores the earlier combination wins, and the default is the first.

    Parameters
    ----------
    chosen : HeadKind
        Head to tune.
    X : ndarray of float32
        Table, shape (N, d).
    targets : ndarray
        Targets of the training rows, shape (n,) or (n, k).
    groups : ndarray, optional
        Groups of the training rows, shape (n,).
    rows : ndarray of int
        Training rows in X, shape (n,).
    target : {"classes", "multi-label", "fractions", "value", "redshift"}
        Kind of the numbers in `targets`.
    fixed : mapping
        Parameters that are not to be tuned.
    seed : int
        Seed of folds and subsets.
    jobs : int
        Combinations tried at once; the rows are memory-mapped for the workers.
    progress : Progress
        Shows each trial; nothing by default.

    Returns
    -------
    best : dict
        `fixed`, and the best values of all other parameters.
    trials : tuple of dict
        In the order tried: `rung, rows, parameters, metric, score, deviation` (over folds),
        `seconds, kept`.
    """
    free = {name: values for name, values in chosen.search_space.items() if name not in fixed}
    candidates = [
        dict(zip(free, values, strict=True)) for values in itertools.product(*free.values())
    ]
    strata = _strata(targets, target)
    trials: list[dict[str, Any]] = []
    # each round tries fewer combinations of parameters, on more galaxies, than the round before
    for rung, size in enumerate(_rungs(len(rows))):
        kept = _subset(strata, groups, size, seed + rung)
        block = X[rows[kept]]
        kept_groups = None if groups is None else groups[kept]
        folds = folds_of(strata[kept], kept_groups, FOLDS, seed)
        title = f"tuning {chosen.name} on {len(kept):,} galaxies"
        results = joblib.Parallel(jobs, max_nbytes="1M", mmap_mode="r", return_as="generator")(
            joblib.delayed(_trial)(
                chosen.name,
                block,
                targets[kept],
                kept_groups,
                folds,
                target,
                {**fixed, **candidate},
                seed,
                user_folders.scratch(),
            )
            for candidate in candidates
        )
        tried = []
        shown = each(results, progress, title, len(candidates), transient=True)
        for candidate, result in zip(candidates, shown, strict=True):
            tried.append({"rung": rung, "rows": len(kept), "parameters": candidate, **result})
            words = ", ".join(f"{name}={value}" for name, value in candidate.items())
            score = f"{result['metric']} {result['score']:.4f} ± {result['deviation']:.4f}"
            progress.say(
                f"tune {chosen.name}, {len(kept):,} galaxies: {words}: {score}"
                f" ({result['seconds']:.1f} s)"
            )
        sign = 1 if "accuracy" in tried[0]["metric"] else -1
        # a stable sort: of equal scores, the combination nearest to the defaults comes first
        order = sorted(range(len(tried)), key=lambda i: -sign * tried[i]["score"])
        best = order[: max(1, len(order) // 3)]
        for i, trial in enumerate(tried):
            trial["kept"] = i in best
        trials += tried
        candidates = [candidates[i] for i in best]
    return {**fixed, **candidates[0]}, tuple(trials)


def _strata(targets: npt.NDArray[Any], target: Target) -> npt.NDArray[np.int64]:
    """Return the class, or quantile of a number, of each galaxy; folds get equal shares of each."""
    if target == "classes":
        return targets
    if target in VALUE_TARGETS:
        return quantile_parts(targets[:, 0])
    return np.zeros(len(targets), dtype=np.int64)


def _rungs(n: int) -> tuple[int, ...]:
    below = tuple(size for size in RUNGS if size < n)
    return below if len(below) == len(RUNGS) else (*below, n)


def _subset(strata: npt.NDArray[Any], groups: Groups | None, size: int, seed: int) -> Rows:
    """Select about `size` rows in whole groups, with unchanged class shares."""
    count = round(len(strata) / size)
    return np.arange(len(strata)) if count < 2 else folds_of(strata, groups, count, seed)[0][1]


def _trial(
    name: str,
    X: npt.NDArray[np.float32],
    targets: npt.NDArray[Any],
    groups: Groups | None,
    folds: list[tuple[Rows, Rows]],
    target: Target,
    parameters: dict[str, Any],
    seed: int,
    scratch: Path,
) -> dict[str, Any]:
    chosen = recipe(name).for_target(target)
    bare: dict[str, Any] = (
        {"calibration": "none"} if target == "classes" and name != "ensemble" else {}
    )
    if bare and parameters.get("class_weight") == "macro-f1":
        # a head chooses its class weights for macro F1 from calibrated probabilities. This search
        # leaves out the calibration to save time, so it fits the heads without class weights
        bare["class_weight"] = None
    start = time.perf_counter()
    scores = []
    for rest, part in folds:
        estimator = build_for(chosen, target, seed, {**parameters, **bare})
        # set the folder for temporary files again: a worker process does not inherit it
        with user_folders.scratch_in(scratch):
            estimator.fit(X, targets[rest], None if groups is None else groups[rest], rest)
        scores.append(
            _score(
                estimator,
                X[part],
                targets[part],
                target,
                parameters.get("class_weight") is not None,
            )
        )
    if target == "classes":
        metric = "balanced accuracy" if parameters.get("class_weight") is not None else "accuracy"
    else:
        metric = "log loss" if target == "multi-label" else "rmse"
    return {
        "metric": metric,
        "score": float(np.mean(scores)),
        "deviation": float(np.std(scores)),
        "seconds": time.perf_counter() - start,
    }


def _score(
    estimator: Any,
    X: npt.NDArray[np.float32],
    truth: npt.NDArray[Any],
    target: Target,
    weighted: bool,
) -> float:
    if target in VALUE_TARGETS:
        errors = residuals(estimator.predict(X)[:, 0], truth[:, 0], target)
        return float(np.sqrt(np.mean(errors**2)))
    if target == "fractions":
        return float(np.sqrt(np.nanmean((estimator.predict(X) - truth) ** 2)))
    if target == "multi-label":
        p = np.clip(estimator.predict_proba(X), 1e-7, 1 - 1e-7)
        return float(-np.log(np.where(truth, p, 1 - p)).mean())
    right = estimator.predict(X) == truth
    return (
        float(np.mean([right[truth == code].mean() for code in np.unique(truth)]))
        if weighted
        else float(right.mean())
    )
