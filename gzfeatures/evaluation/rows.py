"""Define the rows of a report's tables: ranking, tests, calibration, accuracy by quantity.

Each row is a frozen dataclass. It is a mapping too, with the keys and the order that the row has in
JSON files and under `--json`: a field that is None because it does not apply has no key there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

from gzfeatures.evaluation.repeatability import ASSUMED_PANEL

JSON_KEYS = {"approach": "road", "contaminated": "dagger"}
"""Fields whose key in JSON files is an older name, which other programs use."""
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
        From 1.
    approach, backbone, head, scheme, seed, contaminated
        Of the candidate.
    metrics : mapping of str to float
        By name; in JSON each is a key of its own.
    intervals : mapping of str to [low, high]
        Of each metric; in JSON `<metric>_interval`.
    costs : mapping of str to float or None
        Seconds by step (`extract_seconds`, …), `parameters` and `bytes`, None where unknown; in
        JSON each is a key of its own.
    behind : float
        Difference of its method to the first.
    behind_interval : list of float
        Low and high end of that.
    tied : bool
        Whether its method is not told apart from the first.
    compares : {"methods", "trainings"}, optional
        What that is said of, see `PairTest`; None for the first.
    untrained : str, optional
        Why the network behind it was not trained enough to be compared, one of
        `training_state.WORDS`; None where nothing speaks against it.
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
        # programs that read earlier versions' files expect the keys in this order
        ends = ("behind", "behind_interval", "tied", "compares", "untrained")
        last = {name: fields.pop(name) for name in ends if name in fields}
        named = {f"{name}_interval": ends for name, ends in self.intervals.items()}
        return {**fields, **self.metrics, **named, **self.costs, **last}


@dataclasses.dataclass(frozen=True, eq=False)
class PairTest(Row):
    """Hold the test of whether two methods of a ranking differ on the same galaxies.

    Parameters
    ----------
    first, second : str
        The methods.
    difference : float
        First minus second, mean over seeds.
    interval : list of float
        Low and high end of that.
    only_first, only_second : int, optional
        Galaxies that one alone has right; of methods of one seed each, where an answer is right or
        wrong.
    p : float
        Of the pair alone.
    p_family : float
        Of the pair among all pairs.
    compares : {"methods", "trainings"}
        What the test is about. A network that was trained with one seed tells nothing of another
        seed: then its one training is compared, and the methods may be equal.
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
        The method.
    seeds : int
        How many.
    mean, deviation : float
        Of the scores; the deviation is that of a sample.
    low, high : float
        Least and largest score.
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
    """Hold the best method's score, reduced by what choosing the best of several adds.

    Parameters
    ----------
    among : int
        Methods it was chosen from.
    value : float
        Its score, mean over seeds.
    luck : float
        What it owes to the choice (see `winner.luck_of_the_best`).
    corrected : float
        Value minus luck.
    interval : list of float, optional
        Of that; None where there is none.
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
        Mean probability of their most probable class.
    reached : float
        Share of them that is right.
    interval : list of float
        Of that share, 90 %.
    n : int
        How many they are.
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
        Ends of the bin.
    n : int
        Galaxies in it.
    accuracy : float
        Share that is right.
    interval : list of float
        Of that share.
    ceiling : float, optional
        How often the majorities of two panels of volunteers agree on them.
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
    """Hold how often volunteers agree with a prediction, and with each other.

    Parameters
    ----------
    reached : float
        Mean vote fraction of the predicted class.
    ceiling : float
        Mean of the largest vote fraction: what the best possible guess would reach.
    accuracy : float
        Share of galaxies whose class the majority of volunteers names too.
    repeatability : float
        How often the majorities of two panels of the same galaxies agree.
    panel : float
        Mean number of volunteers.
    assumed : bool
        Whether that is not known.
    n : int
        Galaxies with votes.
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
