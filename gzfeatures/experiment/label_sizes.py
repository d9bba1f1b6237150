"""Score heads and networks on growing numbers of labels, to see from how many fine-tuning pays."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.metrics import evaluate, headline, jsonable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.candidates import fit_heads
from gzfeatures.experiment.fitted_heads.options import FitOptions
from gzfeatures.experiment.folder import TARGET, candidate_of, record_of, write_candidates
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.files import join_inside, require_file, written_whole
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.nested_parts import nested_parts
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.report.payoff import Payoff, answer, payoffs

if TYPE_CHECKING:
    from gzfeatures.figures.label_curve import LabelCurve
    from gzfeatures.galaxies.catalogs.catalog import Catalog

FILES = RECORD, TABLE, PLOT = "learning_curve.json", "learning_curve.csv", "learning_curve.png"
CurvePoint: TypeAlias = tuple[int, float, float, float]
FORMAT = 1


def sizes_of(text: str) -> tuple[int, ...]:
    """Parse the numbers of labels given to `--sizes`, such as 100,300,1000.

    Raises
    ------
    InputError
        The text has something other than whole numbers above 1.

    Examples
    --------
    >>> sizes_of("300,100")
    (100, 300)
    """
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and int(part) > 1 for part in numbers):
        raise InputError(
            "sizes of a learning curve",
            rule="be numbers of labels above 1 with commas between them, such as 100,300,1000",
            found=text,
        )
    return tuple(sorted({int(part) for part in numbers}))


@dataclasses.dataclass(frozen=True, eq=False)
class SizePoint:
    """Store a network or head that was trained on a certain number of labels, with its scores.

    Parameters
    ----------
    labels : int
        Requested number of labels, of training and validation galaxies together.
    train, validation : int
        Numbers of training and of validation galaxies. Their sum may be a little below `labels`,
        because groups of galaxies are not divided.
    candidate : Candidate
        Predictions and scores of the test galaxies, which are the same for all numbers of labels.
    """

    labels: int
    train: int
    validation: int
    candidate: Candidate


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSizes:
    """Store scores of heads and networks for growing numbers of labels, on the same galaxies.

    Parameters
    ----------
    points : tuple of SizePoint
        One point for each method and number of labels, all with the same test galaxies.
    truth : Labels
        True labels of the test galaxies.
    split : str
        Hash of the whole split from which samples were drawn.
    seed : int
        Seed with which samples were drawn.
    """

    points: tuple[SizePoint, ...]
    truth: Labels
    split: str
    seed: int

    @property
    def metric(self) -> str:
        """Return the metric of the plot: accuracy, or RMSE for predicted numbers."""
        return headline(self.truth.target)

    def payoffs(self) -> list[Payoff]:
        """Compare the best network with the best head, for each number of labels with both."""
        by_size: dict[int, list[Candidate]] = {}
        for point in sorted(self.points, key=lambda point: point.labels):
            by_size.setdefault(point.labels, []).append(point.candidate)
        return payoffs(by_size, self.truth, self.metric)

    def answer(self) -> str:
        """Return a sentence on how many labels a network needs to beat a head; "" if unknown."""
        return answer(self.payoffs(), self.metric, len(self.truth))

    def joined(self, others: Sequence[LabelSizes]) -> LabelSizes:
        """Join this learning curve with other curves of the same test galaxies.

        Raises
        ------
        InputError
            The curves differ in split, seed or test galaxies, or two of them have the same method.
        """
        points = list(self.points)
        for other in others:
            for name, first, second in (
                ("split", self.split, other.split),
                ("seed of the draw", self.seed, other.seed),
                ("test galaxies", _tested(self), _tested(other)),
            ):
                if first != second:
                    raise InputError(
                        f"learning curves differ in their {name}",
                        rule="agree in it: points on other galaxies cannot be compared",
                        found=f"{first!s:.16} and {second!s:.16}",
                        remedy="measure both with the same labels file, split and seed",
                    )
            points += other.points
        keys = [(point.labels, point.candidate.method, point.candidate.seed) for point in points]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise InputError(
                "method is in two learning curves",
                where=f"{twice[0]} labels",
                rule="be drawn once",
                found=" ".join(str(part) for part in twice[1] if part),
            )
        return dataclasses.replace(self, points=tuple(points))

    def asdict(self) -> dict[str, Any]:
        """Return the learning curve as JSON values."""
        fields: dict[str, Any] = jsonable(
            {
                "metric": self.metric,
                "test_galaxies": len(self.truth),
                "points": self.rows(),
                "payoff": [{**dataclasses.asdict(p), "pays": p.pays} for p in self.payoffs()],
                "answer": self.answer() or None,
            }
        )
        return fields

    def rows(self) -> list[dict[str, Any]]:
        """Return method, number of labels, metrics and intervals of each point of the curves."""
        rows: list[dict[str, Any]] = []
        # sort by number of labels: `write` writes the points' predictions in this order too
        for point in sorted(self.points, key=lambda point: point.labels):
            candidate, scores = point.candidate, point.candidate.scores
            numbers = dict(scores.metrics)
            for name, (low, high) in scores.intervals.items():
                numbers |= {f"{name}_low": low, f"{name}_high": high}
            rows.append(
                {
                    "labels": point.labels,
                    "train": point.train,
                    "validation": point.validation,
                    "road": candidate.approach,
                    "backbone": candidate.backbone,
                    "head": candidate.head,
                    "seed": candidate.seed,
                    **numbers,
                    "seconds": sum(candidate.seconds.values()),
                }
            )
        return rows

    def write(self, folder: Path) -> list[Path]:
        """Write `learning_curve.json`, `.csv` and `.png`, and the test predictions of each point.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        from gzfeatures.figures.label_curve import label_curves
        from gzfeatures.figures.style import write_png

        points = []
        for size in sorted({point.labels for point in self.points}):
            here = [point for point in self.points if point.labels == size]
            place = place_of(folder, size)
            paths = write_candidates(place, [point.candidate for point in here])
            for point, path in zip(here, paths, strict=True):
                name = f"{place.name}/{path.relative_to(place).as_posix()}"
                points.append(
                    {
                        "labels": size,
                        "train": point.train,
                        "validation": point.validation,
                        **record_of(point.candidate, name),
                    }
                )
        record = {"format": FORMAT, "split": self.split, "seed": self.seed, "candidates": points}
        with written_whole(folder / RECORD) as temporary:
            text = json.dumps(record | self.asdict(), indent=1, default=dict)
            temporary.write_text(text, encoding="utf-8")
        with written_whole(folder / TABLE) as temporary:
            temporary.write_text(_csv(self.rows()), encoding="utf-8")
        title = self.metric.replace("_", " ")
        write_png(label_curves(self._curves(), title, self.answer()), folder / PLOT)
        return [folder / name for name in FILES]

    def _curves(self) -> list[LabelCurve]:
        from gzfeatures.figures.label_curve import LabelCurve

        points: dict[tuple[str, str], list[CurvePoint]] = {}
        for point in sorted(self.points, key=lambda point: point.labels):
            candidate = point.candidate
            scores = candidate.scores
            ends = scores.intervals.get(self.metric, (math.nan, math.nan))
            points.setdefault((candidate.name, candidate.approach), []).append(
                (point.labels, scores.metrics[self.metric], *ends)
            )
        return [LabelCurve(*key, curve) for key, curve in points.items()]

    def curves_by_name(self) -> dict[str, Sequence[CurvePoint]]:
        """Return each method's points (number of labels, value, low, high), keyed by its name."""
        return {curve.name: curve.points for curve in self._curves()}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return table rows (dicts) as CSV text; each key that occurs in a row is a column."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _tested(curve: LabelSizes) -> str:
    return fingerprint.of_ids(curve.truth.ids)


