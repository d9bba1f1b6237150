"""Claim: the map's layout is UMAP's: five galaxies are pushed away per pull, as its negative sample
rate says."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
import scipy.sparse

from gzfeatures.maps import layout

N = 500


def pushes(edges: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Pushes of one galaxy that has so many edges, counted by its way: a pull moves nothing, a push
    moves it by 1."""
    ends = (np.zeros(edges, dtype=np.int64), np.arange(1, edges + 1))
    graph = scipy.sparse.csr_matrix((np.ones(edges), ends), shape=(N, N))
    start = np.zeros((N, 2), dtype=np.float32)
    start[1:, 0] = -0.1  # the layout scales this to 10: all others lie at x = 0, the one at x = 10
    start[1, 1] = 1e-6
    pull, push = layout.forces(1.0, 1.0)
    none, one = np.zeros_like(pull), np.full_like(push, 0.1)  # by a distance of 10: 1
    with monkeypatch.context() as patch:
        patch.setattr(layout, "forces", lambda a, b: (none, one))
        moved = layout.laid_out(graph, start, 1.0, 1.0, epochs=1, seed=seed)
    return float(moved[0, 0]) - 10.0


def test_one_pull_comes_with_five_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its optional parts, absent here
        import umap
    standard = inspect.signature(umap.UMAP).parameters["negative_sample_rate"].default
    found = [pushes(1, seed, monkeypatch) for seed in range(20)]
    # a galaxy that draws itself is not pushed: once in 100 pulls of 500 galaxies
    assert np.median(found) == pytest.approx(standard, abs=1e-3) and max(found) <= standard + 1e-3
    assert standard == 5


def test_pushes_come_with_every_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pull's pushes start from where the first's have moved the galaxy: half a unit
    farther each."""
    found = [pushes(2, seed, monkeypatch) for seed in range(20)]
    assert np.median(found) == pytest.approx(5 + 5 * 1.5, abs=1e-3)
