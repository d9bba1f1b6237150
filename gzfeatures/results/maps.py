"""UMAP of an embedding table. The only importer of umap.

A seeded `umap.UMAP` runs on one core and finds its neighbours approximately. Here principal components and every
distance come first, on all cores; the graph of neighbours is umap's own; and the layout that follows its forces
(`results.layout`) is seeded and on all cores as well.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.ids import Ids
from gzfeatures.galaxies.labels import Labels
from gzfeatures.results import quality
from gzfeatures.results.mapfile import Map
from gzfeatures.results.neighbours import EXACT_UP_TO, Nearest, nearest
from gzfeatures.results.space import Space, directed

__all__ = ["Map", "project"]

FAR = 5.0
"""How many times e weaker an edge between two classes becomes on a supervised map: umap's default weight of labels."""


def project(
    table: EmbeddingTable,
    labels: Labels | None = None,
    *,
    seed: int = 0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    dimensions: int = 2,
    components: int | None = 50,
    metric: str = "euclidean",
    supervised: bool = False,
    epochs: int | None = None,
    exact_up_to: int = EXACT_UP_TO,
    stability_seeds: Sequence[int] = (),
) -> Map:
    """Lay a table out by UMAP (McInnes+2018, arXiv:1802.03426).

    Parameters
    ----------
    table : EmbeddingTable
        n galaxies, more than `n_neighbors`.
    labels : Labels, optional
        Classes of some of them: scored by silhouette and, with `supervised`, pulled together. Labels of galaxies that
        are not in the table are left aside.
    seed : int
        Same table, settings, seed and library versions: same map, to the bit, on the same machine.
    n_neighbors : int
        Neighbours of each galaxy, itself included: larger shows more of the whole, smaller more of the detail.
    min_dist : float
        How close galaxies may lie, in [0, 1].
    dimensions : {2, 3}
        Of the map.
    components : int, optional
        Principal components in which distances are taken; None takes them in the whole embedding.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    supervised : bool
        Use the labels; galaxies without one are unlabelled (semi-supervised). Such a map shows the labels, and its
        clumps are no evidence that the embedding separates them.
    epochs : int, optional
        Steps of the layout; None leaves 500 up to 10,000 galaxies and 200 beyond.
    exact_up_to : int
        Galaxies up to which neighbours are exact; beyond, `settings["recall"]` says how many are found.
    stability_seeds : sequence of int
        Further seeds to lay out, for the stability of the map.

    Returns
    -------
    Map
        With quality `trustworthiness`, `knn_preservation` (against the whole embedding, not its components),
        `silhouette` (class → mean, with labels), `stability` (with seeds: mean Procrustes disparity and share of kept
        map neighbours), `seconds`.

    Raises
    ------
    InputError
        Too few galaxies, all equal, a setting outside its range, or labels that fit no galaxy of the table.
    UnknownNameError
        The metric does not exist.
    """
    if dimensions not in (2, 3):
        raise InputError("dimensions of a map", rule="be 2 or 3", found=dimensions)
    if not 0 <= min_dist <= 1:
        raise InputError("min_dist", rule="lie in [0, 1]", found=min_dist)
    if not 2 <= n_neighbors <= len(table) - 1:
        raise InputError(
            "n_neighbors",
            rule=f"lie in 2…{len(table) - 1} for {len(table)} galaxies",
            found=n_neighbors,
            remedy="set it lower or map more galaxies",
        )
    if epochs is not None and epochs < 1:
        raise InputError("epochs of a map", rule="be at least 1", found=epochs)
    codes = _codes(table.ids, labels)
    if supervised and codes is None:
        raise InputError("a supervised map", rule="have labels", remedy="give labels")
    from rich.console import Console

    lay_out = partial(
        _laid_out, min_dist=min_dist, dimensions=dimensions, epochs=epochs, codes=codes if supervised else None
    )
    with Console(stderr=True).status(f"map of {len(table):,} galaxies: neighbours") as status:
        started = time.perf_counter()
        space = Space.fit(table.matrix, metric=metric, components=components)
        vectors = space.vectors(table.matrix)
        near = nearest(vectors, None, n_neighbors - 1, exact_up_to=exact_up_to, seed=seed)
        found = time.perf_counter()
        status.update(f"map of {len(table):,} galaxies: layout")
        coordinates = lay_out(vectors, near, seed=seed)
        laid_out = time.perf_counter()
        status.update(f"map of {len(table):,} galaxies: quality")
        scores: dict[str, Any] = quality.neighbourhoods(directed(table.matrix, metric), coordinates, seed=seed)
        if labels is not None and codes is not None:
            known = codes >= 0
            scores["silhouette"] = quality.silhouettes(coordinates[known], codes[known], labels.classes, seed=seed)
        if stability_seeds:
            others = [lay_out(vectors, near, seed=other) for other in stability_seeds]
            scores["stability"] = quality.stability(coordinates, others, seed=seed)
    scores["seconds"] = {
        "neighbours": found - started,
        "layout": laid_out - found,
        "quality": time.perf_counter() - laid_out,
    }
    settings = {
        "seed": seed,
        "n_neighbors": n_neighbors,
        "min_dist": min_dist,
        "dimensions": dimensions,
        "metric": metric,
        "supervised": supervised,
        "scheme": None if labels is None else labels.scheme,
        "epochs": epochs,
        "recall": near.recall,
        "reach": float(np.quantile(near.distances[:, 0], 0.99)),
        "extractor": table.extractor.fingerprint,
        "backbone": table.extractor.backbone,
        "layer": table.extractor.layer,
        "versions": {name: version(name) for name in ("umap-learn", "numba", "numpy")},
    }
    return Map(table.ids, coordinates, settings, scores, space, vectors)


