"""Store the results of an audit; name nuisances (such as redshift) that embeddings reveal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gzfeatures import brief
from gzfeatures.audit.class_slices import SliceScore
from gzfeatures.audit.movement import Movement
from gzfeatures.audit.probes.probe import Probe, known
from gzfeatures.audit.training_galaxies import EncoderTraining
from gzfeatures.evaluation.metrics import jsonable

FORMAT = 1
"""Version of `audit.json`; raise it if older code would misread a new file."""
PAGE, NUMBERS = "audit.html", "audit.json"
"""Names of the files that an audit writes."""


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """Store the results of an audit: scores of nuisances and classes, effects of image changes.

    Parameters
    ----------
    table : mapping
        `rows`, `dim`, `backbone`, `extractor` (its fingerprint).
    morphology : mapping
        `description`, `galaxies`, `folds` (which galaxies share a fold), `classes`, `score` (mean
        recall of the classes by a linear model) with `interval`, and `by_name` (R² of each vote
        fraction or class).
    probes : tuple of Probe
        Scores of each nuisance.
    slices : tuple of SliceScore
        Scores of the classes in slices of each nuisance.
    movements : tuple of Movement
        Distances by which embeddings move if only the image changes.
    duplicates : mapping
        `pairs`, `galaxies`, `same_image`, `first` (a few pairs of ids); empty if not searched for.
    training : EncoderTraining
        How many of the galaxies the encoder was trained on.
    not_judged : tuple of (str, str)
        What could not be judged, and why.
    """

    table: Mapping[str, Any]
    morphology: Mapping[str, Any]
    probes: tuple[Probe, ...]
    slices: tuple[SliceScore, ...]
    movements: tuple[Movement, ...]
    duplicates: Mapping[str, Any]
    training: EncoderTraining
    not_judged: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Return the verdict of the audit in one line."""
        return brief.line("Audit", self.verdict)

    @property
    def judged(self) -> list[tuple[Probe, bool]]:
        """Return scores of each nuisance, and whether embeddings beat morphology significantly."""
        return list(zip(self.probes, known(self.probes), strict=True))

    @property
    def verdict(self) -> str:
        """Return a line naming the nuisances that embeddings predict better than morphology."""
        name = self.table["backbone"]
        if not self.probes:
            return f"{name}: no nuisance could be measured"
        found = [probe for probe, is_known in self.judged if is_known]
        others = len(self.probes) - len(found)
        if not found:
            names = ", ".join(probe.name for probe in self.probes)
            return f"{name} knows no nuisance beyond morphology, of {len(self.probes)}: {names}"
        words = ", ".join(
            f"{probe.name} (+{probe.beyond:.2f} {figure_name(probe)})"
            for probe in sorted(found, key=lambda probe: -probe.beyond)
        )
        rest = f"; not {others} others" if others > 1 else f"; not {others} other" * bool(others)
        return f"{name} knows beyond morphology: {words}{rest}"

    def rows(self) -> list[dict[str, Any]]:
        """Return a short row of scores for each nuisance, for a table 80 characters wide."""
        return [
            {
                "nuisance": f"{probe.name}, {figure_name(probe)}",
                "galaxies": probe.galaxies,
                "morphology": round(probe.morphology, 3),
                "+ vectors": round(probe.both, 3),
                "beyond": round(probe.beyond, 3),
                "p": round(probe.p, 3),
                "known": "yes" if is_known else "no",
            }
            for probe, is_known in self.judged
        ]

    def asdict(self) -> dict[str, Any]:
        """Return all results of the audit as JSON values; None for NaN."""
        record = {
            "format": FORMAT,
            "verdict": self.verdict,
            "table": dict(self.table),
            "morphology": dict(self.morphology),
            "not_excluded": UNTOLD,
            "nuisances": [probe.asdict() | {"known": is_known} for probe, is_known in self.judged],
            "slices": [row.asdict() for row in self.slices],
            "movements": [row.asdict() for row in self.movements],
            "duplicates": dict(self.duplicates),
            "training": self.training.asdict(),
            "not_judged": [{"what": what, "why": why} for what, why in self.not_judged],
        }
        cleaned: dict[str, Any] = jsonable(record)
        return cleaned


UNTOLD = (
    "Morphology that neither the labels nor their prediction from the vectors hold counts as "
    "knowledge of the nuisance: a nuisance that follows details of shape which nobody voted on is "
    "called known, too. A figure beyond shapes says, within chance, at most what is known beside "
    "shape (so in 198 of 200 simulated audits): it is a lower bound"
)
"""What no probe can exclude, as page and numbers say it."""


def figure_name(probe: Probe) -> str:
    """Return the printed name of the score of a nuisance: R² or AUROC."""
    return "R²" if probe.measure == "R2" else probe.measure
