"""Render the HTML page of a report, in which text from users and files is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gzfeatures.figures import style
from gzfeatures.figures.content_policy import with_policy
from gzfeatures.figures.gallery import Gallery
from gzfeatures.figures.page_template import page_template
from gzfeatures.figures.sprites import address
from gzfeatures.galaxies.splits.split import PARTS
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.report import examples
from gzfeatures.report.calibration_table import calibration_rows, notes_of
from gzfeatures.report.drawings import KINDS, PANELS
from gzfeatures.report.galaxy_groups import galleries_of
from gzfeatures.report.ranking_table import axis_of, baselines_of, ranking_rows
from gzfeatures.report.texts import flat, number, plain, share, signed
from gzfeatures.report.titles import COSTS, DAGGER, SLICES, untrained_notes

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup
    from matplotlib.figure import Figure

    from gzfeatures.report.report import Report

OPEN_PANELS = 6
"""Number of figures of one kind that the page shows at once; a click shows the others."""
SCRIPT = """addEventListener("click", event => {
  const link = event.target.closest("nav a");
  if (link) { event.preventDefault(); document.querySelector(link.hash).scrollIntoView(); }
});"""
"""The page's only script: it scrolls to a section where links fail, as in MLflow's frame."""


def render(
    report: Report,
    drawn: Mapping[str, Figure],
    images: ImageSet | None,
    view: View,
    showcases: Sequence[Gallery],
    map_page: str | None = None,
) -> str:
    """Render a report as an HTML page that loads nothing and runs only its own script.

    The page works from disk and in a frame of another page, as in MLflow. `map_page` is the file
    name of a map in the same folder, to which the page links.
    """
    from markupsafe import Markup

    svg = {name: Markup(style.svg(figure, name)) for name, figure in drawn.items()}
    classed = report.labels.target == "classes"
    galleries = list(galleries_of(report)) if classed else []
    ids = np.array([example.id for *_, group in galleries for example in group], dtype=object)
    contaminated = any(candidate.contaminated for candidate in report.candidates)
    page = _template(report.digits).render(
        report=report,
        script=Markup(SCRIPT),
        rows=ranking_rows(report),
        axis=axis_of(report),
        costs=[COSTS[key] for key in report.costs],
        dagger=DAGGER if contaminated else None,
        untrained=untrained_notes(report.comparison.ranking),
        # the template takes single figures from `svg` by name; `panels` groups the figures of
        # networks and heads by kind, because the page shows one kind side by side for comparison
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
        baselines=baselines_of(report),
        trust=calibration_rows(report),
        set_notes=notes_of(report),
        ceiling=report.ranked[0][1].scores.ceiling,
        galleries=galleries,
        showcases=showcases,
        thumbnails={} if images is None else examples.thumbnails(images, ids, view),
        provenance=_provenance(report),
        map_page=map_page,
        # tell the template whether the labels come from votes: only then it mentions votes
        voted=report.labels.soft is not None,
        open=OPEN_PANELS,
    )
    return with_policy(page)


def _template(digits: int) -> Template:
    """Load the Jinja template of the report's page, which escapes all values but `Markup` ones."""
    filters: dict[str, Callable[..., Any]] = {
        "number": partial(number, digits=digits),
        "signed": partial(signed, digits=digits),
        "share": share,
        "plain": plain,
        "address": address,
    }
    return page_template("gzfeatures.report", "templates", "report.html", filters=filters)


def _panels(report: Report, svg: Mapping[str, Markup]) -> dict[str, list[tuple[int, str, Markup]]]:
    """Return kind of figure → rank, title and SVG of each network or head with such a figure."""
    panels: dict[str, list[tuple[int, str, Markup]]] = {kind: [] for kind in KINDS}
    for row, candidate in report.ranked:
        for kind in KINDS:
            # skip figures that were not drawn: networks and heads after rank 12 have none, and vote
            # fractions have no confusion matrix
            if (name := f"{kind}-{row.rank:02d}") in svg:
                panels[kind].append((row.rank, report.title(candidate), svg[name]))
    return panels


def _provenance(report: Report) -> list[tuple[str, str]]:
    # show the sizes and fingerprints of split and labels, by which two reports can be checked for
    # the same galaxies
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
        *((key, plain(value)) for key, value in flat(report.provenance)),
    ]
