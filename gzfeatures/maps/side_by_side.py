"""Draw the maps of two embedding tables side by side, the second aligned with the first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from gzfeatures.explore.table_similarity import drawn_alike
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import among
from gzfeatures.maps.figures import write_figure
from gzfeatures.maps.map import Map
from gzfeatures.maps.umap import project
from gzfeatures.progress import SILENT, Progress


def write_side_by_side(
    one: EmbeddingTable,
    other: EmbeddingTable,
    path: str | Path,
    labels: Labels | None = None,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> float:
    """Draw maps of the galaxies that two embedding tables have in common, side by side.

    Each map is a UMAP of its own table. The second is rotated, mirrored and shifted to match the
    first (orthogonal Procrustes) and drawn at the same size, so that differences left are those of
    the encoders or of the UMAP computations.

    Parameters
    ----------
    one, other : EmbeddingTable
        Embeddings of any two networks; galaxies are matched by id.
    path : str or Path
        `.png`, `.pdf` or `.svg`.
    labels : Labels, optional
        Classes that colour the galaxies.
    seed : int
        Seed of the maps, and of the sample that is drawn if very many galaxies are in both tables.
    progress : Progress
        Shows the steps; by default nowhere.

    Returns
    -------
    float
        Disparity of the maps after alignment, in [0, 1]: 0 for the same shape.

    Raises
    ------
    InputError
        Too few galaxies are in both tables, the path has another ending, or no galaxy has a label.
    OutputError
        The place cannot be written.
    """
    ids = drawn_alike(one.ids[among(one.ids, other.ids)], seed)
    first, second = (
        project(table.select(ids), seed=seed, progress=progress) for table in (one, other)
    )
    laid = _as_large(second.aligned(first), first)
    names = [table.extractor.backbone for table in (one, other)]
    if names[0] == names[1]:
        names[1] += " (second table)"
    maps = dict(zip(names, (first, laid), strict=True))
    write_figure(path, maps, labels=labels, width="page", seed=seed)
    return float(laid.quality["disparity"])


def _as_large(laid: Map, onto: Map) -> Map:
    """Scale an aligned map around its centre until it has the size of the map it is aligned with.

    A Procrustes fit shrinks a map to a dot if the two maps are not similar.
    """
    centre = laid.coordinates.mean(0)
    spreads = [float(np.linalg.norm(each.coordinates.std(0))) for each in (onto, laid)]
    growth = spreads[0] / spreads[1] if spreads[1] > 0 else 1.0
    coordinates = ((laid.coordinates - centre) * growth + centre).astype(np.float32)
    return dataclasses.replace(laid, coordinates=coordinates)
