"""What an audit calls known was planted, and what goes with morphology alone is not called known.

Shapes and votes are those of the simulated survey; vectors are made of the shapes, bent and noisy,
and of a nuisance where it is planted.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pytest

from gzfeatures.audit.probes.nuisances import Nuisance
from gzfeatures.audit.probes.probe import Probe, detectable, known, probed
from gzfeatures.audit.probes.ridge import components, standardised
from gzfeatures.galaxies.votes.votes import Counts
from gzfeatures.heads.folds import folds_of
from gzfeatures.ids import as_ids
from gzfeatures.synthetic.population import TYPES, member
from gzfeatures.synthetic.vote_probabilities import chances, visibility
from gzfeatures.synthetic.votes import Panel, kaggle_table

GALAXIES, SEEDS = 360, 20
Numbers = npt.NDArray[np.float64]


@functools.cache
def survey() -> tuple[Numbers, Numbers]:
    """True shapes (1200, s) and the 37 vote fractions (1200, 37) of simulated galaxies."""
    shapes, votes = [], []
    for number in range(1200):
        rng = np.random.default_rng([7, number])
        galaxy = member(number, 7, rng)
        shape = galaxy.shape
        panel = Panel.draw(rng)
        counted = panel.votes(chances(shape, visibility(shape)))
        votes.append(panel.weights @ counted)
        kinds = [float(galaxy.type == name) for name in TYPES]
        shapes.append([*kinds, shape.axis_ratio, shape.bar, shape.arms, shape.strength])
    counts = Counts(as_ids(np.arange(1200)), np.array(votes), "weight")
    return np.array(shapes), kaggle_table(counts).iloc[:, 1:].to_numpy(float)


def audited(seed: int, planted: float, *, categories: bool = False) -> Probe:
    """Probe a nuisance that goes with morphology; `planted` is how strongly vectors hold it."""
    rng = np.random.default_rng(seed)
    shapes, votes = survey()
    rows = rng.choice(len(shapes), GALAXIES, replace=False)
    told = standardised(shapes)[rows]
    # elongated galaxies and spirals have more of it: a third of its variance is morphology
    with_shape = -told[:, len(TYPES)] + told[:, list(TYPES).index("spiral")]
    value = with_shape / with_shape.std() + rng.normal(0, 1.4, GALAXIES)
    bent = np.tanh(1.5 * told @ rng.normal(size=(told.shape[1], 40)) / np.sqrt(told.shape[1]))
    vectors = bent + rng.normal(0, 0.2, bent.shape) + planted * value[:, None] * rng.normal(size=40)
    names: tuple[str, ...] = ()
    if categories:
        value, names = (value > 0).astype(np.int64), ("north", "south")
    ids = as_ids(rows)
    folds = folds_of(np.zeros(GALAXIES, dtype=np.int64), None, 5, seed)
    nuisance = Nuisance("seeing", "seeing", ids, value, names)
    matrix = components(vectors.astype(np.float32), 100)
    return probed(matrix, votes[rows], nuisance, folds, seed=seed, draws=39)


@pytest.mark.parametrize("categories", [False, True], ids=["number", "category"])
def test_a_nuisance_that_goes_with_morphology_alone_is_called_known_in_one_audit_of_ten_at_most(
    categories: bool,
) -> None:
    probes = [audited(seed, 0.0, categories=categories) for seed in range(SEEDS)]
    # without morphology, vectors of shapes predict it well: there is something to be fooled by
    least = 0.58 if categories else 0.1
    assert np.mean([probe.both for probe in probes]) > least
    assert sum(known([probe])[0] for probe in probes) <= SEEDS // 10


@pytest.mark.parametrize("categories", [False, True], ids=["number", "category"])
def test_a_planted_nuisance_is_found_in_every_audit(categories: bool) -> None:
    probes = [audited(seed, 0.15, categories=categories) for seed in range(SEEDS // 2)]
    assert all(known([probe])[0] for probe in probes)
    assert min(probe.beyond for probe in probes) > 0.05


@pytest.mark.parametrize(
    ("planted", "categories"), [(0.0205, False), (0.03, True)], ids=["number", "category"]
)
def test_a_nuisance_of_the_figure_that_the_page_calls_detectable_is_found_in_eight_of_ten(
    planted: float, categories: bool
) -> None:
    """At the sizes of experiments/audit_power.py, which seeks the strength for each of them."""
    probes = [audited(seed, planted, categories=categories) for seed in range(200, 200 + SEEDS)]
    reach = detectable(probes[0].measure, GALAXIES)
    assert np.mean([probe.beyond for probe in probes]) <= reach
    assert sum(known([probe])[0] for probe in probes) >= 0.8 * SEEDS


def test_vectors_of_noise_know_nothing_and_the_level_is_shared_by_many_nuisances() -> None:
    rng = np.random.default_rng(3)
    _, votes = survey()
    ids = as_ids(np.arange(200))
    folds = folds_of(np.zeros(200, dtype=np.int64), None, 5, 0)
    noise = components(rng.normal(size=(200, 30)).astype(np.float32), 30)
    probes = [
        probed(
            noise, votes[:200], Nuisance(str(k), "x", ids, rng.normal(size=200)), folds, draws=199
        )
        for k in range(8)
    ]
    assert not any(known(probes))
    # one p value of 0.02 alone would be called known; among eight it is expected by chance
    lucky = Probe("x", "x", "R2", 100, 0.1, 0.1, 0.2, 0.05, 0.02)
    dull = Probe("y", "y", "R2", 100, 0.1, 0.1, 0.1, 0.05, 0.5)
    assert known([lucky]) == [True]
    assert not any(known([lucky, *[dull] * 7]))


def test_a_probe_that_is_no_better_than_a_guess_knows_nothing() -> None:
    # vectors that only make a bad probe less bad
    assert known([Probe("x", "x", "AUROC", 100, 0.46, 0.46, 0.49, 0.0, 0.005)]) == [False]
    assert known([Probe("x", "x", "R2", 100, -0.2, -0.2, 0.01, 0.0, 0.005)]) == [False]
    assert known([Probe("x", "x", "AUROC", 100, 0.46, 0.46, 0.56, 0.0, 0.005)]) == [True]
