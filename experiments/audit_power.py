"""How strongly vectors have to hold a nuisance for `audit` to find it, and how right its figure is.

    python experiments/audit_power.py [--galaxies 360 1000 2500] [--draws 40] [--workers 2]

Shapes and votes are those of the simulated survey; vectors are the shapes, bent and noisy, and a
nuisance of which a third of the variance follows shapes, planted in them. For each size of sample
and kind of nuisance, the strength is sought at which the figure beyond shapes is on average what
`detectable` promises to find; then new audits are drawn at that strength. Printed are the mean
figure, its spread, in how many audits the nuisance was found (promised: 8 of 10), and in how many
the figure was at most what vectors truly tell beside the true shapes (measured on 20,000 other
galaxies), by itself and with the figure that 95 of 100 draws of chance lie below.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from gzfeatures.audit.probes.nuisances import Nuisance, auroc
from gzfeatures.audit.probes.probe import GUESS, Probe, detectable, known, probed
from gzfeatures.audit.probes.ridge import components, explained, out_of_fold, standardised
from gzfeatures.galaxies.votes.votes import Counts
from gzfeatures.heads.folds import folds_of
from gzfeatures.ids import as_ids
from gzfeatures.synthetic.population import TYPES, member
from gzfeatures.synthetic.vote_probabilities import chances, visibility
from gzfeatures.synthetic.votes import Panel, kaggle_table

Numbers = npt.NDArray[np.float64]
SURVEY, TRUE = 4000, 20_000
"""Galaxies whose shapes and votes are drawn, and galaxies of which the truth is measured."""
SEARCH = 40
"""Audits of each step of the search."""


@cache
def survey() -> tuple[Numbers, Numbers]:
    """Return true shapes (n, s) and the 37 vote fractions (n, 37) of simulated galaxies."""
    rows, votes = [], []
    for number in range(SURVEY):
        rng = np.random.default_rng([7, number])
        galaxy = member(number, 7, rng)
        shape = galaxy.shape
        panel = Panel.draw(rng)
        votes.append(panel.weights @ panel.votes(chances(shape, visibility(shape))))
        kinds = [float(galaxy.type == name) for name in TYPES]
        rows.append([*kinds, shape.axis_ratio, shape.bar, shape.arms, shape.strength])
    counts = Counts(as_ids(np.arange(SURVEY)), np.array(votes), "weight")
    return standardised(np.array(rows)), kaggle_table(counts).iloc[:, 1:].to_numpy(float)


def drawn(
    rng: np.random.Generator, rows: npt.NDArray[np.intp], planted: float, turns: list[Numbers]
) -> tuple[Numbers, Numbers]:
    """Return nuisance (n,) and vectors (n, 40) of some galaxies."""
    told = survey()[0][rows]
    with_shape = -told[:, len(TYPES)] + told[:, list(TYPES).index("spiral")]
    value = with_shape / survey()[0][:, len(TYPES)].std() / 1.4 + rng.normal(0, 1.4, len(rows))
    bent = np.tanh(1.5 * told @ turns[0] / np.sqrt(told.shape[1]))
    return value, bent + rng.normal(0, 0.2, bent.shape) + planted * value[:, None] * turns[1]


def audited(
    seed: int, galaxies: int, planted: float, categories: bool, true: bool = False
) -> tuple[Probe, float]:
    """Return the probe of one audit, and what its vectors truly tell beside the shapes."""
    rng = np.random.default_rng(seed)
    shapes, votes = survey()
    turns = [rng.normal(size=(shapes.shape[1], 40)), rng.normal(size=40)]
    rows = rng.choice(len(shapes), galaxies, replace=False)
    value, vectors = drawn(rng, rows, planted, turns)
    names = ("north", "south") if categories else ()
    codes = (value > 0).astype(np.int64) if categories else value
    nuisance = Nuisance("seeing", "seeing", as_ids(rows), codes, names)
    folds = folds_of(np.zeros(galaxies, dtype=np.int64), None, 5, seed)
    matrix = components(vectors.astype(np.float32), 100)
    probe = probed(matrix, votes[rows], nuisance, folds, seed=seed, draws=39)
    if not true:
        return probe, float("nan")
    others = rng.choice(len(shapes), TRUE)
    value, vectors = drawn(rng, others, planted, turns)
    wanted = (value > 0).astype(float)[:, None] if categories else value[:, None]
    halves = folds_of(np.zeros(TRUE, dtype=np.int64), None, 2, seed)
    told = np.hstack([shapes[others], shapes[others] ** 2, np.tanh(shapes[others])])
    figure = auroc if categories else explained
    one, both = (
        max(float(figure(wanted, out_of_fold(each, wanted, halves))[0]), GUESS[probe.measure])
        for each in (told, np.hstack([told, standardised(vectors)]))
    )
    return probe, both - one


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, nargs="+", default=[360, 1000, 2500])
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--kinds", nargs="+", default=["number", "category"])
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    survey()
    with ProcessPoolExecutor(chosen.workers) as pool:
        for categories in (kind == "category" for kind in chosen.kinds):
            for galaxies in chosen.galaxies:
                wanted = detectable("AUROC" if categories else "R2", galaxies)
                weak, strong = 0.002, 0.06
                for _ in range(6):
                    strength = (weak * strong) ** 0.5
                    run = partial(
                        audited, galaxies=galaxies, planted=strength, categories=categories
                    )
                    probes = [probe for probe, _ in pool.map(run, range(1000, 1000 + SEARCH))]
                    above = np.mean([probe.beyond for probe in probes]) > wanted
                    weak, strong = (weak, strength) if above else (strength, strong)
                run = partial(run, planted=(weak * strong) ** 0.5, true=True)
                found = list(pool.map(run, range(chosen.draws)))
                figures = np.array([probe.beyond for probe, _ in found])
                truths = np.array([truth for _, truth in found])
                chance = np.array([probe.highest for probe, _ in found])
                print(
                    f"{'category' if categories else 'number'} of {galaxies}: promised "
                    f"{wanted:.3f}, mean {figures.mean():.3f}, spread {figures.std():.3f}, found "
                    f"{sum(known([probe])[0] for probe, _ in found)} of {len(found)}; true "
                    f"{truths.mean():.3f}, at most the truth {(figures <= truths).sum()}, with "
                    f"chance {(figures <= truths + np.maximum(chance, 0)).sum()}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
