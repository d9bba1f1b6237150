"""Choose galaxies to show in a report: disagreements, confident mistakes, typical examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gzfeatures.ids import Ids
from gzfeatures.report import examples

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.report.report import Report


def galleries_of(report: Report) -> Iterator[tuple[str, str, str, list[examples.Example]]]:
    """Yield each gallery of a report: HTML anchor, title, explanation and galaxies."""
    (_, best), *_ = report.ranked
    # compare two rivals, if possible the best end-to-end network and the best head: galaxies on
    # which these disagree show best what each of them has learned
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
    """Choose the network or head that the galleries compare with the best of the ranking.

    If an end-to-end network is the best of all, choose the best head; if a head is the best, choose
    the best end-to-end network. If the ranking has no such rival, choose the second of the ranking.
    """
    (_, best), *others = report.ranked
    across = [
        p for _, p in others if (p.approach == "end-to-end") != (best.approach == "end-to-end")
    ]
    return next(iter(across), others[0][1] if others else None)
