"""Find clusters (regions) of a map at several scales, and name each by what is common in it.

Regions are clusters of HDBSCAN (Campello+2013, doi:10.1007/978-3-642-37456-2_14; scikit-learn's) on
the graph of nearest neighbours in the embeddings, with edges as long as they are on the map. So the
galaxies of a region have similar embeddings and lie together on the map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.neighbours import nearest
from gzfeatures.galaxies.votes.answer_words import WORDS
from gzfeatures.ids import Ids, among, positions
from gzfeatures.maps.columns import NONE, MapColumn

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
LINKS = 15
"""Neighbours of each galaxy in the graph."""
CORE = 5
"""Galaxies that make a place crowded (min_samples)."""
SHARES = (0.05, 0.02, 0.008)
"""Smallest region of each level, from far to near, as a share of the galaxies."""
FEWEST = 12
"""Galaxies below which a region has no name: they say too little."""
APART = 0.5
"""Smallest difference that names a region, in standard deviations of all galaxies."""
MOST_WORDS = 2
HYPHENS = {"edge on": "edge-on", "face on": "face-on", "early type": "early-type"}
SILENT = frozenset({"odd-no", "spiral-no", "bar-no", "features-or-disk", "arms-cant-tell"})
"""Answers that say what a galaxy is not, or what a finer answer says better."""
QUESTIONS = (
    ("smooth", "star-or-artifact"),
    ("edge-on-yes", "edge-on-no"),
    ("bar-yes",),
    ("arms-1", "arms-2", "arms-3", "arms-4", "arms-more-than-4", "spiral-yes"),
    ("winding-tight", "winding-medium", "winding-loose"),
    ("bulge-none", "bulge-just-noticeable", "bulge-obvious", "bulge-dominant"),
    ("bulge-shape-rounded", "bulge-shape-boxy", "bulge-shape-none"),
    ("completely-round", "in-between", "cigar-shaped"),
    ("odd-yes", "ring", "lens-or-arc", "disturbed", "irregular", "other", "merger", "dust-lane"),
)
"""Answers that say the same kind of thing: at most one of each goes into a name."""


def regions(
    ids: Ids,
    vectors: npt.NDArray[np.float32],
    coordinates: npt.NDArray[np.float32],
    columns: Sequence[MapColumn] = (),
    answers: Predictions | None = None,
    seed: int = 0,
) -> list[MapColumn]:
    """Return one column per scale, coarsest first, with the named region of each galaxy.

    Parameters
    ----------
    ids : Ids
        Galaxies, shape (n,).
    vectors : ndarray of float32
        Embeddings in which neighbours are searched, shape (n, d).
    coordinates : ndarray of float32
        Positions on the map, shape (n, 2 or 3), finite.
    columns : sequence of MapColumn
        Labels and numbers of the galaxies, which name regions if no answers are given.
    answers : Predictions, optional
        Predicted fractions of the decision tree's answers, which name regions; galaxies without
        these are ignored.
    seed : int
        Seed of the search for neighbours in large tables.

    Returns
    -------
    list of MapColumn
        At most one column for each scale (`SHARES`). A scale without regions, or with the same
        regions as another, is left out; if no scale has regions, all galaxies are one region.
        Galaxies in no region have `NONE`.
    """
    if len(ids) < FEWEST:
        return []
    namer = _Namer.of(ids, columns, answers)
    levels: list[MapColumn] = []
    for codes in _levels(vectors, coordinates, seed):
        # a region that no word distinguishes gets an empty name: it stays in the column, but the
        # page does not label it
        names = tuple(namer.name(codes == code) for code in range(codes.max() + 1))
        values = np.where(codes < 0, NONE, codes).astype(np.uint16)
        levels.append(MapColumn(f"regions {len(levels) + 1}", values, names))
    return levels


def _levels(
    vectors: npt.NDArray[np.float32], coordinates: npt.NDArray[np.float32], seed: int
) -> list[Codes]:
    """Cluster galaxies once per least region size; return region numbers (n,), −1 for none."""
    n = len(vectors)
    whole = [np.zeros(n, dtype=np.int64)]
    # if all embeddings or all positions are equal, nothing can be clustered: the map is one region
    if np.ptp(coordinates, axis=0).max() == 0 or np.ptp(vectors, axis=0).max() == 0:
        return whole
    from sklearn.cluster import HDBSCAN

    graph = _graph(vectors, coordinates, seed)
    found: list[Codes] = []
    for share in SHARES:
        smallest = max(FEWEST, round(share * n))
        clusters = HDBSCAN(
            min_cluster_size=smallest,
            min_samples=CORE,
            metric="precomputed",
            # the default ("eom", excess of mass) would return a map without gaps as a single region
            cluster_selection_method="leaf",
            copy=True,
        )
        codes = np.asarray(clusters.fit_predict(graph), dtype=np.int64)
        if codes.max() >= 0 and not any(np.array_equal(codes, other) for other in found):
            found.append(codes)
    return found or whole


def _graph(
    vectors: npt.NDArray[np.float32], coordinates: npt.NDArray[np.float32], seed: int
) -> object:
    """Connect nearest neighbours in the embeddings; return their map distances, sparse (n, n)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n, k = len(vectors), min(LINKS, len(vectors) - 1)
    near = nearest(vectors, None, k, seed=seed)
    one, other = np.repeat(np.arange(n), k), near.rows.ravel().astype(np.int64)
    links = coo_matrix((np.ones(len(one)), (one, other)), shape=(n, n))
    _, part = connected_components(links, directed=False)
    # HDBSCAN needs a connected graph: add edges between the first galaxies of separate parts
    firsts = np.unique(part, return_index=True)[1]
    one, other = np.concatenate([one, firsts[:-1]]), np.concatenate([other, firsts[1:]])
    length = np.linalg.norm(coordinates[one] - coordinates[other], axis=1).astype(np.float64)
    # replace lengths of 0 by a tiny number, because 0 in a sparse matrix means no edge
    length = np.maximum(length, 1e-9 * float(np.ptp(coordinates)))
    rows, columns = np.concatenate([one, other]), np.concatenate([other, one])
    matrix = coo_matrix((np.tile(length, 2), (rows, columns)), shape=(n, n)).tocsr()
    # if two galaxies are each other's neighbours, the sparse matrix has added their edge twice:
    # divide by the number of additions
    twice = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr()
    matrix.data /= twice.data
    return matrix


