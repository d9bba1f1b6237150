"""Rank methods (backbone and head) by a score; test each pair on the same galaxies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from gzfeatures import brief, fingerprint
from gzfeatures.errors import InputError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.family import seed_variance, step_down
from gzfeatures.evaluation.metrics import LOWER_IS_BETTER, NEITHER_IS_BETTER, headline
from gzfeatures.evaluation.paired_tests import mcnemar
from gzfeatures.evaluation.prediction_checks import scorable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.rows import Compared, PairTest, RankedRow, SeedsRow, WinnerRow
from gzfeatures.evaluation.statistics.metric_sums import (
    metrics_of,
    shares_of,
    sufficient_statistics,
)
from gzfeatures.evaluation.statistics.proportions import Array
from gzfeatures.evaluation.statistics.training_state import why_untrained
from gzfeatures.evaluation.winner import luck_of_the_best
from gzfeatures.galaxies.labels.labels import Labels


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Hold a ranking of trained candidate models, and a test of every pair of methods.

    Parameters
    ----------
    metric : str
        Metric by which the candidate models are ranked.
    ranking : list of RankedRow
        Candidate models, the best method first; a row is `tied` if its method is not significantly
        worse than the first. Methods are ranked by the mean over their seeds, so that no method
        wins by one lucky seed; models of one method stand together, in the order of their seeds.
    tests : list of PairTest
        Test of every pair of methods, by the same metric, averaged over seeds. `p` comes from
        McNemar's exact test for accuracy, otherwise from resampling; `p_family` is corrected for
        the number of pairs (see `family.step_down`).
    seeds : list of SeedsRow
        One row for each method with several seeds.
    split : str
        Hash of the split that all candidate models share.
    level : float
        Coverage of the confidence intervals.
    winner : WinnerRow, optional
        Score of the first method, corrected for the luck of being the best of several.
    """

    metric: str
    ranking: list[RankedRow]
    tests: list[PairTest]
    seeds: list[SeedsRow]
    split: str
    level: float
    winner: WinnerRow | None = None

    @property
    def untrained(self) -> set[tuple[str, str, str | None]]:
        """Return the methods whose networks, for most seeds, were not trained long enough."""
        states: dict[tuple[str, str, str | None], list[bool]] = {}
        for row in self.ranking:
            states.setdefault(row.method, []).append(row.untrained is not None)
        return {method for method, state in states.items() if 2 * sum(state) > len(state)}

    @property
    def single_trainings(self) -> set[tuple[str, str, str | None]]:
        """Return the methods that contain a network trained with one seed only.

        One training does not show how much the score would change with another seed.
        """
        several = {seeds.method for seeds in self.seeds}
        return (
            {row.method for row in self.ranking if row.approach != "frozen"}
            - several
            - self.untrained
        )

    def __repr__(self) -> str:
        """Return the metric, the number of candidate models and the best one in one line."""
        first = self.ranking[0]
        best = f"first {first.backbone}" + (f" with {first.head}" if first.head else "")
        return brief.line(
            "Comparison", brief.count(len(self.ranking), "candidate"), self.metric, best
        )

    def _repr_html_(self) -> str:
        """Return the ranking with its confidence intervals as HTML for a notebook."""
        return brief.html(repr(self), below=self.to_html())

    def to_html(self) -> str:
        """Return the ranking as an HTML table, with as many decimals as its metric needs."""
        return self.to_pandas().to_html(
            index=False, float_format=lambda value: brief.number_text(value, self.metric)
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the ranking as a data frame: model, metric, interval, and tie with the best."""
        rows = [
            {
                "rank": row.rank,
                "approach": row.approach,
                "backbone": row.backbone,
                "head": row.head or "",
                "seed": row.seed,
                self.metric: row.metrics[self.metric],
                **dict(
                    zip(("low", "high"), row.interval(self.metric) or (np.nan,) * 2, strict=True)
                ),
                "tied": row.tied,
                "compares": row.compares or "",
            }
            for row in self.ranking
        ]
        return pd.DataFrame(rows)

    def asdict(self) -> dict[str, Any]:
        """Return ranking, tests and spread over seeds as JSON values."""
        return {
            "metric": self.metric,
            "ranking": [row.asdict() for row in self.ranking],
            "tests": [row.asdict() for row in self.tests],
            "seeds": [row.asdict() for row in self.seeds],
            "split": self.split,
            "level": self.level,
            "winner": {} if self.winner is None else self.winner.asdict(),
        }


def compare(
    candidates: Sequence[Candidate],
    labels: Labels,
    *,
    metric: str | None = None,
    resamples: int = 2000,
    level: float = 0.9,
    seed: int = 0,
) -> Comparison:
    """Rank candidate models by a metric, and test every pair of methods on the same galaxies.

    Parameters
    ----------
    candidates : sequence of Candidate
        At least one model; all with the same split, class scheme and test galaxies. Models that
        differ only in their seed are one method.
    labels : Labels
        True labels.
    metric : str, optional
        Metric to rank and to test by; by default `accuracy`, or `rmse` for vote fractions and
        numbers.
    resamples : int
        Number of bootstrap resamples of galaxies; the same ones serve every method.
    level : float
        Coverage of the confidence intervals; 1 − level is the probability that any of the pairs is
        wrongly found to differ. Intervals of scores of another level are computed again.
    seed : int
        Seed of the resampling.

    Raises
    ------
    InputError
        No candidate, a metric that is unknown or has no value, candidates with different splits,
        class schemes or test galaxies (the message says which, and why this matters), or predicted
        numbers with intervals of another level.

    References
    ----------
    Romano & Wolf 2005, doi:10.1198/016214504000000539 (see `family.step_down`); Tsamardinos+2018,
    doi:10.1007/s10994-018-5714-4 (see `winner.luck_of_the_best`); Bonett & Price 2012,
    doi:10.3102/1076998611411915 (interval of a difference of shares).
    """
    first = _comparable(candidates)
    candidates = [candidate.at_level(labels, level) for candidate in candidates]
    ids = np.sort(first.predictions.ids)
    ordered = [candidate.predictions.select(ids) for candidate in candidates]
    # all predictions now have one order of galaxies, so that methods are compared on each galaxy
    truth = scorable(ordered[0], labels)
    kind, k, n = first.predictions.kind, len(first.predictions.classes), len(ids)
    metric = metric or headline(kind)
    columns = [
        sufficient_statistics(predictions, scorable(predictions, labels)) for predictions in ordered
    ]
    points = [metrics_of(each.sum(0), n, kind, k) for each in columns]
    values = _values(candidates, points, metric)
    # compare methods by the mean over their seeds, so that no method wins by one lucky seed
    sign = -1 if metric in LOWER_IS_BETTER else 1
    methods = _methods(candidates, values, sign)
    of_method = [np.array([values[i] for i in members]) for members in methods]
    shares = [
        np.stack([shares_of(columns[i], metric, kind, k) for i in members]) for members in methods
    ]
    tests: list[PairTest] = []
    if len(methods) > 1:
        tests = _tests(
            candidates, ordered, truth, methods, of_method, shares, resamples, level, seed, metric
        )

    def measure(totals: Array, size: Array | float) -> Array:
        return metrics_of(totals, size, kind, k)[metric]

    # estimate how much of the best score is luck: it is the best of several (Tsamardinos+2018)
    luck = 0.0
    if len(methods) > 1:
        parts = [[columns[i] for i in members] for members in methods]
        luck = luck_of_the_best(parts, measure, sign > 0, min(resamples, 1000), seed)
    ranking: list[RankedRow] = []
    for place, members in enumerate(methods):
        # the first tests compare the best method with the second, the third and so on, in the order
        # of the ranking; the best method has no test against itself
        test = tests[place - 1] if place else None
        for i in members:
            ranking.append(_row(len(ranking) + 1, candidates[i], test, level, truth))
    winner = _winner(
        [candidates[i] for i in methods[0]], metric, float(of_method[0].mean()), luck, len(methods)
    )
    return Comparison(
        metric, ranking, tests, _seeds(candidates, values), first.split, level, winner
    )


def _values(
    candidates: Sequence[Candidate], points: Sequence[dict[str, Array]], metric: str
) -> list[float]:
    """Return each model's value of the metric; refuse an unknown metric and one without value."""
    ranks = [m for m, value in points[0].items() if not value.ndim and m not in NEITHER_IS_BETTER]
    if metric not in ranks:
        raise InputError("metric", rule=f"be one of {', '.join(ranks)}", found=metric)
    values = [float(point[metric]) for point in points]
    for candidate, value in zip(candidates, values, strict=True):
        if not np.isfinite(value):
            raise InputError(
                f"{metric} has no value for these test galaxies",
                where=candidate.name,
                rule="be a number, such as the AUC of two classes with galaxies",
                found=value,
                remedy="rank by another metric",
            )
    return values


def _methods(
    candidates: Sequence[Candidate], values: Sequence[float], sign: int
) -> list[list[int]]:
    """Return each method's positions in `candidates` (one per seed), the best method first."""
    members: dict[tuple[str, str, str | None], list[int]] = {}
    for i, candidate in enumerate(candidates):
        members.setdefault(candidate.method, []).append(i)
    mean = {
        method: float(np.mean([values[i] for i in places])) for method, places in members.items()
    }
    order = sorted(members, key=lambda m: (-sign * mean[m], candidates[members[m][0]].name, m[0]))
    return [sorted(members[method], key=lambda i: candidates[i].seed) for method in order]


def _winner(
    best: Sequence[Candidate],
    metric: str,
    value: float,
    luck: float,
    among: int,
) -> WinnerRow:
    """Return the best method's score and interval, reduced by the luck of being chosen."""
    intervals = [p.scores.intervals[metric] for p in best if metric in p.scores.intervals]
    interval = None
    if len(intervals) == len(best):
        low, high = np.mean(intervals, axis=0)
        shift = value - float(np.mean([p.scores.metrics[metric] for p in best])) - luck
        # a score cannot leave its metric's range, so clip the corrected limits; log loss and RMSE
        # have no upper limit
        top = {"log_loss": np.inf, "rmse": np.inf, "brier": 2.0}.get(metric, 1.0)
        least = -1.0 if metric == "mcc" else 0.0
        interval = [float(np.clip(end + shift, least, top)) for end in (low, high)]
    return WinnerRow(among, value, luck, value - luck, interval)


def _comparable(candidates: Sequence[Candidate]) -> Candidate:
    """Refuse models that were scored on different galaxies or classes; return the first model."""
    if not candidates:
        raise InputError("nothing to compare", rule="have at least one candidate")
    first, *rest = candidates
    test = fingerprint.of_ids(first.predictions.ids)
    for other in rest:
        for property_name, of_first, of_other in (
            ("split", first.split, other.split),
            ("scheme", first.scheme, other.scheme),
            ("classes", first.predictions.classes, other.predictions.classes),
            ("test galaxies", test, fingerprint.of_ids(other.predictions.ids)),
        ):
            if of_first != of_other:
                raise InputError(
                    f"candidates differ in their {property_name}",
                    where=f"{first.name} and {other.name}",
                    rule="agree in it: "
                    "a difference in score would be one of galaxies, not of methods",
                    found=f"{of_first!s:.60} and {of_other!s:.60}",
                    remedy="run both on one split",
                )
    names = [_label([candidate]) for candidate in candidates]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                "candidate is listed twice",
                where=name,
                rule="be compared once",
                remedy="drop one of the two",
            )
    return first


