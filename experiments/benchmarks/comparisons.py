"""Do comparisons keep their word? Simulated methods: false alarms, power by seeds, the winner's
interval.

    python experiments/benchmarks/comparisons.py                     # the three tables
    python experiments/benchmarks/comparisons.py --trials 60         # a quick look

Galaxies are easy or hard for all methods alike, and a little for each method by itself; a method is
right where ability + seed + both + noise is above 0. Seeds differ by `spread` in that sum: .04 is a
standard deviation of .006 in accuracy, .08 of .013, .2 of .03. Power is the share of the pairs of a
better method with four equal ones (accuracy .88 against .83, 600 galaxies) that are told apart at
90 %; false alarms are comparisons in which any pair of equal methods is. The winner of 20 equal
methods is judged on 400 galaxies by its corrected interval, as `compare` gives it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from gzfeatures.evaluation.family import step_down
from gzfeatures.evaluation.statistics.proportions import clopper_pearson
from gzfeatures.evaluation.winner import luck_of_the_best

SPREADS, SEEDS, METHODS = (0.0, 0.04, 0.08, 0.12, 0.2), (1, 2, 3, 5), (2, 5, 10, 20)
ABILITY, GAP, RESAMPLES, LEVEL = 1.5, 0.33, 250, 0.9
WINNERS: tuple[tuple[float, float], ...] = (
    (0.0, 0.5), (1.0, 0.5), (0.0, 1.2), (1.0, 1.2), (4.0, 1.2), (1.0, 2.5),
)  # fmt: skip
"""Variance of the hardness that galaxies share, and ability: accuracies .69 to .99."""


def answers(
    rng: np.random.Generator, n: int, abilities: np.ndarray, seeds: int, spread: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Accuracies, and right (1) or wrong (0) for each method, seed and galaxy.

    Galaxies are easy or hard for all methods.
    """
    methods = len(abilities)
    hardness = rng.normal(size=n)
    own = 0.7 * rng.normal(size=(methods, 1, n))
    skill = abilities[:, None, None] + spread * rng.normal(size=(methods, seeds, 1))
    return of_skill(rng, skill, hardness + own)


def of_skill(
    rng: np.random.Generator, skill: np.ndarray, hardness: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Answers of fits whose skill, shape (methods, seeds, 1), is known."""
    noise = rng.normal(size=(len(skill), skill.shape[1], hardness.shape[-1]))
    right = (skill + hardness + noise > 0).astype(float)
    return [each.mean(1) for each in right], list(right)


def power(seeds: int, spread: float, trials: int, n: int = 600) -> tuple[float, float, float]:
    """Power, false alarms among the four equal methods, and power where those are one in ten."""
    rng = np.random.default_rng([seeds, round(1000 * spread)])
    abilities = np.array([ABILITY + GAP, *[ABILITY] * 4])
    p = np.stack(
        [
            step_down(*answers(rng, n, abilities, seeds, spread), RESAMPLES, trial)[0]
            for trial in range(trials)
        ]
    )
    different, equal = p[:, :4], p[:, 4:].min(1)
    # at this bound equal methods are told apart in one of ten comparisons, whatever the seeds do
    bound = min(float(np.quantile(equal, 1 - LEVEL)), 1 - LEVEL)
    return (
        float((different < 1 - LEVEL).mean()),
        float((equal < 1 - LEVEL).mean()),
        float((different < bound).mean()),
    )


def single_fits(spread: float, trials: int, n: int = 600) -> tuple[float, float]:
    """Power among single fits, and comparisons in which a pair is told apart the wrong way round.

    The truth is the skill of the fit, its seed's part in it: nothing is claimed of other seeds.
    """
    rng = np.random.default_rng([1, round(1000 * spread)])
    first, second = np.array(list(combinations(range(5), 2))).T
    told, wrong = 0.0, 0
    for trial in range(trials):
        skill = np.array([ABILITY + GAP, *[ABILITY] * 4]) + spread * rng.normal(size=5)
        hardness = rng.normal(size=n) + 0.7 * rng.normal(size=(5, 1, n))
        values, right = of_skill(rng, skill[:, None, None], hardness)
        apart = step_down(values, right, RESAMPLES, trial)[0] < 1 - LEVEL
        seen = np.array([value[0] for value in values])
        other_way = np.sign(seen[first] - seen[second]) != np.sign(skill[first] - skill[second])
        told += float(apart[:4].mean())
        wrong += bool((apart & other_way).any())
    return told / trials, wrong / trials


def alarms(methods: int, seeds: int, spread: float, trials: int, n: int = 300) -> float:
    """Share of comparisons of equal methods in which any pair is told apart."""
    rng = np.random.default_rng([methods, seeds, round(1000 * spread)])
    found = 0
    for trial in range(trials):
        p = step_down(*answers(rng, n, np.full(methods, ABILITY), seeds, spread), RESAMPLES, trial)
        found += bool((p[0] < 1 - LEVEL).any())
    return found / trials


def accuracy(sums: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / n)


def winner(shared: float, ability: float, trials: int, n: int = 400) -> tuple[float, float, float]:
    """Accuracy of 20 equal methods; how often the winner's interval holds it, corrected and
    plain."""
    rng = np.random.default_rng([round(10 * shared), round(10 * ability)])
    noise = rng.normal(size=10**6) * np.sqrt(1 + shared)
    truth = float((noise > -ability).mean())
    held = plain = 0
    for trial in range(trials):
        hardness = np.sqrt(shared) * rng.normal(size=n)
        right = (hardness + rng.normal(size=(20, n)) > -ability).astype(float)
        best = right.mean(1).max()
        luck = luck_of_the_best([[each[:, None]] for each in right], accuracy, True, 200, trial)
        low, high = (float(end) for end in clopper_pearson(np.rint(best * n), n))
        held += low - luck <= truth <= high - luck
        plain += low <= truth <= high
    return truth, held / trials, plain / trials


def row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print the tables for a README."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials

    print("power (false alarms; power where these are one in ten), by seeds a method\n")
    print(row(["spread", *SEEDS]))
    print(row(["---"] * (1 + len(SEEDS))))
    for spread in SPREADS:
        cells = [power(seeds, spread, trials) for seeds in SEEDS]
        print(row([spread, *(f"{a:.2f} ({b:.2f}; {c:.2f})" for a, b, c in cells)]), flush=True)

    print("\none seed: power (a pair of these fits told apart the wrong way round)\n")
    for spread in SPREADS[1:]:
        print(row([spread, "{:.2f} ({:.2f})".format(*single_fits(spread, trials))]), flush=True)

    print("\nfalse alarms of equal methods, by number of methods\n")
    print(row(["seeds, spread", *METHODS]))
    print(row(["---"] * (1 + len(METHODS))))
    for seeds, spread in ((1, 0.0), (2, 0.08), (3, 0.04), (3, 0.12), (5, 0.12)):
        shares = [alarms(methods, seeds, spread, trials) for methods in METHODS]
        print(row([f"{seeds}, {spread}", *(f"{share:.2f}" for share in shares)]), flush=True)

    print("\nthe best of 20 equal methods, 400 galaxies\n")
    print(row(["accuracy", "shared hardness", "held, corrected", "held, as it is"]))
    print(row(["---"] * 4))
    for shared, ability in WINNERS:
        truth, held, plain = winner(shared, ability, trials)
        print(row([f"{truth:.2f}", shared, f"{held:.3f}", f"{plain:.3f}"]), flush=True)


if __name__ == "__main__":
    main()
