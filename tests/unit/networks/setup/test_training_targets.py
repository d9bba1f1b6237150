from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.votes import votes
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.setup.training_targets import TrainingTargets


def ids(text: str) -> np.ndarray:
    return np.array(list(text), dtype=object)


CLASSES = Labels(ids("abcdef"), ("x", "y"), np.array([0, 1, 1, 1, 0, 1]), scheme="toy")
SPLIT = Split(ids("abcd"), ids("e"), ids("f"))


def fractions(names: str) -> Labels:
    rows = np.zeros((len(names), 37))
    rows[:, 0] = np.arange(1, len(names) + 1) / 10
    return Labels(ids(names), votes.ANSWERS, rows, "fractions", scheme="votes-37")


def test_each_galaxy_teaches_what_is_known_of_it() -> None:
    lessons = TrainingTargets.of(
        CLASSES, SPLIT, TrainingRecipe(balance="sampling"), also=fractions("bfgea")
    )
    assert lessons.ids.tolist() == [
        "a",
        "b",
        "c",
        "d",
        "g",
    ]  # g is of no side: it trains; e and f are scored
    assert lessons.matrix.shape == (5, 39)
    assert lessons.matrix[:4, :2].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert np.isnan(lessons.matrix[4, :2]).all() and np.isnan(lessons.matrix[[2, 3], 2:]).all()
    assert lessons.matrix[[1, 4, 0], 2] == pytest.approx([0.1, 0.3, 0.5])
    assert (
        lessons.shares is not None
        and lessons.shares[0] > lessons.shares[1]
        and lessons.shares[4] == 1
    )


def test_without_a_second_target_there_are_the_classes_alone() -> None:
    lessons = TrainingTargets.of(CLASSES, SPLIT, TrainingRecipe())
    assert (
        lessons.ids.tolist() == list("abcd")
        and lessons.matrix.shape == (4, 2)
        and lessons.shares is None
    )


def test_a_second_target_of_other_galaxies_only_is_refused() -> None:
    with pytest.raises(InputError, match="know at least one training galaxy"):
        TrainingTargets.of(CLASSES, SPLIT, TrainingRecipe(), also=fractions("ef"))
