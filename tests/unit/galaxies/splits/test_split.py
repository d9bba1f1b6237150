from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError, LeakError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import PARTS, Split, shares

steady = settings(derandomize=True, deadline=None, max_examples=80)


def ids(*names: str) -> np.ndarray:
    return np.array(names, dtype=object)


def labels_of(codes: list[int], k: int = 4) -> Labels:
    names = np.array([f"g{row:04d}" for row in range(len(codes))], dtype=object)
    return Labels(
        names, tuple(f"class-{code}" for code in range(k)), np.array(codes, dtype=np.int64)
    )


@steady
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.one_of(st.none(), st.integers(0, 8)), min_size=60, max_size=60),
    st.integers(0, 5),
)
def test_every_galaxy_has_one_side_and_every_group_too(
    codes: list[int], drawn: list[int | None], seed: int
) -> None:
    labels = labels_of(codes)
    groups = {
        name: f"group {group}"
        for name, group in zip(labels.ids, drawn, strict=False)
        if group is not None
    }
    try:
        split = Split.draw(labels, groups=groups, seed=seed)
    except InputError as error:
        assert "no training galaxies" in str(error)
        return
    assert sorted(split.ids) == sorted(labels.ids)
    sides = {name: part for part in PARTS for name in getattr(split, part)}
    for group in set(groups.values()):
        assert len({sides[name] for name in groups if groups[name] == group}) == 1
    again = Split.draw(
        labels.select(labels.ids[::-1]), groups=dict(reversed(groups.items())), seed=seed
    )
    assert again.fingerprint == split.fingerprint


@steady
@given(st.lists(st.integers(10, 90), min_size=2, max_size=5), st.integers(0, 50))
def test_shares_hold_in_every_class(sizes: list[int], seed: int) -> None:
    labels = labels_of([code for code, size in enumerate(sizes) for _ in range(size)], k=len(sizes))
    split = Split.draw(labels, (0.7, 0.1, 0.2), seed=seed)
    for part, share in zip(PARTS, (0.7, 0.1, 0.2), strict=True):
        counts = labels.select(getattr(split, part)).counts
        for name, size in zip(labels.classes, sizes, strict=True):
            assert abs(counts[name] - share * size) < 1


