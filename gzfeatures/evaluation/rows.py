"""Define the rows of a report's tables, such as the ranking or accuracy in bins of redshift.

Each row is a frozen dataclass. It can also be used as a mapping, with the same keys in the same
order as in JSON files and in the output of `--json`. A field that does not apply is None and has no
key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

from gzfeatures.evaluation.repeatability import ASSUMED_PANEL

JSON_KEYS = {"approach": "road", "contaminated": "dagger"}
"""Fields whose key in JSON files is the name in earlier versions, because other programs use it."""
Compared: TypeAlias = Literal["methods", "trainings"]


class Row(Mapping[str, Any]):
    """Hold one row of a report's table; its fields can also be read by their JSON key."""

    absent_if_none: ClassVar[frozenset[str]] = frozenset()

    def asdict(self) -> dict[str, Any]:
        """Return the fields by their JSON key, without fields that do not apply."""
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # each row is a dataclass
            value = getattr(self, field.name)
            if value is not None or field.name not in self.absent_if_none:
                fields[JSON_KEYS.get(field.name, field.name)] = value
        return fields

    def __getitem__(self, key: str) -> Any:
        return self.asdict()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.asdict())

    def __len__(self) -> int:
        return len(self.asdict())


@dataclasses.dataclass(frozen=True, eq=False)
class RankedRow(Row):
    """Hold one row of a ranking: a candidate model with its metrics, intervals and costs.

    Parameters
    ----------
    rank : int
        Rank of the candidate model, from 1.
    approach, backbone, head, scheme, seed, contaminated
        Fields of the candidate model; see `Candidate`.
    metrics : mapping of str to float
        Value of each metric by name; each is a key of its own in JSON.
    intervals : mapping of str to [low, high]
        Confidence interval of each metric; the keys in JSON are `<metric>_interval`.
    costs : mapping of str to float or None
        Seconds of each step (`extract_seconds`, …), `parameters` (numbers learned) and `bytes`
        (size on disk), None if unknown; each is a key of its own in JSON.
    behind : float
        Score of the model's method minus that of the best method.
    behind_interval : list of float
        Lower and upper confidence limit of `behind`.
    tied : bool
        Whether the model's method is not significantly different from the best one.
    compares : {"methods", "trainings"}, optional
        Whether `tied` is a statement on methods or on single trainings, see `PairTest`; None for
        the best method.
    untrained : str, optional
        Why the model's network was not trained long enough to be compared, a key of
        `training_state.WORDS`; None if it was.
    """

    absent_if_none = frozenset({"compares", "untrained"})

    rank: int
    approach: str
    backbone: str
    head: str | None
    scheme: str
    seed: int
    contaminated: bool
    metrics: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    costs: Mapping[str, float | None]
    behind: float
    behind_interval: list[float]
    tied: bool
    compares: Compared | None = None
    untrained: str | None = None

    @property
    def method(self) -> tuple[str, str, str | None]:
        """Return approach (such as frozen), backbone and head, which do not depend on the seed."""
        return self.approach, self.backbone, self.head

    def interval(self, metric: str) -> list[float] | None:
        """Return a metric's confidence interval; None if a class has too few galaxies."""
        return self.intervals.get(metric)

    def asdict(self) -> dict[str, Any]:
        """Return the fields by name; each metric, interval and cost gets its own key."""
        fields = super().asdict()
        for name in ("metrics", "intervals", "costs"):
            del fields[name]
        # move these keys to the end, the place they have in files of earlier versions
        ends = ("behind", "behind_interval", "tied", "compares", "untrained")
        last = {name: fields.pop(name) for name in ends if name in fields}
        named = {f"{name}_interval": ends for name, ends in self.intervals.items()}
        return {**fields, **self.metrics, **named, **self.costs, **last}