def _label(seeds: Sequence[Candidate]) -> str:
    """Return a method as text: backbone, head, approach (such as frozen), and seed or seeds."""
    candidate = seeds[0]
    return f"{candidate.name}, {candidate.approach}, " + (
        f"seed {candidate.seed}" if len(seeds) == 1 else f"mean of {len(seeds)} seeds"
    )


def _row(
    rank: int, candidate: Candidate, test: PairTest | None, level: float, truth: Labels
) -> RankedRow:
    """Return a candidate model's row of the ranking, with its difference to the best method."""
    costs: dict[str, float | None] = {}
    for step in ("extract", "fit", "predict", "train"):
        costs[f"{step}_seconds"] = candidate.seconds.get(step)
    costs["end_to_end_seconds"] = sum(candidate.seconds.values())
    costs |= {name: candidate.cost.get(name) for name in ("parameters", "bytes")}
    behind, ends, tied = 0.0, [0.0, 0.0], True
    if test is not None:
        # the test stores the best method's score minus this method's, but the row states this
        # method's minus the best: change the sign and swap the limits
        low, high = test.interval
        behind, ends, tied = -test.difference, [-high, -low], test.p_family >= 1 - level
    return RankedRow(
        rank=rank,
        approach=candidate.approach,
        backbone=candidate.backbone,
        head=candidate.head,
        scheme=candidate.scheme,
        seed=candidate.seed,
        contaminated=candidate.contaminated,
        metrics=candidate.scores.metrics,
        intervals={name: list(ends) for name, ends in candidate.scores.intervals.items()},
        costs=costs,
        behind=behind,
        behind_interval=ends,
        tied=tied,
        compares=None if test is None else test.compares,
        untrained=_untrained(candidate, truth),
    )


