"""Render the HTML page of a report; every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gzfeatures.evaluation import reliability
from gzfeatures.evaluation.rows import AccuracyBin, RankedRow
from gzfeatures.figures import style
from gzfeatures.figures.content_policy import with_policy
from gzfeatures.figures.gallery import Gallery
from gzfeatures.figures.page_template import page_template
from gzfeatures.figures.predicted_numbers import drawn_numbers
from gzfeatures.figures.sprites import address
from gzfeatures.galaxies.splits.split import PARTS
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.report import examples, figures
from gzfeatures.report.figures import Point

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup
    from matplotlib.figure import Figure

    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.report.report import Report

PANELS = 12
"""Number of best candidates that get a confusion matrix and two more figures."""
COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "calibration error",
    "rmse": "RMSE",
    "bias": "bias",
    "sigma_nmad": "σ_NMAD",
    "outlier_share": "outliers",
}
"""Metrics of the ranking table, with their titles."""
COSTS = {
    "extract_seconds": "extract (s)",
    "train_seconds": "train (s)",
    "fit_seconds": "fit (s)",
    "predict_seconds": "predict (s)",
    "end_to_end_seconds": "all (s)",
    "parameters": "numbers learned",
    "bytes": "bytes on disk",
}
"""Costs of the ranking table, with their titles."""
DAGGER = "not a fair hold-out: this backbone may have been trained on some of the test galaxies"
SCRIPT = """addEventListener("click", event => {
  const link = event.target.closest("nav a");
  if (link) { event.preventDefault(); document.querySelector(link.hash).scrollIntoView(); }
});"""
"""The only script of the page, needed because links do not work in MLflow's frame."""
SLICES = {
    "agreement": "volunteers' agreement (0 even, 1 unanimous)",
    "redshift": "redshift",
    "magnitude": "absolute r magnitude",
    "size": "Petrosian radius (arcsec)",
}
"""Quantities in whose bins accuracy is shown, with their titles."""
KINDS = ("confusion", "per-class", "reliability", "numbers")


def draw(report: Report) -> dict[str, Figure]:
    """Draw the figures of a report by name: `ranking`, `cost`, `learning`, `confusion-01`, …"""
    metric = report.comparison.metric
    points = [
        Point(
            row.rank,
            row.approach,
            row.costs["end_to_end_seconds"] or 0.0,
            row.metrics[metric],
            *_interval(row, metric),
        )
        for row, _ in report.ranked
    ]
    title = report.metrics[metric]
    drawn = {"ranking": figures.ranking(points, title)}
    if any(p.seconds > 0 for p in points):
        drawn["cost"] = figures.cost(points, title)
    if report.curves:
        approaches = {p.name: p.approach for p in report.candidates}
        drawn["learning"] = figures.learning(report.curves, approaches, title)
    for row, candidate in report.ranked[:PANELS]:
        scores = candidate.scores
        if scores.confusion is not None:
            drawn[f"confusion-{row.rank:02d}"] = figures.confusion(scores.confusion, scores.classes)
        if scores.per_class and "recall" in scores.per_class[0]:
            precision, recall = (
                np.array([c[key] for c in scores.per_class]) for key in ("precision", "recall")
            )
            drawn[f"per-class-{row.rank:02d}"] = figures.per_class(
                precision,
                recall,
                scores.classes,
            )
        if candidate.predictions.is_value:
            true = report.labels.select(candidate.predictions.ids).values[:, 0]
            drawn[f"numbers-{row.rank:02d}"] = drawn_numbers(candidate.predictions, true, scores)
        if scores.kind == "classes":
            bins = reliability.reliability(candidate.predictions, report.labels)
            before = candidate.calibration.get("before", {}).get("bins", ())
            drawn[f"reliability-{row.rank:02d}"] = figures.reliability(bins, before)
    if report.labels.target == "classes":
        best = _best(report).items()
        drawn["abstention"] = figures.abstention(
            {
                approach: reliability.coverage_accuracy(scored.predictions, report.labels)
                for approach, scored in best
            }
        )
    for name, rows_of in _accuracy_bins(report).items():
        drawn[f"slice-{name}"] = figures.accuracy_by_panels(rows_of, SLICES[name])
    return drawn


