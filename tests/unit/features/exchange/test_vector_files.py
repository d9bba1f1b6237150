"""Vectors of other programs are found, exact and complete, or the file is refused in one line."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gzfeatures.errors import GzError, InputError, MissingExtraError
from gzfeatures.features.exchange.vector_files import ids_of_file, read_vectors

IDS = ["007", "1237648720142401611", "galaxy 3", "-4"]
MATRIX = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)


def lists(kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(MATRIX.tolist(), kind or pa.list_(pa.float32()))


def written(path: Path) -> Path:
    """The vectors in the format that the path ends in, as other programs lay them out."""
    columns = {f"feat_{k}": MATRIX[:, k] for k in reversed(range(12))}
    if path.suffix == ".csv":
        # zoobot's order: numbers first, the id last
        pd.DataFrame(columns | {"id_str": IDS}).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        fixed = lists(pa.list_(pa.float32(), 12))
        pq.write_table(pa.table({"object_id": IDS, "data": fixed}), path)
    elif path.suffix == ".feather":
        pd.DataFrame(columns | {"id_str": IDS}).to_feather(path)
    elif path.suffix == ".npz":
        np.savez(path, galaxy_id=np.array(IDS), vectors=MATRIX.astype(np.float64), version=3)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["vectors"], file["object_id"] = MATRIX, IDS
    else:
        np.save(path, np.asfortranarray(MATRIX))
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "feather", "npz", "h5"])
def test_ids_and_vectors_are_those_that_the_other_program_wrote(
    ending: str, tmp_path: Path
) -> None:
    vectors = read_vectors(written(tmp_path / f"v.{ending}"))
    assert vectors.ids.tolist() == IDS
    assert vectors.matrix.dtype == np.float32 and np.array_equal(vectors.matrix, MATRIX)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_view(pa.float32()),
        pa.list_(pa.float16(), 12),
    ],
    ids=str,
)
def test_every_layout_of_lists_is_read(kind: pa.DataType, tmp_path: Path) -> None:
    try:
        pq.write_table(pa.table({"id": IDS, "v": lists(kind)}), tmp_path / "v.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip(f"pyarrow {pa.__version__} writes no {kind}")
    rounded = MATRIX.astype(np.float16) if "half" in str(kind) else MATRIX
    assert np.array_equal(read_vectors(tmp_path / "v.parquet").matrix, rounded)


def test_a_slice_of_an_arrow_table_keeps_ids_and_vectors_together(tmp_path: Path) -> None:
    table = pa.table({"id": IDS, "v": lists(pa.list_(pa.float32(), 12))}).slice(1, 2)
    pa.feather.write_feather(table, tmp_path / "v.feather")
    vectors = read_vectors(tmp_path / "v.feather")
    assert vectors.ids.tolist() == IDS[1:3] and np.array_equal(vectors.matrix, MATRIX[1:3])


def test_an_npy_needs_a_file_of_ids_and_takes_their_order(tmp_path: Path) -> None:
    file = written(tmp_path / "v.npy")
    with pytest.raises(InputError, match="--ids-file"):
        read_vectors(file)
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n")
    vectors = read_vectors(file, ids_file=tmp_path / "ids.txt")
    assert vectors.ids.tolist() == IDS and np.array_equal(vectors.matrix, MATRIX)
    (tmp_path / "ids.txt").write_text("\n".join(IDS[:3]))
    with pytest.raises(InputError, match="be 3 each, found 4"):
        read_vectors(file, ids_file=tmp_path / "ids.txt")


def test_ids_of_a_csv_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("galaxy_id,x\n007,1\n1237648720142401611,2\n")
    assert ids_of_file(tmp_path / "ids.csv").tolist() == ["007", "1237648720142401611"]


def anndata_file(path: Path, sparse: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        if sparse:
            file.create_group("X")["data"] = MATRIX.reshape(-1)
        else:
            file["X"] = MATRIX
        file.create_group("obsm")["X_pca"] = MATRIX[:, :5]
        obs = file.create_group("obs")
        obs.attrs["_index"] = "names"
        obs["names"] = IDS
    return path


def test_vectors_of_anndata_are_its_x_unless_another_array_is_named(tmp_path: Path) -> None:
    file = anndata_file(tmp_path / "v.h5ad")
    assert np.array_equal(read_vectors(file).matrix, MATRIX)
    assert read_vectors(file).ids.tolist() == IDS
    assert np.array_equal(read_vectors(file, vector="obsm/X_pca").matrix, MATRIX[:, :5])
    with pytest.raises(InputError, match=r"matrix is sparse.*toarray"):
        read_vectors(anndata_file(tmp_path / "s.h5ad", sparse=True))


def test_places_on_a_map_are_no_vectors(tmp_path: Path) -> None:
    # hyrax writes UMAP tables in the layout of its embeddings
    pairs = pa.array(MATRIX[:, :2].tolist(), pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"object_id": IDS, "data": pairs}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"2 numbers are places on a map \(UMAP\)"):
        read_vectors(tmp_path / "v.parquet")


def hyrax_table(shape: object) -> pa.Table:
    """What hyrax writes: flat lists, the shape of an output in the metadata of the schema alone."""
    fixed = lists(pa.list_(pa.float32(), 12))
    metadata = {"tensor_shape": json.dumps(shape), "tensor_dtype": "float32"}
    return pa.table({"object_id": IDS, "data": fixed}).replace_schema_metadata(metadata)


@pytest.mark.parametrize("shape", [[12], [1, 12], [12, 1, 1]], ids=str)
def test_outputs_of_one_axis_are_vectors(shape: list[int], tmp_path: Path) -> None:
    pq.write_table(hyrax_table(shape), tmp_path / "v.parquet")
    assert np.array_equal(read_vectors(tmp_path / "v.parquet").matrix, MATRIX)


def test_maps_that_were_written_as_flat_lists_are_told_from_vectors_by_their_metadata(
    tmp_path: Path,
) -> None:
    pq.write_table(hyrax_table([3, 2, 2]), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"shape 3 x 2 x 2 are maps, no vectors.*--vector data"):
        read_vectors(tmp_path / "v.parquet")
    assert np.array_equal(read_vectors(tmp_path / "v.parquet", vector="data").matrix, MATRIX)


@pytest.mark.parametrize(
    ("shape", "words"),
    [([13], "hold 13 numbers, found 12"), ([3, 2], "3 x 2"), ([-12], "be sides"), ("x", "sides")],
)
def test_a_shape_in_the_metadata_that_the_lists_do_not_have_is_refused(
    shape: object, words: str, tmp_path: Path
) -> None:
    pq.write_table(hyrax_table(shape), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=words) as caught:
        read_vectors(tmp_path / "v.parquet", vector="data")
    assert "\n" not in str(caught.value)


def test_a_shape_is_that_of_hyraxs_own_column_not_of_lists_beside_it(tmp_path: Path) -> None:
    boxes = pa.array(MATRIX[:, :4].tolist(), pa.list_(pa.float32(), 4))
    both = hyrax_table([12]).append_column("box", boxes)
    pq.write_table(both, tmp_path / "v.parquet")
    assert np.array_equal(read_vectors(tmp_path / "v.parquet", vector="data").matrix, MATRIX)


@pytest.mark.parametrize("cell", ["x", "0x10", "1,5"])
def test_a_text_in_the_last_column_of_numbers_does_not_shorten_the_vectors(
    cell: str, tmp_path: Path
) -> None:
    rows = "".join(f'g{k},1,2,3,"{cell if k else 4}"\n' for k in range(3))
    (tmp_path / "v.csv").write_text(f"id_str,feat_0,feat_1,feat_2,feat_3\n{rows}")
    with pytest.raises(InputError, match=r"number 4 of the vectors cannot be read") as caught:
        read_vectors(tmp_path / "v.csv")
    assert "\n" not in str(caught.value)


def test_a_csv_whose_header_names_a_number_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("id,f_0,f_1,f_2,f_2\na,1,2,3,4\n")
    with pytest.raises(InputError, match=r"two columns have one name.*found f_2"):
        read_vectors(tmp_path / "v.csv")


def table(**columns: Any) -> pa.Table:
    return pa.table({"id": IDS, **columns})


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": lists(), "b": lists()}, "cannot be told.*found a, b; give --vector"),
        ({"ra": pa.array([1.0] * 4)}, "file holds no vectors"),
        (
            {"v": pa.array([[1.0, 2, 3], [1.0, 2], [1.0] * 3, [1.0] * 3])},
            "1237648720142401611.*dif",
        ),
        ({"v": pa.array([[1.0, 2, 3], None, [1.0] * 3, [1.0] * 3])}, "1237648720142401611: vector"),
        ({"v": pa.array([[2**24 + 1, 2, 3]] * 4)}, "exact in single precision.*16777217"),
        ({"v": pa.array([[1e300, 2, 3]] * 4)}, "too large for a vector"),
        ({"v": pa.array([["a", "b", "c"]] * 4)}, "cannot be read"),
        ({"f_1": pa.array([1.0] * 4), "f_3": pa.array([1.0] * 4)}, "file holds no vectors"),
    ],
    ids=["two", "none", "ragged", "missing", "whole", "large", "texts", "gap"],
)
def test_what_cannot_be_told_or_kept_is_refused(
    columns: dict[str, Any], words: str, tmp_path: Path
) -> None:
    pq.write_table(table(**columns), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=words) as caught:
        read_vectors(tmp_path / "v.parquet")
    assert "\n" not in str(caught.value)


def test_ids_that_repeat_or_lost_digits_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a", "a", "b", "c"], "v": lists()}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match="1 duplicate ids"):
        read_vectors(tmp_path / "v.parquet")
    floats = pa.array([1.2e18, 1.3e18, 1.4e18, 1.5e18])
    pq.write_table(pa.table({"id": floats, "v": lists()}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match="float"):
        read_vectors(tmp_path / "v.parquet")
    pq.write_table(pa.table({"name": IDS, "v": lists()}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match="--id COLUMN"):
        read_vectors(tmp_path / "v.parquet")
    assert read_vectors(tmp_path / "v.parquet", "name").ids.tolist() == IDS


def test_an_array_of_pickled_objects_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Stranger:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    np.save(tmp_path / "v.npy", np.array([[Stranger()] * 3] * 4, dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.write(tmp_path / "v.npy", "vectors.npy")
        archive.writestr("id.npy", pickle.dumps(Stranger()))
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    for name, ids in (("v.npy", tmp_path / "ids.txt"), ("v.npz", None)):
        with pytest.raises(InputError):
            read_vectors(tmp_path / name, ids_file=ids)
    assert not marker.exists()


def test_a_header_that_claims_more_than_the_file_holds_costs_no_memory(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 12), }".ljust(117)
    (tmp_path / "v.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(header + "\n").to_bytes(2, "little") + header.encode() + b"\n"
    )
    (tmp_path / "ids.txt").write_text("a")
    with pytest.raises(InputError, match="longer than what the file holds"):
        read_vectors(tmp_path / "v.npy", ids_file=tmp_path / "ids.txt")


def test_a_link_in_hdf5_leads_to_no_other_file(tmp_path: Path) -> None:
    written(tmp_path / "other.h5")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["object_id"] = IDS
        file["vectors"] = h5py.ExternalLink("other.h5", "vectors")
    with pytest.raises(InputError, match="file holds no vectors"):
        read_vectors(tmp_path / "v.h5")


def test_lance_is_read_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "v.lance").mkdir()
    try:
        import lance  # 85 MB, so no part of the extra for developers
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"gzfeatures\[lance\]"):
            read_vectors(tmp_path / "v.lance")
        pytest.skip("pylance is not installed: only the refusal was tried")
    with pytest.raises(GzError, match="cannot be read"):
        read_vectors(tmp_path / "v.lance")
    import lance

    fixed = lists(pa.list_(pa.float32(), 12))
    lance.write_dataset(pa.table({"object_id": IDS, "data": fixed}), str(tmp_path / "w.lance"))
    vectors = read_vectors(tmp_path / "w.lance")
    assert vectors.ids.tolist() == IDS and np.array_equal(vectors.matrix, MATRIX)
    (tmp_path / "w.lance" / "data" / "x.lance").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leaves its folder"):
        read_vectors(tmp_path / "w.lance")