def test_groups_are_kept_together_and_the_shares_still_hold() -> None:
    labels = labels_of([row % 2 for row in range(1000)], k=2)
    groups = {name: str(row // 5) for row, name in enumerate(labels.ids[:500])}
    split = Split.draw(labels, (0.6, 0.2, 0.2), groups=groups, seed=1)
    assert [len(split.train), len(split.validation), len(split.test)] == pytest.approx(
        [600, 200, 200], abs=5
    )
    for part in PARTS:
        assert (
            abs(
                labels.select(getattr(split, part)).counts["class-0"] / len(getattr(split, part))
                - 0.5
            )
            < 0.03
        )


def test_a_part_without_share_stays_empty_and_a_single_galaxy_trains() -> None:
    labels = labels_of([0] * 9 + [1])
    split = Split.draw(labels, (0.8, 0.0, 0.2))
    assert not len(split.validation) and labels.ids[9] in split.train


def test_seeds_differ() -> None:
    labels = labels_of([0] * 50)
    assert Split.draw(labels, seed=0).fingerprint != Split.draw(labels, seed=1).fingerprint


def test_fractions_and_several_labels_are_split_without_strata() -> None:
    labels = labels_of([0] * 40)
    soft = Labels(labels.ids, ("a", "b"), np.full((40, 2), 0.5), "fractions")
    assert [len(getattr(Split.draw(soft), part)) for part in PARTS] == [28, 4, 8]


def test_a_leak_is_refused_wherever_it_comes_from() -> None:
    with pytest.raises(
        LeakError, match=r"train and test: galaxy or its group .* found b; draw the split by group"
    ):
        Split(ids("a", "b"), ids("c"), ids("b"))
    with pytest.raises(LeakError, match=r"train and validation: .* found c"):
        Split(ids("a"), ids("c"), ids("d"), {"a": "same", "c": "same"})
    Split(ids("a"), ids("b"), ids(), {"a": "b"})  # a group may be called as another galaxy
    with pytest.raises(InputError, match="split train: 1 duplicate ids"):
        Split(ids("a", "a"), ids(), ids())
    with pytest.raises(InputError, match="split has no training galaxies"):
        Split(ids(), ids("a"), ids("b"))


def test_sizes_are_read_from_text_as_shares() -> None:
    assert shares("70/10/20") == shares("0.7/0.1/0.2") == pytest.approx((0.7, 0.1, 0.2))
    assert shares("2000/1000/1000") == (0.5, 0.25, 0.25)
    for text in ("70/30", "a/b/c", "-1/1/1", "0/1/1", "1/1/nan", "1/1/inf"):
        with pytest.raises(InputError, match=r"split sizes; must look like 70/10/20"):
            shares(text)
    with pytest.raises(
        InputError,
        match=r"split sizes; must be three shares that sum to 1, found \[0.5, 0.4, 0.2\]",
    ):
        Split.draw(labels_of([0, 1]), (0.5, 0.4, 0.2))


def test_a_split_among_fewer_galaxies_keeps_every_side() -> None:
    split = Split.draw(labels_of([0] * 40), seed=2)
    fewer = split.among(np.concatenate([split.train[::2], split.test[:3], ids("stranger")]))
    assert (
        fewer.train.tolist() == split.train[::2].tolist()
        and fewer.test.tolist() == split.test[:3].tolist()
    )
    assert not len(fewer.validation)


def test_a_split_by_digest_is_a_matter_of_the_id_alone() -> None:
    ids = np.array([str(number) for number in range(2000)], dtype=object)
    split = Split.by_digest(ids, test=[3], validation=[7])
    expected = [
        name for name in ids if int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == 3
    ]
    assert split.test.tolist() == expected and 150 < len(expected) < 250
    fewer = Split.by_digest(ids[::-1][:500], test=[3], validation=[7])
    assert set(fewer.test) <= set(split.test) and set(fewer.validation) <= set(split.validation)


def test_a_group_that_touches_the_test_side_is_tested_whole() -> None:
    ids = np.array([str(number) for number in range(200)], dtype=object)
    plain = Split.by_digest(ids, test=[3], validation=[7])
    groups = dict.fromkeys((plain.train[0], plain.validation[0], plain.test[0]), "twins")
    split = Split.by_digest(ids, test=[3], validation=[7], groups=groups)
    assert set(split.test) == {*plain.test, plain.train[0], plain.validation[0]}


def test_galaxies_that_only_train_do_so_with_their_groups() -> None:
    labels = labels_of([0, 1] * 100, k=2)
    groups = {"g0000": "pair", "g0199": "pair"}
    tied = labels.ids[:90]
    split = Split.draw(labels, (0.5, 0.2, 0.3), groups=groups, only_train=tied, seed=3)
    assert {*tied, "g0199"} <= set(split.train)
    assert (len(split.train), len(split.validation), len(split.test)) == (100, 40, 60)
    many = Split.draw(labels, (0.5, 0.2, 0.3), only_train=labels.ids[:150], seed=3)
    assert len(many.train) == 150 and len(many.test) == 30


@pytest.mark.parametrize("missing", [None, float("nan"), "", " "])
def test_a_missing_group_is_no_common_group(missing: Any) -> None:
    """A column of groups with gaps comes in as a mapping: its gaps do not tie galaxies together."""
    ids = np.array([f"{i:02}" for i in range(40)], dtype=object)
    labels = Labels(ids, ("a", "b"), np.arange(40) % 2)
    groups = dict.fromkeys(ids, missing) | {"00": "x", "02": "x"}
    drawn = Split.draw(labels, groups=groups, seed=1)
    alone = Split.draw(labels, groups={"00": "x", "02": "x"}, seed=1)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(drawn, part), getattr(alone, part))
    assert drawn.groups == {"00": "x", "02": "x"}
    assert Split(ids[:20], ids[20:30], ids[30:], groups).groups == {"00": "x", "02": "x"}
    extended = Split.draw(labels, groups=groups, kept=alone.among(ids[:30]), seed=1)
    assert len(set(extended.groups.values())) == 1
