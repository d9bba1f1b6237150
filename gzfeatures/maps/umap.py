"""Compute the map of an embedding table by UMAP; no other module imports umap.

A seeded `umap.UMAP` runs on one core and finds its neighbours approximately. Here principal
components and all distances are computed first, on all cores; umap makes the graph of neighbours;
and `layout` moves the galaxies by umap's forces, with a seed and on all cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.explore.feature_space import FeatureSpace, unit_rows
from gzfeatures.explore.neighbours import EXACT_UP_TO, Nearest, nearest
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids
from gzfeatures.maps import quality
from gzfeatures.maps._compat_umap import keep_compiled
from gzfeatures.maps.map import Map
from gzfeatures.maps.numba_cache import require_numba_cache
from gzfeatures.progress import Progress, handed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Map", "MapOptions", "project"]

LABEL_WEIGHT = 0.5
"""Weight of labels against vectors in a supervised map; umap's default.

An edge between two classes is then e⁵ times weaker."""


@dataclasses.dataclass(frozen=True)
class MapOptions:
    """Choose the options of a UMAP map, such as seed and number of neighbours.

    Parameters
    ----------
    seed : int
        The same seed, table, options, library versions and machine give the same map, to the bit.
    n_neighbors : int
        Number of neighbours of each galaxy, itself included: a larger number shows more of the
        large structure, a smaller number more detail.
    min_dist : float
        How close galaxies may be on the map, in [0, 1].
    dimensions : {2, 3}
        Number of dimensions of the map.
    components : int, optional
        Number of principal components in which distances are computed; None for whole embeddings.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    supervised : bool
        Whether the labels shape the map (semi-supervised: not all galaxies need a label). Such a
        map shows the labels: its clumps are no evidence that embeddings separate the classes.
    epochs : int, optional
        Number of steps of the layout; None for 500 up to 10,000 galaxies, and 200 for more.
    exact_up_to : int
        Number of galaxies up to which neighbours are exact; for more, `settings["recall"]` of the
        map gives the share of the true neighbours that was found.
    stability_seeds : sequence of int
        Further seeds with which the layout is repeated, to measure how stable the map is.
    """

    seed: int = 0
    n_neighbors: int = 15
    min_dist: float = 0.1
    dimensions: int = 2
    components: int | None = 50
    metric: str = "euclidean"
    supervised: bool = False
    epochs: int | None = None
    exact_up_to: int = EXACT_UP_TO
    stability_seeds: Sequence[int] = ()

    def require_legal(self, galaxies: int) -> None:
        """Refuse options that are out of range for this number of galaxies."""
        if self.dimensions not in (2, 3):
            raise InputError("dimensions of a map", rule="be 2 or 3", found=self.dimensions)
        if not 0 <= self.min_dist <= 1:
            raise InputError("min_dist", rule="lie in [0, 1]", found=self.min_dist)
        if not 2 <= self.n_neighbors <= galaxies - 1:
            raise InputError(
                "n_neighbors",
                rule=f"lie in 2…{galaxies - 1} for {galaxies} galaxies",
                found=self.n_neighbors,
                remedy="set it lower or map more galaxies",
            )
        if self.epochs is not None and self.epochs < 1:
            raise InputError("epochs of a map", rule="be at least 1", found=self.epochs)


def project(
    table: EmbeddingTable,
    labels: Labels | None = None,
    options: MapOptions | None = None,
    *,
    progress: Progress | bool = False,
    **changes: Any,
) -> Map:
    """Compute the map of an embedding table by UMAP (McInnes+2018, arXiv:1802.03426).

    Parameters
    ----------
    table : EmbeddingTable
        n galaxies, more than `n_neighbors`.
    labels : Labels, optional
        Classes of some of these galaxies: the silhouette scores how well the map separates them;
        with `supervised` they are pulled together. Labels of other galaxies are ignored.
    options : MapOptions, optional
        Options of the map.
    progress : Progress or bool
        Shows the steps; True in the terminal, False (default) nowhere.
    **changes
        Fields of `MapOptions` that replace those of `options`.

    Returns
    -------
    Map
        Its quality has `trustworthiness` and `knn_preservation` (compared with whole embeddings,
        not with their components), `silhouette` (class → mean; with labels), `stability` (with
        `stability_seeds`: mean Procrustes disparity, and share of neighbours that stay), `seconds`.

    Raises
    ------
    InputError
        The galaxies are too few, or all their embeddings are equal; an option is outside its range;
        or no galaxy of the table has a label.
    UnknownNameError
        The metric does not exist.

    Examples
    --------
    >>> chart = project(table, labels, n_neighbors=30)  # doctest: +SKIP
    >>> chart.write_html("map.html", labels=labels)  # doctest: +SKIP
    """
    options = dataclasses.replace(options or MapOptions(), **changes)
    options.require_legal(len(table))
    codes = _codes(table.ids, labels)
    if options.supervised and codes is None:
        raise InputError("a supervised map", rule="have labels", remedy="give labels")

    seconds: dict[str, float] = {}
    shown = handed(progress)
    step = partial(_step, len(table), seconds, shown)
    with step("neighbours"):
        space = FeatureSpace.fit(table.matrix, metric=options.metric, components=options.components)
        vectors = space.vectors(table.matrix)
        near = nearest(
            vectors,
            None,
            options.n_neighbors - 1,  # one less: umap counts the galaxy itself as a neighbour
            exact_up_to=options.exact_up_to,
            seed=options.seed,
            progress=shown,
        )
    lay_out = partial(_laid_out, vectors, near, options, codes if options.supervised else None)
    with step("layout"):
        coordinates = lay_out(options.seed, shown)
    with step("quality"):
        scores = _quality(table, labels, codes, coordinates, options)
        if options.stability_seeds:
            others = [lay_out(seed, shown) for seed in options.stability_seeds]
            scores["stability"] = quality.stability(coordinates, others, seed=options.seed)
    scores["seconds"] = seconds
    return Map(
        table.ids,
        coordinates,
        _settings(table, labels, options, near),
        scores,
        space,
        vectors,
    )


@contextlib.contextmanager
def _step(
    galaxies: int, seconds: dict[str, float], progress: Progress, name: str
) -> Iterator[None]:
    """Show a progress line while a step of a map is computed, and record its duration."""
    with progress.busy(f"map of {galaxies:,} galaxies: {name}"):
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started


def _quality(
    table: EmbeddingTable,
    labels: Labels | None,
    codes: npt.NDArray[np.int64] | None,
    coordinates: npt.NDArray[np.float32],
    options: MapOptions,
) -> dict[str, Any]:
    """Score how well the map preserves neighbours and, with labels, separates classes."""
    # compare the map with the whole embeddings, because the principal components that the map was
    # made from leave out a part
    embedding = unit_rows(table.matrix, options.metric)
    scores: dict[str, Any] = quality.neighbourhoods(embedding, coordinates, seed=options.seed)
    if labels is not None and codes is not None:
        labelled = codes >= 0
        scores["silhouette"] = quality.silhouettes(
            coordinates[labelled],
            codes[labelled],
            labels.classes,
            seed=options.seed,
        )
    return scores


def _settings(
    table: EmbeddingTable,
    labels: Labels | None,
    options: MapOptions,
    near: Nearest,
) -> dict[str, Any]:
    """Return options, network, layer and library versions as JSON values, to store with a map."""
    return {
        "seed": options.seed,
        "n_neighbors": options.n_neighbors,
        "min_dist": options.min_dist,
        "dimensions": options.dimensions,
        "metric": options.metric,
        "supervised": options.supervised,
        "scheme": None if labels is None else labels.scheme,
        "epochs": options.epochs,
        "recall": near.recall,
        # 99 % of galaxies have their nearest neighbour within this distance; a new galaxy farther
        # from all others has an uncertain position
        "reach": float(np.quantile(near.distances[:, 0], 0.99)),
        "extractor": table.extractor.fingerprint,
        "backbone": table.extractor.backbone,
        "layer": table.extractor.layer,
        "versions": {name: version(name) for name in ("umap-learn", "numba", "numpy")},
    }


def _codes(ids: Ids, labels: Labels | None) -> npt.NDArray[np.int64] | None:
    """Return each galaxy's class code, −1 without a label; None if labels are not classes."""
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
    options: MapOptions,
    codes: npt.NDArray[np.int64] | None,
    seed: int,
    progress: Progress,
) -> npt.NDArray[np.float32]:
    """Compute coordinates of galaxies by UMAP from their neighbours, shape (n, dimensions)."""
    require_numba_cache()
    import numba
    from threadpoolctl import threadpool_limits

    from gzfeatures.maps import layout

    own_rows = np.arange(len(vectors))[:, None]
    rows = np.hstack([own_rows, near.rows])
    distances = np.hstack([np.zeros_like(near.distances[:, :1]), near.distances])
    a, b = _curve(options.min_dist)
    epochs = options.epochs or (500 if len(vectors) <= 10_000 else 200)
    # numba changes the number of OpenMP threads of the whole process: restore it afterwards,
    # because with another number of threads a later training would round sums differently
    with threadpool_limits(numba.config.NUMBA_NUM_THREADS, "openmp"):  # type: ignore[attr-defined]
        graph = _graph(vectors, rows, distances, codes, seed)
        first = _first_layout(vectors, options.dimensions, seed)
        return layout.laid_out(graph, first, a, b, epochs=epochs, seed=seed, progress=progress)


