"""Claim: tuning keeps a group on one side of every fold, so that a twin does not choose the
parameters for its twin."""

from __future__ import annotations

import numpy as np

from gzfeatures.heads.estimators.registry import recipe
from gzfeatures.heads.tune import search


def test_twins_with_random_labels_cannot_be_guessed_by_any_candidate() -> None:
    """Labels say nothing of the vectors, but each galaxy is there twice: nearest neighbours would
    find the other."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(150, 12)), 2, axis=0).astype(np.float32)
    codes = np.repeat(np.arange(150) % 3, 2)
    pairs = np.repeat(np.arange(150), 2)
    _, trials = search(recipe("knn"), X, codes, pairs, np.arange(300), "classes", {}, seed=0)
    assert (
        len(trials) > 1 and max(trial["score"] for trial in trials) < 0.5
    )  # chance .33; with twins apart .7 and more
    _, parted = search(recipe("knn"), X, codes, None, np.arange(300), "classes", {}, seed=0)
    assert max(trial["score"] for trial in parted) > 0.6  # the leak is there to be had
