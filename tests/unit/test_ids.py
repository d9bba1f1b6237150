from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import among, as_ids, positions, require_unique, uniform
from gzfeatures.images.image_set import ImageSet

steady = settings(derandomize=True, deadline=None)


@steady
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_integers_keep_every_digit(numbers: list[int]) -> None:
    assert as_ids(np.array(numbers, dtype=np.int64)).tolist() == [str(number) for number in numbers]
    assert as_ids(pd.Series(numbers)).tolist() == [str(number) for number in numbers]


def test_fixed_width_and_whole_floats() -> None:
    assert as_ids(np.array([b"abc", b"d"], dtype="S5")).tolist() == ["abc", "d"]
    assert as_ids(np.array([1.0, 2.0])).tolist() == ["1", "2"]
    assert as_ids(iter(["x", "y"])).tolist() == ["x", "y"]


def test_ids_that_cannot_be_trusted_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"row 1: id is not a whole number or is too large for a float; must be text or an "
        r"integer",
    ):
        as_ids(np.array([1.0, 587722981736120000.0]))
    with pytest.raises(InputError, match=r"ids, row 1: id is missing; must not be empty"):
        as_ids(np.array(["a", None], dtype=object))
    with pytest.raises(InputError, match="id is missing"):
        as_ids(["a", ""])
    with pytest.raises(
        InputError,
        match=r"2 duplicate ids; must name each galaxy once, found a; drop the repeated rows",
    ):
        require_unique(as_ids(["a", "a", "a"]))
    with pytest.raises(InputError, match="1 of 2 ids are not there, found z"):
        positions(as_ids("ab"), as_ids("az"))


def test_ids_that_no_file_could_hold_are_refused_at_every_door(tmp_path: Path) -> None:
    alien = "a\udcff"  # how Python names a file whose name is not UTF-8
    message = r"not a text in UTF-8, found \S*\\udcff\S*; rename it"
    for values in (["x", alien], np.array([b"x", b"\xff"]), [b"x", b"\xff"], [1, b"\xff"]):
        with pytest.raises(InputError, match=f"ids: {message}"):
            as_ids(values)
    ids = np.array(["x", alien], dtype=object)
    with pytest.raises(InputError, match=f"labels: {message}"):
        Labels(ids, ("round",), np.zeros(2, dtype=np.int64))
    with pytest.raises(InputError, match=f"split train: {message}"):
        Split(ids, ids[:0], ids[:0])
    with pytest.raises(InputError, match=f"column galaxy_id: {message}"):
        Catalog.of(pd.DataFrame({"galaxy_id": pd.Series(ids, dtype=object)}))
    with pytest.raises(InputError, match="labels: not a text in UTF-8, found 7"):
        Labels(np.array([7], dtype=object), ("round",), np.zeros(1, dtype=np.int64))
    for name in ("x.png", f"{alien}.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(InputError, match=f"images: {message}"):
        ImageSet.of(tmp_path)
    images = ImageSet.of(tmp_path, ids=ids[:1])
    with pytest.raises(InputError, match=f"images: {message}"):
        images.select(ids)


def test_positions_are_by_value() -> None:
    assert positions(as_ids("abc"), as_ids("cab")).tolist() == [2, 0, 1]


def test_ids_are_found_among_others_without_comparing_each_with_each() -> None:
    compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    ids, others = (
        np.array([Name(f"é{k}") for k in rows], dtype=object)
        for rows in (range(500), range(250, 900))
    )
    assert np.array_equal(among(ids, others), np.arange(500) >= 250)
    assert compared < 3000  # each with each would be 325,000
    assert not among(ids, ()).any() and among(ids[:0], others).shape == (0,)


def test_random_numbers_of_ids_are_even_and_stand_alone() -> None:
    names = as_ids(range(20_000))
    numbers = uniform(names, 7)
    assert ((numbers >= 0) & (numbers < 1)).all()
    counts = np.bincount((numbers * 20).astype(int), minlength=20)
    assert np.square(counts - 1000).sum() / 1000 < 19 + 5 * np.sqrt(2 * 19)
    np.testing.assert_array_equal(uniform(names[::-1][:5], 7), numbers[::-1][:5])
    assert abs(np.corrcoef(numbers, uniform(names, 8))[0, 1]) < 0.03
    assert (uniform(names, 7) == uniform(names, 7 + 10**6)).mean() < 0.01


@pytest.mark.parametrize(
    "values",
    [
        np.ma.array([1, 2, 3], mask=[False, True, False]),
        np.ma.array([b"a", b"b"], mask=[False, True]),
        MaskedColumn([2**60 + 1, 2, 3], mask=[False, True, False]),
        ["a", float("nan")],
        ["a", pd.NA],
        ["a", np.ma.masked],
        [1, np.ma.masked],
        [1, None],
        [1.0, float("nan")],
        [b"a", pd.NaT],
        np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
        pd.Series([1, None], dtype="Int64"),
    ],
)
def test_a_masked_or_missing_id_is_missing_whatever_holds_it(values: Any) -> None:
    with pytest.raises(InputError, match=r"ids, row 1: id is missing; must not be empty"):
        as_ids(values)


def test_ids_among_other_types_keep_their_digits() -> None:
    big = 2**63 + 1
    assert as_ids([big, -1]).tolist() == [str(big), "-1"]
    assert as_ids([big - 2**62, 1.0]).tolist() == [str(big - 2**62), "1"]
    assert as_ids(["a", 100521.0, "é".encode()]).tolist() == ["a", "100521", "é"]
    assert as_ids(MaskedColumn([1, 2], mask=[False, False])).tolist() == ["1", "2"]
    for lost in (1e17, 1.5, float("inf")):
        with pytest.raises(InputError, match=r"row 1: id is not a whole number or is too large"):
            as_ids(["7", lost])