def _untrained(candidate: Candidate, truth: Labels) -> str | None:
    """Return why a model's network was not trained long enough to compare it; else None."""
    if candidate.approach == "frozen":
        return None
    scores = candidate.scores
    commonest = None
    if scores.kind == "classes":
        commonest = float(np.bincount(truth.codes).max() / len(truth.codes))
    baselines = [metrics["rmse"] for metrics in scores.baselines.values()]
    return why_untrained(
        candidate.curve,
        accuracy=scores.intervals.get("accuracy"),
        commonest=commonest,
        rmse=scores.intervals.get("rmse"),
        baseline=min(baselines, default=None),
        of_one=headline(scores.kind) not in brief.IN_UNITS,
    )


def _tests(
    candidates: Sequence[Candidate],
    ordered: Sequence[Predictions],
    truth: Labels,
    methods: Sequence[Sequence[int]],
    values: Sequence[Array],
    shares: Sequence[Array],
    resamples: int,
    level: float,
    seed: int,
    metric: str,
) -> list[PairTest]:
    """Return a test of every pair of methods, in ranking order: (1, 2), (1, 3), …, (2, 3), …."""
    family, single, _ = step_down(values, shares, resamples, seed)
    noise = seed_variance(values, shares)
    right = [_right(predictions, truth) for predictions in ordered]
    tests: list[PairTest] = []
    for number, (i, j) in enumerate(combinations(range(len(methods)), 2)):
        gap = shares[i].mean(0) - shares[j].mean(0)
        spread = float(noise[i] + noise[j])
        second = [candidates[m] for m in methods[j]]
        only_first = only_second = None
        a, b = right[methods[i][0]], right[methods[j][0]]
        if a is not None and b is not None and len(methods[i]) == len(methods[j]) == 1:
            only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
        p = float(single[number])
        if metric == "accuracy" and only_first is not None and only_second is not None:
            # McNemar's test gives an exact p value for accuracy; resampling gives only an estimate
            p = mcnemar(only_first, only_second)
        tests.append(
            PairTest(
                first=_label([candidates[m] for m in methods[i]]),
                second=_label(second),
                difference=float(values[i].mean() - values[j].mean()),
                interval=_difference(gap, spread, level, smoothed=metric == "accuracy"),
                only_first=only_first,
                only_second=only_second,
                p=p,
                # a correction for several pairs cannot lower a p value, but random signs can do so
                p_family=max(float(family[number]), p),
                compares=_compared([candidates[m] for m in methods[i]], second),
            )
        )
    return tests