def place_of(folder: Path, size: int) -> Path:
    """Return the folder for the heads or networks trained on a certain number of labels."""
    return folder / f"labels-{size}"


def measure(
    labels: Labels,
    split: Split,
    sizes: Sequence[int],
    seed: int,
    fitted: Callable[[Split, int], Sequence[Candidate]],
) -> LabelSizes:
    """Fit heads or train networks on each number of labels, and score them.

    Parameters
    ----------
    labels : Labels
        Labels of all galaxies of the split.
    split : Split
        Split from which samples are drawn; its test galaxies give the scores for all samples.
    sizes : sequence of int
        Numbers of labels, of training and validation galaxies together (see `nested_parts`).
    seed : int
        Seed with which samples are drawn.
    fitted : callable
        Function that fits or trains on the split of a sample, given that split and the number of
        labels, and returns the scored networks or heads.

    Raises
    ------
    InputError
        The split has no test galaxies; or an error of `nested_parts`.
    """
    if not len(split.test):
        raise InputError(
            "learning curve", rule="have test galaxies that score every number of labels"
        )
    points = []
    for size, part in nested_parts(split, labels, sizes, seed).items():
        for candidate in fitted(part, size):
            counts = len(part.train), len(part.validation)
            points.append(SizePoint(size, *counts, candidate))
    return LabelSizes(tuple(points), labels.select(split.test), split.fingerprint, seed)


def measure_heads(
    tables: Sequence[EmbeddingTable],
    labels: Labels,
    split: Split,
    choices: Sequence[HeadChoice],
    options: FitOptions,
    sizes: Sequence[int],
    catalog: Catalog | None = None,
) -> LabelSizes:
    """Fit heads on growing numbers of labels; arguments as in `fit_heads` and `measure`."""

    def fitted(part: Split, size: int) -> list[Candidate]:
        chosen = dataclasses.replace(options, folder=place_of(options.folder, size))
        fits = fit_heads(tables, labels, part, choices, chosen, catalog=catalog)
        return [candidate for candidate, _ in fits]

    return measure(labels, split, sizes, options.seed, fitted)


def read_sizes(path: Path, labels: Labels) -> LabelSizes:
    """Read a learning curve that `LabelSizes.write` wrote, and score its predictions again.

    Parameters
    ----------
    path : Path
        File `learning_curve.json`, next to the folders of predictions.
    labels : Labels
        True labels of the test galaxies.

    Raises
    ------
    MissingFileError, InputError
        The file does not exist or cannot be read, or a test galaxy is not in `labels`.
    """
    path = require_file(path, "learning curve")
    points, ids = [], labels.ids[:0]
    with parsing("learning curve cannot be read", path):
        record = json.loads(path.read_text(encoding="utf-8"))
        require_format("learning curve", int(record["format"]), FORMAT, path)
        for row in record["candidates"]:
            size, train, held = (int(row.pop(name)) for name in ("labels", "train", "validation"))
            file = join_inside(path.parent, row.pop("predictions"))
            predictions = Predictions.read(file, number=row.pop(TARGET, None))
            scores = evaluate(predictions, labels)
            points.append(SizePoint(size, train, held, candidate_of(row, predictions, scores)))
            ids = predictions.ids
        split, seed = str(record["split"]), int(record["seed"])
    return LabelSizes(tuple(points), labels.select(ids), split, seed)