@dataclasses.dataclass(frozen=True, eq=False)
class PairTest(Row):
    """Hold a test of whether two methods (approach, backbone and head) differ significantly.

    Both methods are scored on the same galaxies.

    Parameters
    ----------
    first, second : str
        Names of the two methods.
    difference : float
        Score of the first method minus that of the second; means over seeds.
    interval : list of float
        Lower and upper confidence limit of `difference`.
    only_first, only_second : int, optional
        Number of galaxies that only the first (second) method classifies correctly. Only for
        methods with one seed each, and not for vote fractions or numbers.
    p : float
        p value of this pair alone.
    p_family : float
        p value corrected for the number of pairs.
    compares : {"methods", "trainings"}
        "trainings" if a network was trained with one seed only: a significant difference of two
        trainings does not prove that the methods differ, because another seed could change it.
    """

    absent_if_none = frozenset({"only_first", "only_second"})

    first: str
    second: str
    difference: float
    interval: list[float]
    only_first: int | None
    only_second: int | None
    p: float
    p_family: float
    compares: Compared = "methods"


@dataclasses.dataclass(frozen=True, eq=False)
class SeedsRow(Row):
    """Hold mean, scatter and range of a method's score over several training seeds.

    Parameters
    ----------
    approach, backbone, head
        The method; see `Candidate`.
    seeds : int
        Number of seeds.
    mean, deviation : float
        Mean and standard deviation (with n − 1) of the seeds' scores.
    low, high : float
        Lowest and highest score.
    """

    approach: str
    backbone: str
    head: str | None
    seeds: int
    mean: float
    deviation: float
    low: float
    high: float

    @property
    def method(self) -> tuple[str, str, str | None]:
        """Return the method's approach, backbone and head."""
        return self.approach, self.backbone, self.head


@dataclasses.dataclass(frozen=True, eq=False)
class WinnerRow(Row):
    """Hold the best method's score, and this score without the luck of being the best of several.

    Parameters
    ----------
    among : int
        Number of methods of which it was the best.
    value : float
        Score of the best method, mean over seeds.
    luck : float
        Part of the score that is due to choosing the best (see `winner.luck_of_the_best`).
    corrected : float
        `value` minus `luck`.
    interval : list of float, optional
        Confidence interval of `corrected`; None if the score has no interval.
    """

    among: int
    value: float
    luck: float
    corrected: float
    interval: list[float] | None


@dataclasses.dataclass(frozen=True, eq=False)
class ReliabilityBin(Row):
    """Hold the accuracy of galaxies whose most probable class has a similar probability.

    Parameters
    ----------
    stated : float
        Mean probability of these galaxies' most probable class.
    reached : float
        Share of these galaxies whose most probable class is the true one.
    interval : list of float
        Confidence interval of `reached` at 90 %.
    n : int
        Number of these galaxies.
    """

    stated: float
    reached: float
    interval: list[float]
    n: int


@dataclasses.dataclass(frozen=True, eq=False)
class AccuracyBin(Row):
    """Hold the accuracy of the galaxies in one bin of a quantity, such as redshift.

    Parameters
    ----------
    low, high : float
        Lower and upper end of the bin.
    n : int
        Number of galaxies in the bin.
    accuracy : float
        Share of these galaxies that are classified correctly.
    interval : list of float
        Confidence interval of `accuracy`.
    ceiling : float, optional
        How often the majorities of two groups of volunteers agree on these galaxies; no upper limit
        of `accuracy`.
    """

    absent_if_none = frozenset({"ceiling"})

    low: float
    high: float
    n: int
    accuracy: float
    interval: list[float]
    ceiling: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Ceiling(Row):
    """Hold how often volunteers agree with predictions, and with each other.

    Parameters
    ----------
    reached : float
        Mean vote fraction of the predicted class: how often one volunteer agrees.
    ceiling : float
        Mean of each galaxy's largest vote fraction: the best value that `reached` could have.
    accuracy : float
        Share of galaxies whose predicted class is the label, the class of most volunteers.
    repeatability : float
        How often the majorities of two groups of volunteers agree on a galaxy; no upper limit of
        `accuracy`.
    panel : float
        Mean number of volunteers per galaxy.
    assumed : bool
        Whether the number of volunteers is assumed for some of the galaxies.
    n : int
        Number of galaxies with votes.
    """

    reached: float
    ceiling: float
    accuracy: float
    repeatability: float
    panel: float
    assumed: bool
    n: int

    @property
    def assumption(self) -> str | None:
        """Return a sentence on the assumed number of volunteers; None if all are known."""
        if not self.assumed:
            return None
        return (
            f"the number of volunteers is not known for each of {self.n} galaxies with votes: "
            f"the volunteers' repeatability assumes {ASSUMED_PANEL} where it is not"
        )