def _compared(*methods: Sequence[Candidate]) -> Compared:
    """Return the word for what a test compares: "methods", or only "trainings" of networks.

    It is "trainings" if one of the methods has a network trained with one seed only. Test galaxies
    show how much two trained networks differ. How much the scores of one method differ between
    trainings can only be measured with several seeds.
    """
    single = any(len(seeds) == 1 and seeds[0].approach != "frozen" for seeds in methods)
    return "trainings" if single else "methods"


def _difference(gap: Array, noise: float, level: float, *, smoothed: bool) -> list[float]:
    """Return the confidence interval of the mean score difference between two methods.

    If `smoothed` (for accuracy), add two imaginary galaxies: each method is right for one of them.
    Without these, methods that agree on all galaxies would get an interval of no width, as if
    their equality were certain (Bonett & Price 2012).
    """
    n, total, square = len(gap), float(gap.sum()), float((gap**2).sum())
    if smoothed:
        n, square = n + 2, square + 2
    middle = total / n
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * float(
        np.sqrt(max(square / n - middle**2, 0) / n + noise)
    )
    return [middle - reach, middle + reach]


def _right(predictions: Predictions, truth: Labels) -> npt.NDArray[np.bool_] | None:
    """Return which galaxies are classified correctly, shape (n,); None for fractions or numbers."""
    if predictions.kind == "classes":
        same: npt.NDArray[np.bool_] = predictions.codes == truth.codes
        return same
    if predictions.kind == "multi-label":
        right: npt.NDArray[np.bool_] = ((predictions.probabilities >= 0.5) == truth.values).all(1)
        return right
    return None


def _runs(
    candidates: Sequence[Candidate], values: Sequence[float]
) -> dict[tuple[str, str, str | None], list[float]]:
    """Return a metric's values for all seeds of each method."""
    runs: dict[tuple[str, str, str | None], list[float]] = {}
    for candidate, value in zip(candidates, values, strict=True):
        runs.setdefault(candidate.method, []).append(value)
    return runs


def _seeds(candidates: Sequence[Candidate], values: Sequence[float]) -> list[SeedsRow]:
    """Return mean, scatter and range of the score of each method that has several seeds."""
    return [
        SeedsRow(
            approach,
            backbone,
            head,
            seeds=len(scores),
            mean=float(np.mean(scores)),
            deviation=float(np.std(scores, ddof=1)),
            low=min(scores),
            high=max(scores),
        )
        for (approach, backbone, head), scores in _runs(candidates, values).items()
        if len(scores) > 1
    ]
