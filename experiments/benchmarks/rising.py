"""When is a validation curve called still rising? Simulated curves of known course.

    python experiments/benchmarks/rising.py                 # the table
    python experiments/benchmarks/rising.py --curves 500    # a quick look

Accuracy after each epoch is a course and noise: half the standard error of a share of the
validation galaxies, for the same galaxies are asked after every epoch, correlated between
neighbouring epochs by `memory` (an average of weights makes it large). Converged: .80 throughout.
At rest: .85 is reached at an eighth of the training. Growing: from .40 to .70 in a straight line.
Slowing: two thirds of what can be learned is learned by the end.
"""

from __future__ import annotations

import argparse

import numpy as np

from gzfeatures.evaluation.statistics.training_state import is_rising

EPOCHS, GALAXIES, MEMORIES = (8, 12, 20, 40, 100), (50, 200, 1000), (0.0, 0.5, 0.8)


def courses(epochs: int) -> dict[str, np.ndarray]:
    """Accuracy of a network after each epoch without noise, by kind of course."""
    done = np.arange(1, epochs + 1) / epochs
    return {
        "converged": np.full(epochs, 0.8),
        "at rest": 0.85 - 0.5 * np.exp(-8 * done),
        "growing": np.linspace(0.4, 0.7, epochs),
        "slowing": 0.9 - 0.6 * np.exp(-1.5 * done),
    }


def called_rising(
    course: np.ndarray, galaxies: int, memory: float, curves: int, rng: np.random.Generator
) -> float:
    """Share of noisy curves of a course that are called rising."""
    noise = rng.normal(size=(curves, len(course)))
    for epoch in range(1, len(course)):
        noise[:, epoch] *= np.sqrt(1 - memory**2)
        noise[:, epoch] += memory * noise[:, epoch - 1]
    spread = 0.5 * np.sqrt(course * (1 - course) / galaxies)
    # an accuracy is a whole number of galaxies
    measured = np.round((course + noise * spread) * galaxies) / galaxies
    return float(np.mean([is_rising(tuple(curve)) for curve in measured]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--curves", type=int, default=2000)
    curves = parser.parse_args().curves
    rng = np.random.default_rng(0)
    print("| epochs | galaxies | memory | converged | at rest | growing | slowing |")
    print("|---|---|---|---|---|---|---|")
    for epochs in EPOCHS:
        for galaxies in GALAXIES:
            for memory in MEMORIES:
                shares = [
                    called_rising(course, galaxies, memory, curves, rng)
                    for course in courses(epochs).values()
                ]
                numbers = " | ".join(f"{share:.3f}" for share in shares)
                print(f"| {epochs} | {galaxies} | {memory} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
