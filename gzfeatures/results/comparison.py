"""Comparison of pairings on one split: ranking, paired bootstrap, McNemar, Holm, spread over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels import Labels
from gzfeatures.results.bootstrap import interval, resampled_sums
from gzfeatures.results.metrics import LOWER_IS_BETTER, headline, scorable
from gzfeatures.results.paired import holm, mcnemar
from gzfeatures.results.pairing import Pairing
from gzfeatures.results.predictions import Predictions
from gzfeatures.results.proportions import Array
from gzfeatures.results.sums import metric_columns, metrics_of


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Pairings ranked, and each two of them tested.

    Parameters
    ----------
    metric : str
        What the ranking is by.
    ranking : list of dict
        Best first: `rank, road, backbone, head, scheme, seed, dagger`, every metric, its `<metric>_interval`,
        `behind` (difference to the best) with `behind_interval`, `tied` (not told apart from the best after Holm's
        correction), and the costs `extract_seconds, fit_seconds, predict_seconds, train_seconds, end_to_end_seconds,
        parameters, bytes` (None where unknown). Of several seeds the mean counts, and they stand together by seed: a
        lucky one wins nothing.
    tests : list of dict
        Each two pairings: `first, second`, `difference` with `interval` (paired bootstrap), `only_first, only_second`
        (galaxies that one alone has right), `p` (exact McNemar; paired bootstrap where there are no classes), `p_holm`.
    seeds : list of dict
        Pairings run with several seeds: `road, backbone, head, seeds, mean, deviation, low, high`.
    split : str
        Fingerprint of the split they share.
    level : float
        Coverage of the intervals.
    """

    metric: str
    ranking: list[dict[str, Any]]
    tests: list[dict[str, Any]]
    seeds: list[dict[str, Any]]
    split: str
    level: float

    def asdict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return dataclasses.asdict(self)


def compare(
    pairings: Sequence[Pairing],
    labels: Labels,
    *,
    metric: str | None = None,
    resamples: int = 2000,
    level: float = 0.9,
    seed: int = 0,
) -> Comparison:
    """Rank pairings and test each two of them on the galaxies they share.

    Parameters
    ----------
    pairings : sequence of Pairing
        At least one; all on the same split, scheme and test ids.
    labels : Labels
        Truth.
    metric : str, optional
        What to rank by; default `accuracy`, or `rmse` for vote fractions.
    resamples : int
        Bootstrap resamples; every pairing meets the same ones.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the resampling.

    Raises
    ------
    InputError
        Nothing to compare, an unknown metric, or splits, schemes or test ids differ (says which and why it matters).

    References
    ----------
    McNemar 1947, doi:10.1007/BF02295996 (exact binomial form); Holm 1979, Scand. J. Statist. 6, 65.
    """
    first = _comparable(pairings)
    ids = np.sort(first.predictions.ids)
    ordered = [pairing.predictions.select(ids) for pairing in pairings]
    truth = scorable(ordered[0], labels)
    kind, k = first.predictions.kind, len(first.predictions.classes)
    metric = metric or headline(kind)
    values: list[float] = []
    replicates: list[Array] = []
    for predictions in ordered:
        columns = metric_columns(predictions, scorable(predictions, labels))
        point = metrics_of(columns.sum(0), len(ids), kind, k)
        if metric not in point or point[metric].ndim:
            raise InputError(
                "metric", rule=f"be one of {', '.join(m for m, v in point.items() if not v.ndim)}", found=metric
            )
        values.append(float(point[metric]))
        replicates.append(metrics_of(resampled_sums(columns, resamples, seed), len(ids), kind, k)[metric])
    sign = -1 if metric in LOWER_IS_BETTER else 1
    mean = _means(pairings, values)
    order = sorted(
        range(len(pairings)), key=lambda i: (-sign * mean[i], pairings[i].name, pairings[i].road, pairings[i].seed)
    )
    tests = _tests(pairings, ordered, truth, values, replicates, order, level)
    best = order[0]
    ranking = []
    for rank, i in enumerate(order, 1):
        low, high = interval(replicates[i] - replicates[best], level)
        apart = any(
            t["p_holm"] < 1 - level
            for t in tests
            if {t["first"], t["second"]} == {_label(pairings[best]), _label(pairings[i])}
        )
        ranking.append(
            {
                "rank": rank,
                **_row(pairings[i]),
                "behind": values[i] - values[best],
                "behind_interval": [float(low), float(high)],
                "tied": not apart,
            }
        )
    return Comparison(metric, ranking, tests, _seeds(pairings, values), first.split, level)