@dataclasses.dataclass(frozen=True, eq=False)
class _Namer:
    """Store m properties of n galaxies, and the word for each property in the names of regions.

    `kinds` says what each property is: vote fraction (answer), class membership (label) or number.
    """

    values: Array
    words: tuple[str, ...]
    kinds: tuple[str, ...]
    groups: tuple[int, ...]

    @classmethod
    def of(cls, ids: Ids, columns: Sequence[MapColumn], answers: Predictions | None) -> _Namer:
        """Choose the properties that name regions: vote fractions, otherwise labels or numbers."""
        if answers is not None:
            group = {name: g for g, names in enumerate(QUESTIONS) for name in names}
            kept = [i for i, name in enumerate(answers.classes) if name in group]
            values = np.full((len(ids), len(kept)), np.nan)
            known = among(ids, answers.ids)
            rows = positions(answers.ids, ids[known], where="answers")
            values[known] = answers.probabilities[rows][:, kept]
            names = [answers.classes[i] for i in kept]
            words = tuple(_spoken(name) for name in names)
            groups = tuple(group[name] for name in names)
            return cls(values, words, ("answer",) * len(words), groups)
        classes = [each for each in columns if each.classes is not None]
        if classes:
            column = classes[0]
            names = list(column.classes or ())
            known = column.values != NONE
            values = np.where(
                known[:, None], column.values[:, None] == np.arange(len(names)), np.nan
            ).astype(np.float64)
            return cls(values, tuple(names), ("label",) * len(names), (0,) * len(names))
        numbers = [each for each in columns if each.classes is None]
        values = (
            np.stack([each.values.astype(np.float64) for each in numbers], axis=1)
            if (numbers)
            else np.zeros((len(ids), 0))
        )
        words = tuple(each.name for each in numbers)
        return cls(values, words, ("number",) * len(words), tuple(range(len(words))))

    def name(self, members: npt.NDArray[np.bool_]) -> str:
        """Return up to two words for what is more common in a region than outside; or ""."""
        if not self.values.shape[1]:
            return ""
        with np.errstate(invalid="ignore"):
            means, others = (_means(self.values[part]) for part in (members, ~members))
            spread = np.where(_counts(self.values) > 1, _spreads(self.values), np.nan)
            apart = (means - others) / np.where(spread > 0, spread, np.nan)
        everything = members.all()
        chosen: list[str] = []
        taken: set[int] = set()
        # name a region by what differs most from the galaxies outside (a number may be higher or
        # lower); for a region that is the whole map, use its most frequent properties
        strength = means if everything else np.abs(apart) if self.kinds[0] == "number" else apart
        for i in np.argsort(-np.nan_to_num(strength, nan=-np.inf), kind="stable"):
            if len(chosen) == MOST_WORDS or not np.isfinite(strength[i]):
                break
            if self.groups[i] in taken or not self._says(i, means, apart, everything):
                continue
            taken.add(self.groups[i])
            if self.kinds[i] == "number":
                chosen.append(f"{'high' if apart[i] > 0 else 'low'} {self.words[i]}")
            else:
                chosen.append(self.words[i])
        return ", ".join(chosen)

    def _says(self, i: int, means: Array, apart: Array, everything: np.bool_) -> bool:
        """Return whether a property is common in a region, and more common than outside."""
        if self.kinds[i] == "number":
            return not everything and abs(apart[i]) >= APART
        common = means[i] >= (0.5 if everything else 0.3 if self.kinds[i] == "label" else 0.25)
        return bool(common and (everything or apart[i] >= APART))


def _spoken(answer: str) -> str:
    words = WORDS[answer][0]
    return HYPHENS.get(words, words)


def _counts(values: Array) -> Array:
    return np.asarray((~np.isnan(values)).sum(0), dtype=np.float64)


def _means(values: Array) -> Array:
    """Return the mean of each column's values except NaN, shape (m,); NaN if all are NaN."""
    return np.asarray(np.nansum(values, 0) / _counts(values))


def _spreads(values: Array) -> Array:
    """Return each column's standard deviation, computed from its values except NaN, shape (m,)."""
    known = ~np.isnan(values)
    off = np.where(known, values - _means(values), 0)
    return np.asarray(np.sqrt((off**2).sum(0) / known.sum(0)))
