"""Collect ranked networks and heads with paired tests; write them as HTML, Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gzfeatures.brief import percent
from gzfeatures.errors import InputError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import Comparison
from gzfeatures.evaluation.metrics import jsonable
from gzfeatures.evaluation.rows import RankedRow
from gzfeatures.explore.encoder_pairs import EncoderPair
from gzfeatures.figures.gallery import Gallery
from gzfeatures.figures.style import write_png
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.galaxies.splits.split import PARTS, Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.outputs import sealed
from gzfeatures.report import drawings, html_page
from gzfeatures.report.examples import THUMBNAIL
from gzfeatures.report.figures import Curve
from gzfeatures.report.titles import (
    COSTS,
    DAGGER,
    UNTRAINED,
    metric_titles,
    signs_of,
    title_among,
    untrained_notes,
)

FORMAT = 1
"""Version of `report.json`; raise it if older code would misread a new file."""
FILES = ("report.html", "report.md", "report.json")
"""Names of the files that `Report.write` writes in addition to the figures."""

UNRECORDED = "unrecorded.json"
"""Name of a file in a run's folder, with results that are not yet recorded in MLflow."""


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """Store all networks and heads of an experiment, ranked by their scores on test galaxies.

    Parameters
    ----------
    name : str
        Name of the experiment.
    candidates : tuple of Candidate
        Networks and heads that were compared, with their scores.
    comparison : Comparison
        Ranking of the candidates, and paired tests of their differences.
    labels : Labels
        Labels of all galaxies of the split, by volunteers or others.
    split : Split
        Train, validation and test galaxies.
    provenance : mapping of str to JSON value
        Versions, hardware, git state, seeds, fingerprints.
    curves : mapping of str to sequence of (galaxies, value, low, high)
        Name of a candidate → its learning curve: the ranking's metric and its interval for each
        number of labelled training galaxies.
    encoders : tuple of EncoderPair
        For every two backbones, how similarly they arrange the test galaxies.
    draws : frozenset of str
        Names of those candidates whose curve has no intervals, but the lowest and the highest score
        of heads that were fitted to different samples of as many galaxies.

    Raises
    ------
    InputError
        The comparison has other candidates or another split, no score has an interval, or a
        learning curve belongs to no candidate.
    """

    name: str
    candidates: tuple[Candidate, ...]
    comparison: Comparison
    labels: Labels
    split: Split
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    curves: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    encoders: tuple[EncoderPair, ...] = ()
    draws: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # refuse a comparison on another split, because its scores are of other test galaxies
        if self.comparison.split != self.split.fingerprint:
            raise InputError(
                "report of another split",
                where=self.name,
                rule=f"compare candidates of split {self.split.fingerprint[:12]}",
                found=self.comparison.split[:12],
            )
        # check that the ranking has the same networks and heads as `candidates`: the caller gives
        # the two separately
        ranked = {_key(row) for row in self.comparison.ranking}
        if len(self.candidates) != len(ranked) or {_key(p) for p in self.candidates} != ranked:
            raise InputError(
                "report and comparison differ in their candidates",
                where=self.name,
                rule="hold the same candidates",
            )
        # refuse scores without confidence intervals, which the ranking's figure shows
        if not any(candidate.scores.intervals for candidate in self.candidates):
            raise InputError(
                "report of scores without intervals",
                where=self.name,
                rule="have intervals",
                remedy="evaluate with intervals",
            )
        stray = set(self.curves) - {p.name for p in self.candidates}
        if stray:
            raise InputError("learning curve of no candidate", where=self.name, found=min(stray))

    def with_draws(self, curves: Mapping[str, Curve]) -> Report:
        """Return a report with learning curves of heads on several samples, and of networks."""
        heads = {each.name for each in self.candidates if each.head is not None}
        return dataclasses.replace(self, curves=curves, draws=frozenset(heads & set(curves)))

    @cached_property
    def ranked(self) -> tuple[tuple[RankedRow, Candidate], ...]:
        """Return the rows of the ranking, best first, each with its network or head."""
        candidate_of = {_key(candidate): candidate for candidate in self.candidates}
        return tuple((row, candidate_of[_key(row)]) for row in self.comparison.ranking)

    @property
    def metrics(self) -> dict[str, str]:
        """Return metric → title; the metric that decides the ranking is first."""
        return metric_titles(self.comparison)

    @property
    def approaches(self) -> frozenset[str]:
        """Return the approaches of all networks and heads, such as "frozen" or "end-to-end"."""
        return frozenset(candidate.approach for candidate in self.candidates)

    @property
    def digits(self) -> int:
        """Return the number of decimals with which the report shows scores.

        It is 3 for classes and vote fractions. For predicted numbers such as redshifts, it gives
        the best RMSE three significant digits.
        """
        if self.labels.target not in VALUE_TARGETS:
            return 3
        error = self.ranked[0][0].metrics["rmse"]
        return 3 if error <= 0 else max(1, 2 - math.floor(math.log10(error)))

    @property
    def costs(self) -> tuple[str, ...]:
        """Return names of costs, such as training time, known for at least one network or head."""
        costs = [row.costs for row in self.comparison.ranking]
        return tuple(key for key in COSTS if any(each[key] is not None for each in costs))

    @property
    def headline(self) -> str:
        """Return one sentence that names the best network or head, and its score."""
        row, best = self.ranked[0]
        metric = self.comparison.metric
        spread = next((s for s in self.comparison.seeds if s.method == row.method), None)
        mean = ""
        if spread is not None:
            scatter = f"{spread.mean:.{self.digits}f} ± {spread.deviation:.{self.digits}f}"
            mean = f" (mean of {spread.seeds} seeds {scatter})"
        name = self.title(best) + signs_of(row)
        ends = row.interval(metric)
        bounds = (
            "" if ends is None else f" ({ends[0]:.{self.digits}f} to {ends[1]:.{self.digits}f})"
        )
        value = f"{self.metrics[metric]} {row.metrics[metric]:.{self.digits}f}"
        return f"{name} comes first: {value}{bounds}{mean}{self._chosen}"

    @property
    def _chosen(self) -> str:
        """Return a phrase with the best score after correction for being chosen among several."""
        winner = self.comparison.winner
        if winner is None or winner.among < 2 or winner.interval is None:
            return ""
        low, high = winner.interval
        bounds = f"({low:.{self.digits}f} to {high:.{self.digits}f})"
        return f"; as the best of {winner.among}, {winner.corrected:.{self.digits}f} {bounds}"

    @property
    def _predicted(self) -> str:
        """Return a phrase that says what is predicted, such as `5 classes of zhu-5class`."""
        if self.labels.target in VALUE_TARGETS:
            unit = ", errors in units of 1 + z" * (self.labels.target == "redshift")
            return f"the number {self.labels.classes[0]}{unit}"
        return f"{len(self.labels.classes)} classes of {self.labels.scheme}"

    @property
    def _single_trainings(self) -> str:
        """Return a sentence that counts the networks trained with only one seed; "" for none.

        A single training does not show how much the score would change with another seed.
        """
        trained = self.comparison.single_trainings
        if not trained:
            return ""
        return (
            f" Trained with one seed: {_counted(len(trained), 'method')};"
            " these trainings are compared, and another seed may change their order."
        )

    @property
    def summary(self) -> str:
        """Return a few sentences: sample size, which scores differ, the best end-to-end network."""
        first, best = self.ranked[0]
        tied = {row.method for row, _ in self.ranked if row.tied}
        untrained = self.comparison.untrained
        others = tied - untrained - {first.method}
        text = (
            f"{len(best.predictions):,} test galaxies, {self._predicted}, "
            f"{len(self.candidates)} candidates on one split."
        )
        # say which scores differ only if several networks or heads were compared
        if len(self.candidates) > 1:
            text += (
                f" {_counted(len(others), 'other')} cannot be told apart from the first"
                f" (all pairs tested as one family, {percent(self.comparison.level)})."
            ) + self._single_trainings
        # say how far the best end-to-end network is behind the first of the ranking, which is what
        # most people want to know
        ends = [row for row, _ in self.ranked if row.approach == "end-to-end"]
        network = next((row for row in ends if row.method not in untrained), None)
        for note in untrained_notes(self.comparison.ranking):
            text += f" {note}"
        comparable = first.method not in untrained
        if network is not None and network is not first and comparable:
            low, high = network.behind_interval
            text += (
                f" The best end-to-end network, {network.backbone}, "
                f"differs from it by {network.behind:+.{self.digits}f}"
                f" ({low:+.{self.digits}f} to {high:+.{self.digits}f})."
            )
        return text + (f" † {DAGGER}." if best.contaminated else "")

    def asdict(self) -> dict[str, Any]:
        """Return the report as JSON values, without predictions of galaxies; NaN becomes None."""
        record = {
            "format": FORMAT,
            "name": self.name,
            "scheme": self.labels.scheme,
            "classes": list(self.labels.classes),
            "galaxies": {part: len(getattr(self.split, part)) for part in PARTS},
            "headline": self.headline,
            "summary": self.summary,
            **self.comparison.asdict(),
            "pairings": [
                {
                    **row,
                    "hyperparameters": dict(candidate.parameters),
                    "scores": candidate.scores.asdict(),
                }
                for row, candidate in self.ranked
            ],
            "curves": {
                name: [list(point) for point in curve] for name, curve in self.curves.items()
            },
            "encoders": [pair.asdict() for pair in self.encoders],
            "provenance": dict(self.provenance),
        }
        cleaned: dict[str, Any] = jsonable(record)
        return cleaned

    def markdown(self) -> str:
        """Return headline, summary and ranking as Markdown; text from users is escaped."""
        titles = [
            "#",
            "candidate",
            "approach",
            *self.metrics.values(),
            *(COSTS[cost] for cost in self.costs),
        ]
        lines = [
            f"# {escape_markdown(self.headline)}",
            "",
            f"{escape_markdown(self.name)}: {escape_markdown(self.summary)}",
            "",
            f"| {' | '.join(titles)} |",
            f"|{'---|' * len(titles)}",
        ]
        for row, candidate in self.ranked:
            cells = [
                str(row.rank),
                escape_markdown(self.title(candidate)) + signs_of(row),
                candidate.approach,
            ]
            # write the interval after each score: without intervals, differences by chance would
            # look real
            for metric in self.metrics:
                ends = row.interval(metric)
                bounds = (
                    ""
                    if ends is None
                    else f" ({ends[0]:.{self.digits}f}–{ends[1]:.{self.digits}f})"
                )
                cells.append(f"{row.metrics[metric]:.{self.digits}f}{bounds}")
            costs = [row.costs[cost] for cost in self.costs]
            cells += ["" if cost is None else f"{cost:.3g}" for cost in costs]
            lines.append(f"| {' | '.join(cells)} |")
        if any(p.contaminated for p in self.candidates):
            lines += ["", f"† {DAGGER}"]
        for note in untrained_notes(self.comparison.ranking):
            lines += ["", f"{UNTRAINED} {escape_markdown(note)}"]
        level = percent(self.comparison.level)
        lines += ["", f"Split `{self.split.fingerprint[:12]}`; intervals hold {level}.", ""]
        return "\n".join(lines)

    def title(self, candidate: Candidate) -> str:
        """Return the name of a network or head, with approach and seed if it is not unique."""
        return title_among(candidate, self.candidates)

    def write(
        self,
        folder: Path,
        images: ImageSet | None = None,
        view: View = THUMBNAIL,
        showcases: Sequence[Gallery] = (),
    ) -> Path:
        """Write `report.html` (self-contained), `report.md`, `report.json` and `figures/*.png`.

        Parameters
        ----------
        folder : Path
            Folder to write into; it is made if missing.
        images : ImageSet, optional
            Images for the galleries; without images, galleries show only ids.
        view : View
            Crop and size of the pictures.
        showcases : sequence of Gallery
            Further galleries to show after those of the report, such as explanations; they are
            also written to `figures/`.

        Returns
        -------
        Path
            Path of `report.html`.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        drawn = drawings.draw(self)
        # a run may have drawn no map: a link to a missing file would be broken
        beside = "map.html" if (folder / "map.html").is_file() else None
        page = html_page.render(self, drawn, images, view, showcases, beside)
        for name, figure in drawn.items():
            write_png(figure, folder / "figures" / f"{name}.png")
        for number, gallery in enumerate(showcases, 1):
            gallery.write(folder / "figures" / f"showcase-{number:02d}.png")
        # call `sealed` on the finished page: it adds a checksum of the text, which would be wrong
        # after a further change
        for name, text in (
            ("report.json", json.dumps(self.asdict(), indent=1, ensure_ascii=False) + "\n"),
            ("report.md", self.markdown()),
            ("report.html", sealed(page)),
        ):
            with written_whole(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return folder / "report.html"


def _key(scored: Candidate | RankedRow) -> tuple[str, str, str | None, int]:
    """Return approach, backbone, head and seed: together they identify a network or head."""
    return scored.approach, scored.backbone, scored.head, scored.seed


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}".capitalize()


def escape_markdown(text: str) -> str:
    """Escape text for Markdown, so that the text adds no markup, no HTML and no table cell."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in text)