def _codes(ids: Ids, labels: Labels | None) -> npt.NDArray[np.int64] | None:
    """Class code of each id, −1 without a label; None without classes."""
    if labels is None or labels.target != "classes":
        return None
    rows = pd.Index(labels.ids).get_indexer(pd.Index(ids))
    if (rows < 0).all():
        raise InputError(
            "no galaxy of the table has a label",
            where=f"scheme {labels.scheme}",
            rule="share ids with the table",
            found=f"labels of {labels.ids[0] if len(labels) else 'nothing'}, table of {ids[0]}",
            remedy="check the id column of the labels",
        )
    return np.where(rows < 0, -1, labels.codes[rows])


def _laid_out(
    vectors: npt.NDArray[np.float32],
    near: Nearest,
    *,
    seed: int,
    min_dist: float,
    dimensions: int,
    epochs: int | None,
    codes: npt.NDArray[np.int64] | None,
) -> npt.NDArray[np.float32]:
    """UMAP of known neighbours, begun from the first principal components: shape (n, dimensions)."""
    import numba
    from threadpoolctl import threadpool_limits

    from gzfeatures.results import layout

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap.umap_ import discrete_metric_simplicial_set_intersection, find_ab_params, fuzzy_simplicial_set
    own = np.arange(len(vectors))[:, None]
    rows = np.hstack([own, near.rows])
    distances = np.hstack([np.zeros_like(near.distances[:, :1]), near.distances])
    a, b = find_ab_params(1.0, min_dist)
    epochs = epochs or (500 if len(vectors) <= 10_000 else 200)
    # numba leaves its number of threads to every library of the process: a training after a map would round otherwise
    with threadpool_limits(numba.config.NUMBA_NUM_THREADS, "openmp"):  # type: ignore[attr-defined]
        graph, _, _ = fuzzy_simplicial_set(
            vectors, rows.shape[1], np.random.RandomState(seed), "euclidean", knn_indices=rows, knn_dists=distances
        )
        if codes is not None:
            graph = discrete_metric_simplicial_set_intersection(graph, codes, far_dist=FAR)
        return layout.laid_out(graph, _start(vectors, dimensions, seed), a, b, epochs=epochs, seed=seed)


def _start(vectors: npt.NDArray[np.float32], dimensions: int, seed: int) -> npt.NDArray[np.float32]:
    """First principal components scaled to ±10, with UMAP's own touch of noise (1e-4) that parts equal galaxies."""
    axes = Space.fit(vectors, components=dimensions)
    first = axes.vectors(vectors)[:, :dimensions]
    start = np.zeros((len(vectors), dimensions), dtype=np.float32)
    start[:, : first.shape[1]] = 10 * first / np.abs(first).max()
    return start + np.random.default_rng(seed).normal(scale=1e-4, size=start.shape).astype(np.float32)
