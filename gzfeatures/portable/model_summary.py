"""Write the model card (a text for people) that is stored in an exported ONNX file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from gzfeatures import __version__
from gzfeatures.brief import percent
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.heads.head import Head
from gzfeatures.portable.agreement import Agreement
from gzfeatures.portable.head_graph import CLASS, FAMILIARITY, SET, main_output
from gzfeatures.unlabelled.familiarity import LEVEL


@dataclasses.dataclass(frozen=True)
class SummaryFacts:
    """Store facts for an exported head's model card: input, precision, agreement with the head.

    Parameters
    ----------
    source : {"pixels", "vectors"}
        Input of the ONNX file: pixels, or embeddings.
    int8 : bool
        True if the backbone is computed in 8-bit integers.
    batch : int, optional
        Batch size; None if any size is accepted.
    galaxies : int
        Number of galaxies on which file and head were compared.
    origin : str
        Where these galaxies come from, in words.
    agreements : sequence of Agreement
        Differences from the head, for each library and batch size.
    licence : str
        Licence of the backbone's weights.
    """

    source: str
    int8: bool
    batch: int | None
    galaxies: int
    origin: str
    agreements: Sequence[Agreement]
    licence: str


def model_summary(head: Head, facts: SummaryFacts) -> str:
    """Return the model card of an exported head, in Markdown."""
    from jinja2 import Environment, StrictUndefined

    extractor = head.extractors[0]
    source = files("gzfeatures.portable").joinpath("templates", "summary.txt").read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["line"] = _line
    values: dict[str, Any] = {
        "name": _line(f"{head.name} on {extractor.backbone}"),
        "predicts": _predicts(head),
        "version": __version__,
        "head": head,
        "extractor": extractor,
        "view": extractor.view,
        "outputs": _outputs(head, facts),
        "limits": _limits(head),
        **{field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)},
        "batch": "n" if facts.batch is None else facts.batch,
        "precision": extractor.precision,
    }
    return environment.from_string(source).render(values)


def _line(text: str) -> str:
    """Return a text in one line, without the characters that would break a Markdown table."""
    return " ".join(text.replace("|", "/").replace("`", "'").split())


def _predicts(head: Head) -> str:
    names = ", ".join(_line(name) for name in head.classes)
    if head.target in VALUE_TARGETS:
        return f"Predicts the number {names} of a galaxy."
    kind = "vote fractions" if head.target == "fractions" else "classes"
    return f"Predicts the {kind} {names} ({_line(head.scheme)}) of a galaxy."


def _outputs(head: Head, facts: SummaryFacts) -> list[tuple[str, str]]:
    k = len(head.classes)
    rows = {
        "probabilities": f"float32, (n, {k}), calibrated, in the order of the classes above",
        "fractions": f"float32, (n, {k}), in the order above",
        "value": "float32, (n, 1)",
    }
    found = [(main_output(head), rows[main_output(head)])]
    if head.target == "classes":
        found.append((CLASS, "int64, (n,), code of the most probable class, from 0"))
    if head.sets is not None:
        found.append(
            (
                SET,
                f"bool, (n, {k}), classes that hold the true one for "
                f"{percent(head.sets.coverage)} of galaxies drawn like the validation galaxies; "
                "empty where familiarity_p is below "
                f"{LEVEL:g}",
            )
        )
    if head.familiarity is not None:
        text = "float32, (n,), share of familiar galaxies that are at least as unlike the training"
        found.append((FAMILIARITY, text))
    if facts.source == "pixels":
        found.insert(0, ("vectors", f"float32, (n, {head.dim}), of the backbone"))
    return found


def _limits(head: Head) -> list[str]:
    limits = [f"{len(head.trained_on):,} galaxies trained it; of these it says too much."]
    if head.sets is not None:
        limits += [_line(note) + "." for note in head.sets.notes]
    if head.familiarity is not None and head.familiarity.why_none_flagged:
        limits.append(_line(head.familiarity.why_none_flagged) + ".")
    if head.familiarity is None:
        limits.append("It does not tell galaxies from pictures that show none.")
    return limits
