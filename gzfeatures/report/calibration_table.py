"""Compute the rows of the report's calibration table, and the notes below the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.report.report import Report


def calibration_rows(report: Report) -> list[dict[str, Any]]:
    """Return the calibration table: one row for each network or head that predicts classes."""
    candidates = [candidate for _, candidate in report.ranked]
    return [_row(report, each) for each in candidates if each.scores.kind == "classes"]


def _row(report: Report, candidate: Candidate) -> dict[str, Any]:
    """Return one row: calibration errors before and after, and the coverage of class sets."""
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
    """Return a text: percent of galaxies whose class set contains the true class, with interval."""
    low, high = coverage["interval"]
    return f"{coverage['reached']:.1%} ({low:.0%}–{high:.0%})"


def notes_of(report: Report) -> list[str]:
    """Return warnings about calibration, such as too few galaxies of a class, each only once."""
    notes = (
        note for candidate in report.candidates for note in candidate.calibration.get("notes", ())
    )
    return list(dict.fromkeys(notes))