def _comparable(pairings: Sequence[Pairing]) -> Pairing:
    if not pairings:
        raise InputError("nothing to compare", rule="have at least one pairing")
    first, *rest = pairings
    test = fingerprint.of_ids(first.predictions.ids)
    for other in rest:
        for what, here, there in (
            ("split", first.split, other.split),
            ("scheme", first.scheme, other.scheme),
            ("classes", first.predictions.classes, other.predictions.classes),
            ("test galaxies", test, fingerprint.of_ids(other.predictions.ids)),
        ):
            if here != there:
                raise InputError(
                    f"pairings differ in their {what}",
                    where=f"{first.name} and {other.name}",
                    rule="agree in it: a difference in score would be one of galaxies, not of methods",
                    found=f"{here!s:.60} and {there!s:.60}",
                    remedy="run both on one split",
                )
    names = [_label(pairing) for pairing in pairings]
    for name in names:
        if names.count(name) > 1:
            raise InputError("pairing stands twice", where=name, rule="be compared once", remedy="drop one of the two")
    return first


def _label(pairing: Pairing) -> str:
    return f"{pairing.name}, {pairing.road}, seed {pairing.seed}"


def _row(pairing: Pairing) -> dict[str, Any]:
    seconds = {step: pairing.seconds.get(step) for step in ("extract", "fit", "predict", "train")}
    return {
        "road": pairing.road,
        "backbone": pairing.backbone,
        "head": pairing.head,
        "scheme": pairing.scheme,
        "seed": pairing.seed,
        "dagger": pairing.dagger,
        **pairing.scores.metrics,
        **{f"{name}_interval": list(bounds) for name, bounds in pairing.scores.intervals.items()},
        **{f"{step}_seconds": value for step, value in seconds.items()},
        "end_to_end_seconds": sum(pairing.seconds.values()),
        "parameters": pairing.cost.get("parameters"),
        "bytes": pairing.cost.get("bytes"),
    }


def _tests(
    pairings: Sequence[Pairing],
    ordered: Sequence[Predictions],
    truth: Labels,
    values: Sequence[float],
    replicates: Sequence[Array],
    order: Sequence[int],
    level: float,
) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = []
    right = [_right(predictions, truth) for predictions in ordered]
    for i, j in combinations(order, 2):
        difference = replicates[i] - replicates[j]
        low, high = interval(difference, level)
        test: dict[str, Any] = {
            "first": _label(pairings[i]),
            "second": _label(pairings[j]),
            "difference": values[i] - values[j],
            "interval": [float(low), float(high)],
        }
        a, b = right[i], right[j]
        if a is None or b is None:
            test["p"] = float(
                min(1.0, 2 * (1 + min((difference <= 0).sum(), (difference >= 0).sum())) / (1 + len(difference)))
            )
        else:
            test |= {"only_first": int((a & ~b).sum()), "only_second": int((b & ~a).sum())}
            test["p"] = mcnemar(test["only_first"], test["only_second"])
        tests.append(test)
    for test, corrected in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = corrected
    return tests


def _right(predictions: Predictions, truth: Labels) -> npt.NDArray[np.bool_] | None:
    if predictions.kind == "classes":
        same: npt.NDArray[np.bool_] = predictions.codes == truth.codes
        return same
    if predictions.kind == "multi-label":
        right: npt.NDArray[np.bool_] = ((predictions.probabilities >= 0.5) == truth.values).all(1)
        return right
    return None


def _runs(pairings: Sequence[Pairing], values: Sequence[float]) -> dict[tuple[str, str, str | None], list[float]]:
    """Values of each pairing's seeds."""
    runs: dict[tuple[str, str, str | None], list[float]] = {}
    for pairing, value in zip(pairings, values, strict=True):
        runs.setdefault(pairing.method, []).append(value)
    return runs


def _means(pairings: Sequence[Pairing], values: Sequence[float]) -> list[float]:
    """Mean over the seeds of each pairing."""
    runs = _runs(pairings, values)
    return [float(np.mean(runs[pairing.method])) for pairing in pairings]


def _seeds(pairings: Sequence[Pairing], values: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "road": road,
            "backbone": backbone,
            "head": head,
            "seeds": len(scores),
            "mean": float(np.mean(scores)),
            "deviation": float(np.std(scores, ddof=1)),
            "low": min(scores),
            "high": max(scores),
        }
        for (road, backbone, head), scores in _runs(pairings, values).items()
        if len(scores) > 1
    ]