def _graph(
    vectors: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    distances: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64] | None,
    seed: int,
) -> csr_matrix:
    """Compute UMAP's weighted edges between neighbours with the umap package, sparse (n, n).

    The layout of the umap package is switched off.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        # hide a warning of tqdm, which umap imports: in a notebook it asks for ipywidgets for a
        # progress bar, but none is drawn
        warnings.filterwarnings("ignore", "IProgress not found")
        # hide umap's warning that it will not be able to place new galaxies: `Map.place` does that
        warnings.filterwarnings("ignore", "precomputed_knn.*not an NNDescent object")
        from umap import UMAP

        keep_compiled()
        estimator = UMAP(
            n_neighbors=rows.shape[1],
            precomputed_knn=(rows, distances),
            transform_mode="graph",  # do not lay out galaxies here: layout.py does it on all cores
            target_weight=LABEL_WEIGHT,
            random_state=seed,
            n_jobs=1,
        )
        return estimator.fit(vectors, codes).graph_


def _curve(min_dist: float) -> tuple[float, float]:
    """Fit a and b of 1 / (1 + a x^2b), UMAP's closeness at distance x, to exp(min_dist − x).

    The exponential holds beyond `min_dist`; nearer, closeness is 1.

    McInnes+2018, section 3.2, definition 11. The distances x of the fit are the same as in the umap
    package, so that a and b are the same too.
    """
    from scipy.optimize import curve_fit

    x = np.linspace(0, 3, 300)
    wanted = np.where(x < min_dist, 1.0, np.exp(min_dist - x))
    (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, wanted)
    return float(a), float(b)


def _first_layout(
    vectors: npt.NDArray[np.float32], dimensions: int, seed: int
) -> npt.NDArray[np.float32]:
    """Return the positions before the first epoch: principal components, ±10, with little noise.

    The noise separates galaxies with equal embeddings.
    """
    axes = FeatureSpace.fit(vectors, components=dimensions)
    first = axes.vectors(vectors)[:, :dimensions]
    start = np.zeros((len(vectors), dimensions), dtype=np.float32)
    start[:, : first.shape[1]] = 10 * first / np.abs(first).max()
    return start + np.random.default_rng(seed).normal(scale=1e-4, size=start.shape).astype(
        np.float32
    )