def render(
    report: Report,
    drawn: Mapping[str, Figure],
    images: ImageSet | None,
    view: View,
    showcases: Sequence[Gallery],
) -> str:
    """Render the whole page, which loads nothing from outside and runs only its own script.

    It can be read from disk, and inside another page's frame.
    """
    from markupsafe import Markup

    svg = {name: Markup(style.svg(figure, name)) for name, figure in drawn.items()}
    classed = report.labels.target == "classes"
    galleries = list(_galleries(report)) if classed else []
    ids = np.array([example.id for *_, group in galleries for example in group], dtype=object)
    contaminated = any(candidate.contaminated for candidate in report.candidates)
    page = _template(report.digits).render(
        report=report,
        script=Markup(SCRIPT),
        # values of the ranking table
        rows=_rows(report),
        axis=_axis(report),
        costs=[COSTS[key] for key in report.costs],
        dagger=DAGGER if contaminated else None,
        # figures, with figures of the same kind side by side
        svg=svg,
        panels=_panels(report, svg),
        limit=PANELS,
        panel_width={
            "confusion": 13 + 0.9 * len(report.labels.classes),
            "per-class": 19,
            "reliability": 14,
            "numbers": 22,
        },
        slices=[(SLICES[name], svg[f"slice-{name}"]) for name in SLICES if f"slice-{name}" in svg],
        baselines=_baselines(report),
        # values of the calibration table
        trust=_trust_rows(report),
        set_notes=_set_notes(report),
        ceiling=report.ranked[0][1].scores.ceiling,
        galleries=galleries,
        showcases=showcases,
        thumbnails={} if images is None else examples.thumbnails(images, ids, view),
        provenance=_provenance(report),
    )
    return with_policy(page)


def _template(digits: int) -> Template:
    """Return the page's template, which escapes every value that is not `Markup`."""
    filters: dict[str, Callable[..., Any]] = {
        "number": partial(_number, digits=digits),
        "signed": partial(_signed, digits=digits),
        "share": _share,
        "plain": _plain,
        "address": address,
    }
    return page_template("gzfeatures.report", "templates", "report.html", filters=filters)


def _panels(report: Report, svg: Mapping[str, Markup]) -> dict[str, list[tuple[int, str, Markup]]]:
    """Return rank, title and drawing of each candidate's figures, by kind of figure."""
    panels: dict[str, list[tuple[int, str, Markup]]] = {kind: [] for kind in KINDS}
    for row, candidate in report.ranked:
        for kind in KINDS:
            # vote fractions have no confusion matrix, and low ranks get no figures
            if (name := f"{kind}-{row.rank:02d}") in svg:
                panels[kind].append((row.rank, report.title(candidate), svg[name]))
    return panels


def _trust_rows(report: Report) -> list[dict[str, Any]]:
    """Return a row of the calibration table for each candidate that predicts classes."""
    candidates = [candidate for _, candidate in report.ranked]
    return [_trust(report, each) for each in candidates if each.scores.kind == "classes"]


