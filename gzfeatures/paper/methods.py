"""Write the methods paragraph of a paper from the files of a finished run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any

from gzfeatures.brief import percent
from gzfeatures.errors import unknown
from gzfeatures.evaluation.statistics.interval_methods import INTERVAL_METHODS
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.paper.finished_run import FinishedRun
from gzfeatures.paper.references import (
    HEAD_LIBRARY,
    Reference,
    architecture_of,
    escape_latex,
    libraries_of,
    of_network,
    of_software,
    of_source,
    references,
)

FORMS = ("text", "latex")
CALIBRATIONS = {
    "platt": "Platt scaling",
    "isotonic": "isotonic regression",
    "temperature": "temperature scaling",
}
"""Calibration of heads: name in gzfeatures → name in a paper."""


def methods_paragraph(run: FinishedRun, form: str = "text") -> str:
    r"""Return a paragraph on data, networks, heads and best score of a finished run.

    Parameters
    ----------
    run : FinishedRun
        The run, from `read_run`; every number in the paragraph comes from a file in its folder.
    form : {"text", "latex"}
        Plain text with names in brackets, or LaTeX with `\citep` and the keys of `citations`.

    Raises
    ------
    UnknownNameError
        `form` has another value.
    """
    if form not in FORMS:
        raise unknown("form of a methods paragraph", form, FORMS)
    from jinja2 import Environment, StrictUndefined

    text: Callable[[object], str] = (
        (lambda each: escape_latex(str(each))) if form == "latex" else str
    )
    # switch Jinja's escaping of HTML characters off, because the paragraph is not HTML; the
    # function `text` escapes characters that LaTeX would read as commands
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    environment.filters["listed"] = _listed
    source = files("gzfeatures.paper").joinpath("templates", "methods.txt").read_text("utf-8")
    cite = _latex_citation if form == "latex" else _text_citation
    filled = environment.from_string(source).render(text=text, cite=cite, **_facts(run, text, cite))
    return " ".join(filled.split()) + "\n"


def _text_citation(found: Sequence[Reference]) -> str:
    return f" ({'; '.join(each.label for each in found)})" if found else ""


def _latex_citation(found: Sequence[Reference]) -> str:
    return rf" \citep{{{','.join(each.key for each in found)}}}" if found else ""


def _listed(names: Sequence[str]) -> str:
    """Join names with commas, and with `and` before the last name."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


Text = Callable[[object], str]
Cite = Callable[[Sequence[Reference]], str]


def _facts(run: FinishedRun, text: Text, cite: Cite) -> dict[str, Any]:
    """Return the variables of the methods paragraph's template, as a dict name → value."""
    record, report = run.record, run.report
    provenance = run.provenance
    digits, metric = report.digits, report.comparison.metric
    winner = report.comparison.winner
    chosen = None
    if winner is not None and winner.among > 1:
        interval = None
        if winner.interval is not None:
            interval = f"{winner.interval[0]:.{digits}f} to {winner.interval[1]:.{digits}f}"
        chosen = {
            "among": winner.among,
            "corrected": f"{winner.corrected:.{digits}f}",
            "interval": interval,
        }
    method = INTERVAL_METHODS.get(metric, "the report")
    known = [each for each in libraries_of(run) if each in provenance["versions"]]
    return {
        "versions": provenance["versions"],
        "python": provenance["python"],
        "own": [references()["gzfeatures"]],
        "romano": references()["romano2005"],
        "tsamardinos": references()["tsamardinos2018"],
        "labels": _labels(run, text, cite),
        "left_out": list(provenance["left_out"].items()),
        "labelled": sum(record["galaxies"].values()),
        "galaxies": record["galaxies"],
        "grouped": provenance["grouped"],
        "seed": run.settings.seed,
        "split": record["split"],
        "skipped": len(provenance["skipped"]),
        **_approaches(run, text, cite),
        "candidates": len(report.candidates),
        "metric": report.metrics[metric],
        "level": text(percent(report.comparison.level)),
        "method": _method(method, text, cite),
        "headline": _headline(run, text),
        "winner": chosen,
        "contaminated": any(each.contaminated for each in report.candidates),
        "libraries": [(name, provenance["versions"][name], of_software(name)) for name in known],
    }


def _method(method: str, text: Text, cite: Cite) -> str:
    """Return the name of the method for confidence intervals; for LaTeX, citations are added."""
    if cite is _text_citation:
        return method
    plain = text(method)
    for each in of_source(method):
        plain = plain.replace(text(each.label), rf"\citet{{{each.key}}}")
    return plain


def _labels(run: FinishedRun, text: Text, cite: Cite) -> str:
    """Return a sentence on a run's labels: class scheme and classes, or the predicted number."""
    labels = run.report.labels
    if labels.target in VALUE_TARGETS:
        return f"We predict the number {text(labels.classes[0])} of each galaxy."
    source = of_source(SCHEMES[run.scheme].source) if run.scheme in SCHEMES else []
    classes = ", ".join(text(name) for name in labels.classes)
    kind = "fractions of votes for the answers" if labels.target == "fractions" else "the classes"
    return f"Labels follow the scheme {text(run.scheme)}{cite(source)} with {kind} {classes}."


def _approaches(run: FinishedRun, text: Text, cite: Cite) -> dict[str, list[str]]:
    """Return names of the backbones, heads and networks of a run, with citations."""
    candidates = run.report.candidates

    def named(names: Iterable[str]) -> list[str]:
        return [_network(run, name, text, cite) for name in dict.fromkeys(names)]

    heads = dict.fromkeys(each.head for each in candidates if each.head is not None)
    calibrations = dict.fromkeys(
        CALIBRATIONS.get(str(each.parameters.get("calibration")), "")
        for each in candidates
        if each.head is not None
    )
    return {
        "frozen": named(each.backbone for each in candidates if each.approach == "frozen"),
        "tuned": named(each.backbone for each in candidates if each.approach == "fine-tuned"),
        "networks": named(each.backbone for each in candidates if each.head is None),
        "heads": [
            text(head) + cite([of_software(HEAD_LIBRARY.get(head, "scikit-learn"))])
            for head in heads
        ],
        "calibrations": [text(name) for name in calibrations if name],
    }


def _network(run: FinishedRun, name: str, text: Text, cite: Cite) -> str:
    """Return a network's name with a citation of its architecture."""
    reference = of_network(architecture_of(run, name))
    return text(name) + cite([reference] if reference is not None else [])


def _headline(run: FinishedRun, text: Text) -> str:
    """Return a clause with the best network's or head's name, score and confidence interval."""
    row, best = run.candidate(1)
    metric, digits = run.report.comparison.metric, run.report.digits
    ends = row.interval(metric)
    bounds = "" if ends is None else f" ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"
    name = text(run.report.title(best)) + text(" †") * best.contaminated
    title = run.report.metrics[metric]
    return f"{name} comes first with {title} {row.metrics[metric]:.{digits}f}{bounds}"
