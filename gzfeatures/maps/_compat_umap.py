"""Use functions of the umap package that its documentation does not promise to keep."""

from __future__ import annotations


def keep_compiled() -> None:
    """Let numba store the compiled functions of umap that weigh edges, for later processes.

    Compiling them takes seconds in each process, and umap asks numba to store the functions of its
    layout only.
    """
    from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    for function in (smooth_knn_dist, compute_membership_strengths):
        if function.stats.cache_path is None:
            function.enable_caching()
