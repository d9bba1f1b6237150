"""Extractions of a test, in the test's own store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction import extract
from gzfeatures.networks.extraction.spec import Extraction


def stored(extraction: Extraction) -> Extraction:
    """The extraction with the store of the running test, where it names none itself."""
    return dataclasses.replace(extraction, store=extraction.store or Store.default())


def compute_table(images: ImageSet, extraction: Extraction) -> EmbeddingTable:
    return extract.compute_table(images, stored(extraction))


def write_table(images: ImageSet, extraction: Extraction, path: Path) -> TableFile:
    return extract.write_table(images, stored(extraction), path)


def write_all(
    extractions: Sequence[Extraction], images: ImageSet, paths: Sequence[Path]
) -> list[TableFile]:
    return extract.write_all([stored(extraction) for extraction in extractions], images, paths)
