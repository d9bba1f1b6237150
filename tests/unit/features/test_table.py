from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, MissingFileError, OutputError
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.features.table_writer import GROUP_ROWS, writer
from gzfeatures.images.view import View

EXTRACTOR = Extractor("resnet18", "resnet18", "random:0", "avgpool", 3, View(size=64))


def table(n: int = 5) -> EmbeddingTable:
    ids = np.asarray([f"{587722981742084144 + k}" for k in range(n)], dtype=object)
    digests = np.asarray([fingerprint.of(k) for k in range(n)], dtype=object)
    matrix = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return EmbeddingTable(ids, digests, matrix, EXTRACTOR, (("9", "image is truncated"),))


def same(a: EmbeddingTable, b: EmbeddingTable) -> bool:
    return (
        a.ids.tolist() == b.ids.tolist()
        and a.digests.tolist() == b.digests.tolist()
        and np.array_equal(a.matrix, b.matrix)
        and (a.extractor, a.skipped) == (b.extractor, b.skipped)
    )


@pytest.mark.parametrize("n", [0, 1, 5, 20_000])
def test_a_written_table_is_read_back_bit_for_bit(tmp_path: Path, n: int) -> None:
    path = table(n).write(tmp_path / "deep" / "t.parquet")
    assert same(EmbeddingTable.read(path), table(n))


def test_anyone_can_read_it_with_pyarrow(tmp_path: Path) -> None:
    stored = pq.read_table(table().write(tmp_path / "t.parquet"))
    assert stored.schema.names == ["galaxy_id", "image_sha256", "embedding"]
    assert stored.schema.types == [pa.string(), pa.string(), pa.list_(pa.float32(), 3)]
    note = json.loads(stored.schema.metadata[b"gzfeatures"])
    assert note["format"] == 1 and note["skipped"] == [["9", "image is truncated"]]
    assert Extractor.fromdict(note["extractor"]) == EXTRACTOR
    column = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(2)
    assert "RLE_DICTIONARY" not in column.encodings


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], "duplicate ids"),
        (["a", "", "b"], "id is missing"),
        (["a", None, "b"], "id is missing"),
        (["a", "1.237678598634734e+18", "b"], "id has lost its last digits"),
    ],
)
def test_a_column_of_ids_is_refused_where_its_texts_are(
    tmp_path: Path, ids: list[str | None], message: str
) -> None:
    whole = pq.read_table(table(3).write(tmp_path / "whole.parquet"))
    pq.write_table(whole.set_column(0, "galaxy_id", pa.array(ids)), tmp_path / "t.parquet")
    for read in (
        EmbeddingTable.open(tmp_path / "t.parquet").id_column,
        EmbeddingTable.open(tmp_path / "t.parquet").names,
    ):
        with pytest.raises(InputError, match=message):
            read()
    column = EmbeddingTable.open(tmp_path / "whole.parquet").id_column()
    assert column.to_pylist() == list(EmbeddingTable.open(tmp_path / "whole.parquet").names())


def test_an_open_table_hands_out_batches(tmp_path: Path) -> None:
    file = EmbeddingTable.open(table(20_000).write(tmp_path / "t.parquet"))
    assert (len(file), file.extractor, file.skipped) == (20_000, EXTRACTOR, table(0).skipped)
    parts = list(file.batches(3_000))
    assert max(len(part) for part in parts) <= 3_000
    assert np.array_equal(np.concatenate([part.matrix for part in parts]), table(20_000).matrix)
    assert pq.ParquetFile(file.path).num_row_groups == -(-20_000 // GROUP_ROWS)


@pytest.mark.parametrize("n", [0, 20_000])
def test_an_open_table_gives_the_rows_of_some_ids(tmp_path: Path, n: int) -> None:
    path, whole = tmp_path / "t.parquet", table(n)
    whole.write(path)
    wanted = whole.ids[::7]
    assert same(
        EmbeddingTable.open(path).having(np.append(wanted[::-1], "absent")), whole.select(wanted)
    )


def test_select_takes_rows_by_id() -> None:
    chosen = table().select(table().ids[[3, 1]])
    assert np.array_equal(chosen.matrix, table().matrix[[3, 1]])
    with pytest.raises(InputError, match="1 of 1 ids are not there"):
        table().select(np.asarray(["0"], dtype=object))


def test_impossible_tables_are_refused() -> None:
    good = table()
    with pytest.raises(InputError, match="1 duplicate ids"):
        dataclasses.replace(good, ids=good.ids[[0, 1, 2, 3, 3]])
    with pytest.raises(InputError, match=r"have one row per id \(5\)"):
        dataclasses.replace(good, matrix=good.matrix[:4])
    broken = good.matrix.copy()
    broken[2, 1] = np.nan
    with pytest.raises(InputError, match=f"{good.ids[2]}: embedding is not finite"):
        dataclasses.replace(good, matrix=broken)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="embedding table not found"):
        EmbeddingTable.read(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"hello")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        EmbeddingTable.read(tmp_path / "t.parquet")
    pq.write_table(pa.table({"galaxy_id": ["1"], "x": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(
        InputError,
        match=r"not an embedding table; must have columns .* found galaxy_id, x; write it",
    ):
        EmbeddingTable.open(tmp_path / "t.parquet")


def rewritten(path: Path, note: object) -> Path:
    stored = pq.read_table(table().write(path))
    metadata = None if note is None else {"gzfeatures": json.dumps(note)}
    pq.write_table(stored.replace_schema_metadata(metadata), path)
    return path


def test_metadata_is_needed_and_understood(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(InputError, match="not an embedding table"):
        EmbeddingTable.read(rewritten(path, None))
    with pytest.raises(InputError, match="table format is newer; must be at most 2, found 3"):
        EmbeddingTable.read(rewritten(path, {"format": 3}))
    with pytest.raises(InputError, match="extractor record cannot be read"):
        EmbeddingTable.read(
            rewritten(path, {"format": 1, "extractor": {"view": {}}, "skipped": []})
        )
    longer = dataclasses.replace(EXTRACTOR, dim=4).asdict()
    with pytest.raises(InputError, match="embedding column; must hold lists of 4 numbers"):
        EmbeddingTable.read(rewritten(path, {"format": 1, "extractor": longer, "skipped": []}))


def test_damaged_page_is_an_error_and_not_a_wrong_number(tmp_path: Path) -> None:
    path = table(20_000).write(tmp_path / "t.parquet")
    data = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(1).column(2).data_page_offset
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(InputError, match="table is damaged"):
        EmbeddingTable.read(path)
    with pytest.raises(InputError, match="table is damaged"):
        list(EmbeddingTable.open(path).batches())


def test_full_disk_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(2).write(tmp_path / "t.parquet")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        table(5).write(path)
    assert len(EmbeddingTable.read(path)) == 2 and len(list(tmp_path.iterdir())) == 1


def test_unwritable_output_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        table().write(tmp_path / "file" / "t.parquet")


def test_a_failed_stream_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), writer(tmp_path / "t.parquet", EXTRACTOR, ()) as append:
        append(table().ids, table().digests, table().matrix)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
