"""Images of a chunked HDF5 array are decompressed together, once, in bounded memory."""

from __future__ import annotations

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from gzfeatures import user_folders
from gzfeatures.errors import InputError, MissingFileError, OutputError
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.sources import slabs
from gzfeatures.images.view import View

VIEW = View(size=24)
SHAPE = (50, 24, 24, 3)


@pytest.fixture(autouse=True)
def _none_held() -> None:
    slabs._forget()


@pytest.fixture(params=[(7, 12, 12, 1), (64, 5, 24, 3), (1, 24, 24, 3), None])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    chunks: tuple[int, ...] | None = request.param
    packed = None if chunks is None else "gzip"
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        # chunks may be longer than an array that can grow
        growing = chunks is not None and chunks[0] > SHAPE[0]
        array = file.create_dataset(
            "images",
            SHAPE,
            np.uint8,
            chunks=chunks,
            compression=packed,
            maxshape=(None, *SHAPE[1:]) if growing else None,
        )
        array[:] = pixels()
    return tmp_path / "stack.h5"


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, SHAPE, dtype=np.uint8)


def chunked(path: Path, rows: int = 7) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pixels(), chunks=(rows, 12, 12, 1), compression="gzip")
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the rows at which slabs began that were decompressed."""
    firsts: list[int] = []
    really = slabs._read

    def counted(key: slabs.Key, together: int) -> slabs.Pixels:
        firsts.append(key[-1])
        return really(key, together)

    monkeypatch.setattr(slabs, "_read", counted)
    return firsts


@pytest.mark.parametrize("in_memory", [2**26, 0])
def test_rows_are_those_of_the_array(
    stack: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(slabs, "IN_MEMORY", in_memory)
    images, expected = ImageSet.of(stack), pixels()
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda row: images.pixels(row, VIEW), range(len(images))))
    assert (np.stack(seen) == expected).all()


def test_each_chunk_is_decompressed_once_whatever_the_order_of_ids(
    tmp_path: Path, read: list[int]
) -> None:
    ids = np.random.default_rng(1).permutation(50).astype(str).astype(object)
    images = ImageSet.of(chunked(tmp_path / "a.h5"), ids)
    digests = images.digests()
    assert sorted(read) == list(range(0, 50, 7))
    assert digests == [images.digest(row) for row in range(50)]
    assert images.ids[images.file_order()].tolist() == list(map(str, range(50)))


def test_a_slab_larger_than_memory_lies_in_a_file_without_a_name(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "IN_MEMORY", 1000)
    on_disk: list[int] = []
    really = slabs.scratch_memory

    def counted(size: int, what: str) -> mmap.mmap:
        on_disk.append(size)
        return really(size, what)

    monkeypatch.setattr(slabs, "scratch_memory", counted)
    (tmp_path / "scratch").mkdir()
    with user_folders.scratch_in(tmp_path / "scratch"):
        images = ImageSet.of(chunked(tmp_path / "a.h5"))
        assert (images.pixels(8, VIEW) == pixels()[8]).all()
        assert on_disk == [7 * 24 * 24 * 3]
        assert list((tmp_path / "scratch").iterdir()) == []


def test_no_more_slabs_are_held_than_said(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "HELD", 3)
    monkeypatch.setattr(slabs, "IN_MEMORY", 7 * 24 * 24 * 3)
    images = ImageSet.of(chunked(tmp_path / "a.h5"))
    for row in range(0, 50, 7):
        images.digest(row)
        assert len(slabs._slabs._slabs) <= 3
    # of large ones two are held, however little room there is
    monkeypatch.setattr(slabs, "ON_DISK", 7 * 24 * 24 * 3)
    for row in range(0, 50, 7):
        images.digest(row)
    assert len(slabs._slabs._slabs) <= 2


def test_images_that_share_too_many_bytes_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "ON_DISK", 100)
    images = ImageSet.of(chunked(tmp_path / "a.h5"))
    assert (images.pixels(8, VIEW) == pixels()[8]).all()


def test_a_file_that_changed_is_decompressed_again(tmp_path: Path, read: list[int]) -> None:
    images = ImageSet.of(chunked(tmp_path / "a.h5"))
    before = images.digest(3)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["images"][3] = 7
    os.utime(tmp_path / "a.h5", (1, 1))
    assert images.digest(3) != before
    (tmp_path / "a.h5").unlink()
    with pytest.raises(MissingFileError, match="image has vanished"):
        images.digest(3)


def test_a_damaged_chunk_spoils_the_images_it_holds_and_no_other(tmp_path: Path) -> None:
    chunked(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        place = file["images"].id.get_chunk_info_by_coord((7, 0, 0, 0))
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    (tmp_path / "a.h5").write_bytes(data)
    images = ImageSet.of(tmp_path / "a.h5")
    assert [name for name, _ in images.check().broken] == list(map(str, range(7, 14)))
    with pytest.raises(InputError, match=r"a\.h5: 8: image cannot be read"):
        images.digest(8)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabs, "IN_MEMORY", 0)
    with user_folders.scratch_in(tmp_path / "missing" / "scratch"):
        (tmp_path / "missing").write_text("no folder")
        with pytest.raises(OutputError, match="no room for 7 images that share chunks in"):
            ImageSet.of(chunked(tmp_path / "a.h5")).digest(0)
