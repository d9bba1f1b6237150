from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels, quantile_parts
from gzfeatures.galaxies.labels.target_column import UNKNOWN, TargetColumn
from gzfeatures.galaxies.splits.label_file import read_target
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import as_ids


def catalog(**columns: object) -> Catalog:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return Catalog(pd.DataFrame({"galaxy_id": [f"g{row}" for row in range(n)], **columns}))


def test_unknown_numbers_are_left_out_and_counted() -> None:
    labels = TargetColumn("mass").labels(catalog(mass=[10.1, np.nan, -9999.0, -999.0, 9.5]))
    assert labels.target == "value" and labels.classes == ("mass",)
    assert labels.ids.tolist() == ["g0", "g4"]
    assert labels.values.tolist() == [[10.1], [9.5]]
    assert labels.left_out[UNKNOWN].tolist() == ["g1", "g2", "g3"]


@pytest.mark.parametrize("ending", ["csv", "fits", "parquet", "ecsv", "vot"])
def test_empty_and_masked_cells_of_every_format_are_unknown(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"sample.{ending}"
    mass = MaskedColumn([10.1, 0.0, 9.5, 9.9], mask=[False, True, False, False], name="mass")
    table = Table([["a", "b", "c", "d"], mass], names=["galaxy_id", "mass"])
    if ending == "parquet":
        pd.DataFrame(
            {"galaxy_id": ["a", "b", "c", "d"], "mass": [10.1, None, 9.5, 9.9]}
        ).to_parquet(path)
    else:
        table.write(
            path,
            format={"csv": "ascii.csv", "vot": "votable", "ecsv": "ascii.ecsv"}.get(ending, ending),
        )
    labels, split = read_target(path, TargetColumn("mass"))
    assert labels.ids.tolist() == ["a", "c", "d"] and split is None
    assert labels.left_out[UNKNOWN].tolist() == ["b"]


@pytest.mark.parametrize(
    ("name", "numbers", "others", "target"),
    [
        ("redshift", [0.1, 0.2], {}, "redshift"),
        ("Z_SPEC", [0.1, 0.2], {}, "redshift"),
        ("z", [0.1, 0.2], {}, "redshift"),
        ("z", [17.2, 16.4], {}, "value"),  # magnitudes in the z band
        ("z", [0.1, 0.2], {"g": [17.0, 18.0], "r": [16.0, 17.0]}, "value"),
        ("mass", [0.1, 0.2], {}, "value"),
    ],
)
def test_a_redshift_is_known_by_its_name(
    name: str, numbers: list[float], others: dict[str, list[float]], target: str
) -> None:
    table = catalog(**{name: numbers}, **others)
    assert TargetColumn(name).labels(table).target == target
    assert TargetColumn(name, redshift=True).labels(table).target == "redshift"
    assert TargetColumn(name, redshift=False).labels(table).target == "value"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1.0, np.inf, 2.0], r"galaxy g1: .*is infinite.*found 1 of 3"),
        ([2.5, 2.5, np.nan], r"two different known numbers.*found 2\.5 everywhere"),
        ([np.nan, -9999.0], r"none that is known"),
        ([0, 1, 2, 1, 0, 2], r"3 different whole numbers: are they class labels\?.*0, 1, 2"),
        ([0.0, 1.0, 1.0, 0.0], r"2 different whole numbers"),
        ([True, False, True, True], r"2 different whole numbers"),
        (["a", "b", "c"], r"text"),
    ],
)
def test_what_is_no_number_to_be_learned_is_refused(numbers: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TargetColumn("x").labels(catalog(x=numbers))


def test_counts_are_numbers_where_the_user_says_so() -> None:
    counts = catalog(arms=[1, 2, 2, 1, 3, 3])
    assert TargetColumn("arms", as_number=True).labels(counts).values[:, 0].tolist() == [
        *(1, 2, 2, 1, 3, 3)
    ]
    # a few galaxies, each with a whole number of its own, are no classes
    assert len(TargetColumn("mag").labels(catalog(mag=[14, 15, 16, 17]))) == 4


def test_a_redshift_of_minus_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"galaxy g1: redshift.*above -1.*found -1.*--no-redshift"):
        TargetColumn("redshift").labels(catalog(redshift=[0.1, -1.0, 0.2]))