def _rows(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the ranking table, with positions in percent of the axis's width."""
    metric = report.comparison.metric
    low, high = _axis(report)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    spread = {seeds.method: seeds for seeds in report.comparison.seeds}
    rows = []
    for row, candidate in report.ranked:
        # a class with few galaxies has no interval, and then no bar is drawn
        left, right = _interval(row, metric)
        rows.append(
            {
                "rank": row.rank,
                "title": report.title(candidate),
                "road": row.approach,
                "dagger": row.contaminated,
                "tied": row.tied,
                "behind": None if row.rank == 1 else (row.behind, *row.behind_interval),
                "spread": spread.get(row.method),
                "values": [row.metrics[key] for key in report.metrics],
                "interval": None if np.isnan(left) else (left, right),
                "place": (
                    place(left),
                    round(place(right) - place(left), 2),
                    place(row.metrics[metric]),
                ),
                "costs": [_amount(row.costs[key]) for key in report.costs],
            }
        )
    return rows


def _interval(row: RankedRow, metric: str) -> tuple[float, float]:
    """Return a candidate's interval; NaN if a class has too few galaxies for an interval."""
    low, high = row.interval(metric) or (np.nan, np.nan)
    return low, high


def _axis(report: Report) -> tuple[float, float]:
    """Return the limits of the axis for intervals, rounded outwards."""
    metric = report.comparison.metric
    bounds = np.array(
        [end for row, _ in report.ranked for end in (row.metrics[metric], *_interval(row, metric))],
    )
    bounds = bounds[np.isfinite(bounds)]
    # round to one digit less than the values have, for short axis labels
    unit = 10 ** (report.digits - 1)
    low = np.floor(bounds.min() * unit - 0.5) / unit
    high = np.ceil(bounds.max() * unit + 0.5) / unit
    return float(max(low, 0.0)), float(high)


def _baselines(report: Report) -> dict[str, float]:
    """Return the RMSE of predicting the training galaxies' median or mean; empty for classes."""
    baselines = report.ranked[0][1].scores.baselines
    return {name: metrics["rmse"] for name, metrics in baselines.items()}


def _best(report: Report) -> dict[str, Candidate]:
    """Return the best candidate of each approach."""
    best: dict[str, Candidate] = {}
    for _, candidate in report.ranked:
        best.setdefault(candidate.approach, candidate)
    return best


def _trust(report: Report, candidate: Candidate) -> dict[str, Any]:
    """Return a row of the calibration table: errors before and after, coverage of class sets."""
    uncalibrated = candidate.calibration.get("before", {})
    errors = [
        (uncalibrated.get(name), candidate.scores.metrics[name])
        for name in ("ece", "brier", "log_loss")
    ]
    row: dict[str, Any] = {
        "title": report.title(candidate),
        "errors": errors,
        "sets": candidate.calibration.get("sets"),
    }
    if row["sets"]:
        classes = [row_of_class for row_of_class in row["sets"]["per_class"] if row_of_class["n"]]
        worst = min(classes, key=lambda row_of_class: row_of_class["reached"])
        row |= {"held": _held(row["sets"]), "worst": f"{worst['class']} {_held(worst)}"}
    return row


def _held(coverage: Mapping[str, Any]) -> str:
    """Return a measured coverage with its interval as text, in percent."""
    low, high = coverage["interval"]
    return f"{coverage['reached']:.1%} ({low:.0%}–{high:.0%})"


def _set_notes(report: Report) -> list[str]:
    """Return the notes on classes with few calibration galaxies, each note once."""
    notes = (
        note for candidate in report.candidates for note in candidate.calibration.get("notes", ())
    )
    return list(dict.fromkeys(notes))


def _accuracy_bins(report: Report) -> dict[str, dict[str, list[AccuracyBin]]]:
    """Return bins of accuracy by quantity and approach, for the best candidate of each approach."""
    bins: dict[str, dict[str, list[AccuracyBin]]] = {}
    for approach, candidate in _best(report).items():
        for name, rows in {
            "agreement": candidate.scores.agreement,
            **candidate.scores.slices,
        }.items():
            if rows:
                bins.setdefault(name, {})[approach] = rows
    return bins


def _galleries(report: Report) -> Iterator[tuple[str, str, str, list[examples.Example]]]:
    """Yield anchor, title, explanation and galaxies of each gallery."""
    (_, best), *_ = report.ranked
    # galaxies on which the two best kinds of candidates disagree are the most informative
    rivals = (best, _rival(report))
    ranked = [(row, candidate) for row, candidate in report.ranked if candidate in rivals]
    compared = [(row.rank, report.title(scored), scored.predictions) for row, scored in ranked]
    names = " ".join(f"{rank} is {name}." for rank, name, _ in compared)

    def examples_of(ids: Ids) -> list[examples.Example]:
        return examples.examples(ids, report.labels, compared)

    if len(compared) == 2:
        ids = examples.disagreements(compared[0][2], compared[1][2])
        note = f"Galaxies that the two put in different classes, the most certain first. {names}"
        yield "disagreements", "Where they disagree", note, examples_of(ids)
    note = f"Galaxies that {compared[0][1]} has wrong, the most confident first. {names}"
    yield (
        "mistakes",
        "Most confident mistakes",
        note,
        examples_of(examples.mistakes(best.predictions, report.labels)),
    )
    note = f"Galaxies that {compared[0][1]} has right, the most confident of each class. {names}"
    yield (
        "examples",
        "What each class looks like",
        note,
        examples_of(examples.successes(best.predictions, report.labels)),
    )


def _rival(report: Report) -> Candidate | None:
    """Return the candidate that galleries compare with the best one.

    It is the best of the other kind (end-to-end, or with a head), or else the second.
    """
    (_, best), *others = report.ranked
    across = [
        p for _, p in others if (p.approach == "end-to-end") != (best.approach == "end-to-end")
    ]
    return next(iter(across), others[0][1] if others else None)


def _provenance(report: Report) -> list[tuple[str, str]]:
    # sizes and digests let a reader check that two reports use the same galaxies
    sizes = ", ".join(f"{len(getattr(report.split, part)):,} {part}" for part in PARTS)
    counts = report.labels.select(report.split.test).counts
    return [
        ("scheme", report.labels.scheme),
        ("galaxies", sizes),
        (
            "test galaxies of each class",
            ", ".join(f"{name} {count:,}" for name, count in counts.items()),
        ),
        ("split", report.split.fingerprint),
        ("labels", report.labels.fingerprint),
        *((key, _plain(value)) for key, value in flat(report.provenance)),
    ]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested mappings under dotted names.

    Examples
    --------
    >>> dict(flat({"git": {"commit": "1f3"}, "seed": 0}))
    {'git.commit': '1f3', 'seed': 0}
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _share(value: float) -> str:
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return str(value)
