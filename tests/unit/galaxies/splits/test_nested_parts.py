"""Growing parts of a split hold the smaller ones, keep the shares of classes, part no group."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.nested_parts import nested_parts
from gzfeatures.galaxies.splits.split import Split

CLASSES = ("cigar", "edge-on", "smooth")
SIZES = (30, 100, 300)


def drawn(seed: int = 0, grouped: bool = True) -> tuple[Labels, Split]:
    rng = np.random.default_rng(seed)
    ids = np.array([f"g{number:04}" for number in range(1000)], dtype=object)
    codes = rng.choice(3, 1000, p=(0.1, 0.3, 0.6))
    labels = Labels(ids, CLASSES, codes, scheme="three")
    # every tenth galaxy has copies: groups of two and three
    groups = {}
    if grouped:
        for start in range(0, 1000, 10):
            for number in range(start, start + 2 + start // 10 % 2):
                groups[f"g{number:04}"] = f"copies {start}"
    return labels, Split.draw(labels, (0.6, 0.2, 0.2), groups=groups, seed=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_each_part_holds_the_smaller_ones_on_both_sides_and_the_test_galaxies_stay(
    seed: int,
) -> None:
    labels, split = drawn()
    parts = list(nested_parts(split, labels, SIZES, seed).values())
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller.train) < set(larger.train) <= set(split.train)
        assert set(smaller.validation) < set(larger.validation) <= set(split.validation)
    for part in parts:
        assert part.test.tolist() == split.test.tolist()


def test_no_group_is_parted_and_a_part_lacks_no_more_than_one_group() -> None:
    labels, split = drawn()
    for size, part in nested_parts(split, labels, range(20, 400)).items():
        inside = {*part.train, *part.validation}
        for name, group in split.groups.items():
            if name in inside:
                side = part.train if name in part.train else part.validation
                mates = {one for one, other in split.groups.items() if other == group}
                assert mates <= set(side)
        assert size - 4 <= len(inside) <= size  # groups of three, on both sides


def test_parts_have_the_shares_of_classes_and_of_validation() -> None:
    labels, split = drawn(grouped=False)
    for size, part in nested_parts(split, labels, (100, 300)).items():
        assert len(part.validation) == round(size * 0.25) == size - len(part.train)
        for side, whole in ((part.train, split.train), (part.validation, split.validation)):
            for name in CLASSES:
                share = np.mean(labels.select(whole).names == name)
                number = np.sum(labels.select(side).names == name)
                assert abs(number - share * len(side)) <= 2  # two of a class come first


def test_a_head_can_be_fitted_on_the_smallest_part() -> None:
    labels, split = drawn()
    part = nested_parts(split, labels, [10])[10]
    assert min(labels.select(part.train).counts.values()) >= 2


def test_the_order_of_rows_and_what_else_is_asked_for_decide_nothing() -> None:
    labels, split = drawn()
    shuffled = np.random.default_rng(3).permutation(labels.ids)
    turned = Split(split.train[::-1], split.validation[::-1], split.test, split.groups)
    first = nested_parts(split, labels, SIZES)[100]
    second = nested_parts(turned, labels.select(shuffled), [100])[100]
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != nested_parts(split, labels, [100], seed=7)[100].fingerprint


def test_more_labels_than_there_are_and_a_single_one_are_refused() -> None:
    labels, split = drawn()
    with pytest.raises(InputError, match=r"must be 2…\d+, the training and validation.* found 900"):
        nested_parts(split, labels, [100, 900])
    with pytest.raises(InputError, match="found 1"):
        nested_parts(split, labels, [1])
