"""Find out how many galaxies of an embedding table its encoder was trained on."""

from __future__ import annotations

import dataclasses
from typing import Any

from gzfeatures.features.backbones import BACKBONES, IMAGENET, torchvision_backbone
from gzfeatures.features.table import EmbeddingTable

UNKNOWN = "this encoder's training set is unknown and may hold your test galaxies"


@dataclasses.dataclass(frozen=True)
class EncoderTraining:
    """Store how many galaxies of an embedding table its encoder was trained on, if known.

    Parameters
    ----------
    known : bool
        Whether the number is known.
    galaxies : int, optional
        Number of galaxies; None if unknown.
    sentence : str
        Sentence for the report; it begins with † if the number is unknown.
    """

    known: bool
    galaxies: int | None
    sentence: str

    def asdict(self) -> dict[str, Any]:
        """Return what is known of the encoder's training galaxies as JSON values."""
        return dataclasses.asdict(self)


def training_galaxies(table: EmbeddingTable) -> EncoderTraining:
    """Return how many galaxies of an embedding table its encoder was trained on, if known."""
    extractor = table.extractor
    if extractor.trained_on is not None:
        count = len(table.seen_ids)
        sentence = f"the encoder was trained on {count:,} of {len(table):,} galaxies of the table"
        return EncoderTraining(True, count, sentence)
    if extractor.weights.startswith("random:"):
        return EncoderTraining(True, 0, "the encoder has random weights: it was never trained")
    entry = BACKBONES.get(extractor.backbone) or torchvision_backbone(extractor.backbone)
    # compare the sha256 of the weights with that of the published file: under the same name a user
    # may have other weights
    if (
        entry is not None
        and entry.licence == IMAGENET
        and entry.sha256
        and extractor.weights.startswith(entry.sha256)
    ):
        sentence = "the encoder was trained on ImageNet-1k, which holds no survey's galaxies"
        return EncoderTraining(True, 0, sentence)
    return EncoderTraining(False, None, f"† {UNKNOWN}")