def test_an_absent_column_names_what_was_looked_for() -> None:
    with pytest.raises(InputError, match="no numeric column for mass"):
        TargetColumn("mass").labels(catalog(x=[1.0, 2.0]))


def test_numbers_may_lie_in_a_catalog_beside_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "galaxy_id,label,split,group\na,s,train,\nb,s,train,1\nc,e,test,\nd,e,test,\ne,s,train,1\n"
    )
    other = Catalog(
        pd.DataFrame({"galaxy_id": ["e", "c", "b", "a"], "mass": [9.1, 9.2, np.nan, 9.4]})
    )
    labels, split = read_target(path, TargetColumn("mass"), catalog=other)
    assert labels.ids.tolist() == ["a", "c", "e"]
    assert labels.left_out["is not in the catalog"].tolist() == ["d"]
    assert labels.left_out[UNKNOWN].tolist() == ["b"]
    assert split is not None
    assert split.train.tolist() == ["a", "e"] and split.test.tolist() == ["c"]
    assert split.groups == {"e": "1"}


@pytest.mark.parametrize(("own", "name"), [("mass", "mass"), ("REDSHIFT", "redshift")])
def test_text_in_a_files_own_column_is_refused_not_replaced_by_the_catalogs(
    tmp_path: Path, own: str, name: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"galaxy_id,{own}\na,0.1\nb,0.2\nc,n.d.\n")
    other = catalog(**{name: [5.1, 5.2, 5.3]}).frame.assign(galaxy_id=["a", "b", "c"])
    with pytest.raises(InputError, match=f"column {own} holds text: 1 of 3 .* row 2: 'n.d.'"):
        read_target(path, TargetColumn(name), catalog=Catalog(other))


def test_magnitudes_named_z_in_a_file_are_not_its_redshifts(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("galaxy_id,g,r,z\na,18,17,16\nb,19,18,17\n")
    other = Catalog(pd.DataFrame({"galaxy_id": ["a", "b"], "redshift": [0.1, 0.2]}))
    labels, _ = read_target(path, TargetColumn("redshift"), catalog=other)
    assert labels.values[:, 0].tolist() == [0.1, 0.2]


def test_labels_of_a_number_are_finite() -> None:
    ids = as_ids(["a", "b"])
    with pytest.raises(InputError, match="finite number"):
        Labels(ids, ("mass",), np.array([[1.0], [np.nan]]), "value")


def test_a_split_keeps_the_shares_of_each_quantile_and_no_group_is_parted() -> None:
    rng = np.random.default_rng(0)
    n = 1000
    numbers = rng.lognormal(size=n)
    ids = as_ids([f"g{row}" for row in range(n)])
    labels = Labels(ids, ("mass",), numbers.reshape(-1, 1), "value")
    groups = {f"g{row}": f"pair {row // 2}" for row in range(200)}
    split = Split.draw(labels, (0.7, 0.1, 0.2), groups=groups, seed=3)
    part = split.sides(ids)
    parts = quantile_parts(numbers)
    assert np.bincount(parts).tolist() == [100] * 10
    for stratum in range(10):
        counts = np.bincount(part[parts == stratum], minlength=3)
        assert np.abs(counts - [70, 10, 20]).max() <= 5
    assert all(part[row] == part[row + 1] for row in range(0, 200, 2))
    order = rng.permutation(n)
    again = Split.draw(labels.select(ids[order]), (0.7, 0.1, 0.2), groups=groups, seed=3)
    assert again.fingerprint == split.fingerprint
