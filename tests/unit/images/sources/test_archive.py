"""Archives are read in place, name nothing on disk, and give the very bytes a folder gives."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import stat
import tarfile
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from processes import processes

from gzfeatures.errors import GzError, InputError, MissingFileError
from gzfeatures.images.decoding.bundle import npy
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.reading import Reading
from gzfeatures.images.sources import seekable_gzip
from gzfeatures.images.sources.archive import archive
from gzfeatures.images.sources.seekable_gzip import GzipReader
from gzfeatures.images.view import View

VIEW = View(size=24)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(seed)).save(file, "PNG")
    return file.getvalue()


MEMBERS = {f"images_training/{100 + k}.png": png(k) for k in range(12)}
OTHERS = {
    "readme.txt": b"no image",
    "__MACOSX/._100.png": b"no image",
    "images_training/.hidden.png": b"no image",
}


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", method) as file:
            for name, data in members.items():
                file.writestr(name, data)
    return path


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


WRITERS = {
    "images.zip": write_zip,
    "stored.zip": lambda path, members: write_zip(path, members, zipfile.ZIP_STORED),
    "images.tar": write_tar,
    "images.tar.gz": lambda path, members: write_tar(path, members, "w:gz"),
    "images.tgz": lambda path, members: write_tar(path, members, "w:gz"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_is_read_in_place_and_gives_what_a_folder_gives(
    name: str, tmp_path: Path
) -> None:
    path = WRITERS[name](tmp_path / name, MEMBERS | OTHERS)
    images = ImageSet.of(path)
    assert images.ids.tolist() == [str(100 + k) for k in range(12)]
    assert [images.read(row) for row in range(12)] == list(MEMBERS.values())
    assert (images.pixels(3, VIEW) == noise(3)).all()
    assert images.check().broken == ()
    assert [entry.name for entry in tmp_path.iterdir()] == [name], "nothing is unpacked"


@pytest.mark.parametrize("name", WRITERS)
def test_any_order_any_thread_and_any_process_reads_the_same(name: str, tmp_path: Path) -> None:
    images = ImageSet.of(WRITERS[name](tmp_path / name, MEMBERS))
    rows = random.Random(0).choices(range(12), k=200)
    expected = list(MEMBERS.values())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(images.read, rows)) == [expected[row] for row in rows]
    with processes(2) as pool:
        assert pool.map(images.read, rows) == [expected[row] for row in rows]
    assert [pickle.loads(pickle.dumps(images)).read(row) for row in rows[:20]] == [
        expected[r] for r in rows[:20]
    ]


def test_a_gzipped_tar_is_not_unpacked_again_for_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seekable_gzip, "STRIDE", 2**18)
    blob = np.random.default_rng(0).bytes(2**16)
    members = {f"{k}.png": blob + bytes([k]) for k in range(60)}
    images = ImageSet.of(write_tar(tmp_path / "big.tar.gz", members, "w:gz"))
    unpacked = 0
    reading = GzipReader._more

    def counted(reader: GzipReader) -> bool:
        nonlocal unpacked
        more = reading(reader)
        unpacked += len(reader._ready)
        return more

    monkeypatch.setattr(GzipReader, "_more", counted)
    order = random.Random(1).sample(range(60), 60)
    for row in order:
        assert images.read(row) == members[f"{images.ids[row]}.png"]
    assert unpacked < 60 * (2**18 + 4 * 2**16), "each read starts from the nearest mark"


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 9000), st.integers(-1, 4000)), max_size=20),
)
def test_gzip_reader_reads_what_gzip_reads(
    tmp_path: Path, parts: list[bytes], reads: list[tuple[int, int]]
) -> None:
    path = tmp_path / f"{abs(hash((tuple(parts), tuple(reads))))}.gz"
    path.write_bytes(b"".join(gzip.compress(part) for part in parts))
    plain = b"".join(parts)
    with GzipReader(path) as reader:
        for start, size in reads:
            reader.seek(start)
            assert reader.read(size) == plain[start:][: None if size < 0 else size]
            assert reader.tell() == start + len(plain[start:][: None if size < 0 else size])
        with pytest.raises(io.UnsupportedOperation, match="end of a gzip file is not known"):
            reader.seek(0, io.SEEK_END)


@pytest.mark.parametrize("name", ["stored.zip", "images.zip"])
@pytest.mark.parametrize("pixel", [0, 5000, 30_000])
def test_a_flipped_bit_in_a_zip_is_found(name: str, pixel: int, tmp_path: Path) -> None:
    flux = np.random.default_rng(0).normal(size=(100, 100)).astype(">f4")
    whole = npy(flux)
    path = WRITERS[name](tmp_path / name, {"a.npy": whole, "b.png": png(0)})
    with zipfile.ZipFile(path) as file:
        start = file.getinfo("a.npy").header_offset + 30 + len("a.npy") + 128
    data = bytearray(path.read_bytes())
    data[start + pixel] ^= 0x10
    path.write_bytes(data)
    images = ImageSet.of(path)
    with pytest.raises(InputError, match=rf"{name}: a\.npy: zip member is damaged.* again"):
        images.read(0)
    ((galaxy, reason),) = images.check().broken
    assert galaxy == "a" and reason.startswith("zip member is damaged")


@pytest.mark.parametrize("padding", [0, 3 * 2**16])
def test_a_flipped_bit_in_a_gzipped_tar_is_found(padding: int, tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "a.tar", MEMBERS | {"z.png": bytes(2**18)}).read_bytes()
    # without compression nothing but the checksum behind the last byte shows the damage
    data = bytearray(gzip.compress(plain + bytes(padding), compresslevel=0))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data + bytes(5000))
    assert archive(path).names() == sorted(MEMBERS | {"z.png": b""}), "zeros behind it are none"
    data[2000] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"tar file is damaged, .*data check; fetch it again"):
        archive(path)


HOSTILE = [
    "../../evil.png",
    "/etc/evil.png",
    "..\\evil.png",
    "C:\\evil.png",
    "a/../../evil.png",
    "\\\\host\\evil.png",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["images.zip", "images.tar", "images.tar.gz"])
def test_a_name_that_leaves_the_archive_is_refused_and_listed(
    name: str, kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    images = ImageSet.of(WRITERS[kind](folder / kind, {"good.png": png(0), name: png(1)}))
    report = images.check()
    assert report.readable == 2 and [reason for _, reason in report.broken] == [
        "name leaves the archive"
    ]
    row = next(k for k in range(2) if images.ids[k] != "good")
    with pytest.raises(
        InputError, match="name leaves the archive; pack the archive again without it"
    ):
        images.pixels(row, VIEW)
    assert {path.name for path in tmp_path.rglob("*")} == {"inner", kind}


def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(5))
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name, kind in (
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("dev.png", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            file.addfile(info)
    report = ImageSet.of(tmp_path / "a.tar").check()
    assert report.broken == tuple(
        (name, "archive member is a link or a device") for name in ("dev", "hard", "soft")
    )


def test_links_encrypted_and_oddly_packed_members_of_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")
        file.writestr("odd.png", png(0), zipfile.ZIP_LZMA)
        file.writestr("secret.png", png(1))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert ImageSet.of(path).check().broken == (
        ("link", "archive member is a link"),
        ("odd", "zip member is packed with another method than deflate"),
        ("secret", "zip member is encrypted"),
    )


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"a.png": png(0) + bytes(10_000_000)})
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02") + 24
    data[place : place + 4] = (500).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png: zip member is damaged; must have the CRC-32"):
        ImageSet.of(path).read(0)


def test_a_member_that_says_it_is_huge_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"a.png": png(0)})
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02") + 24
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    assert ImageSet.of(path).check().broken[0][1].startswith("image is larger than")


@pytest.mark.parametrize("kind", ["images.zip", "images.tar", "images.tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.7])
def test_a_truncated_archive_is_one_line(kind: str, share: float, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path / kind, MEMBERS)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        InputError, match=rf"{kind}: (zip|tar) file is damaged, found .*; fetch it again"
    ) as caught:
        ImageSet.of(path).check()
    assert "\n" not in str(caught.value)


def test_an_archive_that_vanishes_is_named(tmp_path: Path) -> None:
    images = ImageSet.of(write_zip(tmp_path / "a.zip", MEMBERS))
    (tmp_path / "a.zip").unlink()
    with pytest.raises(MissingFileError, match=r"a\.zip: image has vanished"):
        images.read(0)


def test_two_members_with_one_id_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"train/7.png": png(0), "test/7.png": png(1)})
    with pytest.raises(
        InputError, match=r"two files are images of one galaxy.*test/7\.png and train/7\.png"
    ):
        ImageSet.of(path)


@pytest.mark.parametrize("kind", ["images.zip", "images.tar", "images.tar.gz"])
def test_a_damaged_archive_never_ends_in_a_traceback(kind: str, tmp_path: Path) -> None:
    whole = WRITERS[kind](tmp_path / kind, dict(list(MEMBERS.items())[:3])).read_bytes()

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=8),
        st.integers(0, len(whole)),
    )
    def check(flips: list[tuple[int, int]], cut: int) -> None:
        data = bytearray(whole)
        for place, value in flips:
            data[place] = value
        path = tmp_path / kind
        path.write_bytes(bytes(data[:cut] if cut % 2 else data))
        os.utime(path, ns=(check.n, check.n))  # type: ignore[attr-defined]
        check.n += 1  # type: ignore[attr-defined]
        start = time.perf_counter()
        try:
            images = ImageSet.of(path)
            assert all("\n" not in reason for _, reason in images.check().broken)
            images.duplicate_groups()
        except GzError as error:
            assert "\n" not in str(error)
        assert time.perf_counter() - start < 5

    check.n = 1  # type: ignore[attr-defined]
    check()


@pytest.mark.parametrize("name", ["stack.h5", "stack.npy"])
def test_a_damaged_stack_never_ends_in_a_traceback(name: str, tmp_path: Path) -> None:
    stack = galaxy10(tmp_path / "stack.h5", n=3, galaxy_id=np.asarray([b"a", b"b", b"c"]))
    np.save(tmp_path / "stack.npy", stack)
    path = tmp_path / name
    whole = path.read_bytes()
    head = min(len(whole), 5000)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.lists(st.tuples(st.integers(0, head - 1), st.integers(0, 255)), max_size=6),
        st.none() | st.integers(0, len(whole)),
    )
    def check(flips: list[tuple[int, int]], cut: int | None) -> None:
        data = bytearray(whole)
        for place, value in flips:
            data[place] = value
        path.write_bytes(data[:cut])
        try:
            images = ImageSet.of(path)
            assert all("\n" not in reason for _, reason in images.check().broken)
        except GzError as error:
            assert "\n" not in str(error)

    check()


# Array files


def galaxy10(path: Path, n: int = 6, **more: object) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 255, (n, 24, 24, 3), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["ans"] = np.arange(n) % 10
        for name, data in more.items():
            file[name] = data
    return images


def test_galaxy10_is_read_by_row(tmp_path: Path) -> None:
    stack = galaxy10(tmp_path / "Galaxy10.h5")
    images = ImageSet.of(tmp_path / "Galaxy10.h5")
    assert images.ids.tolist() == list("012345")
    for row in range(6):
        assert (images.pixels(row, VIEW) == stack[row]).all()
    assert images.check().broken == () and images.duplicate_groups() == {}
    assert images.digest(2) != images.digest(3)
    rows = images.select(np.asarray(["4", "1"], dtype=object))
    assert (rows.pixels(0, VIEW) == stack[4]).all()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(images.digest, range(6))) == images.digests()
    with processes(2) as pool:
        assert pool.map(images.digest, range(6)) == images.digests()


def test_more_than_ten_rows_keep_their_number(tmp_path: Path) -> None:
    stack = galaxy10(tmp_path / "a.hdf5", n=25)
    images = ImageSet.of(tmp_path / "a.hdf5", np.asarray(["11", "2", "24"], dtype=object))
    assert all((images.pixels(k, VIEW) == stack[row]).all() for k, row in enumerate((11, 2, 24)))


def test_ids_in_the_file_are_used(tmp_path: Path) -> None:
    stack = galaxy10(
        tmp_path / "a.h5", galaxy_id=np.asarray([f"J{k}" for k in range(6)], dtype="S")
    )
    images = ImageSet.of(tmp_path / "a.h5", np.asarray(["J4"], dtype=object))
    assert (images.pixels(0, VIEW) == stack[4]).all()
    galaxy10(tmp_path / "b.h5", galaxy_id=np.asarray([7, 7, 8, 9, 10, 11]))
    with pytest.raises(InputError, match="ids of the images; must be 6, each once, found 5"):
        ImageSet.of(tmp_path / "b.h5")


def test_blank_rows_are_reported(tmp_path: Path) -> None:
    galaxy10(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["images"][3] = 0
    assert ImageSet.of(tmp_path / "a.h5").check().broken == (
        ("3", "image is blank: every pixel is [0, 0, 0]"),
    )


def test_channels_first_and_grey_stacks_are_understood(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (4, 24, 24, 3), dtype=np.uint8)
    np.save(tmp_path / "first.npy", np.moveaxis(stack, 3, 1))
    np.save(tmp_path / "grey.npy", stack[..., :1])
    assert (ImageSet.of(tmp_path / "first.npy").pixels(2, VIEW) == stack[2]).all()
    assert (ImageSet.of(tmp_path / "grey.npy").pixels(2, VIEW) == stack[2][..., :1]).all()


def test_stacks_of_named_bands_are_chosen_by_name(tmp_path: Path) -> None:
    flux = np.random.default_rng(0).normal(size=(3, 5, 24, 24)).astype(np.float32)
    np.save(tmp_path / "stack.npy", flux)
    images = ImageSet.of(tmp_path / "stack.npy", bands=tuple("ugriz"))
    one = images.pixels(1, View(size=24, bands=("i", "r", "g")))
    np.save(tmp_path / "swapped.npy", flux[:, [0, 1, 3, 2, 4]])
    swapped = ImageSet.of(tmp_path / "swapped.npy", bands=("u", "g", "i", "r", "z"))
    assert (swapped.pixels(1, View(size=24, bands=("i", "r", "g"))) == one).all()
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["images"] = np.moveaxis(flux, 1, 3)
    last = ImageSet.of(tmp_path / "stack.h5", bands=tuple("ugriz"))
    assert (last.pixels(1, View(size=24, bands=("i", "r", "g"))) == one).all()
    assert images.digest(1) != ImageSet.of(tmp_path / "stack.npy", bands=tuple("zirgu")).digest(1)


@pytest.mark.parametrize("shape", [(3, 30, 24), (3, 1, 30, 24), (3, 30, 24, 1)])
def test_a_stack_of_one_named_band_keeps_height_and_width(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    stack = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["images"] = stack
    grey, named = (
        ImageSet.of(tmp_path / "stack.h5", reading=Reading(range=(0, 255), bands=bands))
        for bands in (None, ("r",))
    )
    shown = named.pixels(1, VIEW)
    assert (shown == grey.pixels(1, VIEW)).all()
    assert (shown[..., 0] == stack[1].reshape(30, 24)[3:27]).all()


@pytest.mark.parametrize(
    ("shape", "kind", "bands", "message"),
    [
        (
            (4, 24, 24, 3),
            np.float32,
            None,
            "images are not 8-bit; must be uint8, or have their bands named, found float32",
        ),
        (
            (4, 24, 24, 5),
            np.uint8,
            None,
            r"channels of the images cannot be told; must be grey or RGB, found \(24, 24, "
            r"5\); name the bands",
        ),
        ((4, 3, 24, 3), np.uint8, None, "channels of the images cannot be told"),
        ((4, 5, 24, 24), np.float32, ("g", "r"), "must be 2, one for each band named"),
        ((4, 24, 24, 3), "S5", None, "images are not 8-bit"),
    ],
)
def test_stacks_that_cannot_be_understood(
    shape: tuple[int, ...],
    kind: object,
    bands: tuple[str, ...] | None,
    message: str,
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "stack.npy", np.zeros(shape, kind))
    with pytest.raises(InputError, match=message):
        ImageSet.of(tmp_path / "stack.npy", bands=bands)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.asarray([[[[{"a": 1}]]]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"evil\.npy: array file cannot be read"):
        ImageSet.of(tmp_path / "evil.npy")


def test_hdf5_without_images_or_damaged(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ans"] = np.arange(3)
    with pytest.raises(
        InputError,
        match=r"no images in the HDF5 file; must have an array images or image or data.*found ans",
    ):
        ImageSet.of(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"\x89HDF\r\n\x1a\nnothing")
    with pytest.raises(InputError, match=r"HDF5 file is damaged, found .*; fetch it again"):
        ImageSet.of(tmp_path / "b.h5")


def test_hdf5_that_points_into_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(range(256)) * 100)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros((3, 8, 8), np.uint8)
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset(
            "images", (3, 8, 8), np.uint8, external=[(str(tmp_path / "secret.bin"), 0, 192)]
        )
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 8, 8), np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", (3, 8, 8))
        file.create_virtual_dataset("images", layout)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "images")
    for name in ("raw", "virtual"):
        with pytest.raises(InputError, match="array points into another file, found /images"):
            ImageSet.of(tmp_path / f"{name}.h5")
    with pytest.raises(InputError, match="no images in the HDF5 file"):
        ImageSet.of(tmp_path / "link.h5")


@pytest.mark.parametrize("rows", [0, 10**12])
def test_a_stack_that_claims_no_or_endless_rows_is_refused(rows: int, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "images", (rows, 8, 8), np.uint8, chunks=(1, 8, 8), maxshape=(None, 8, 8)
        )
    with pytest.raises(
        InputError, match=rf"number of images; must lie in 1…50000000, found {rows}"
    ):
        ImageSet.of(tmp_path / "a.h5")


def test_a_stack_that_claims_huge_images_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("images", (2, 100_000, 100_000), np.uint8, chunks=(1, 1000, 1000))
    with pytest.raises(
        InputError, match="images are too large; must take at most 1073741824 B each"
    ):
        ImageSet.of(tmp_path / "bomb.h5")


def test_one_image_file_is_a_source_too(tmp_path: Path) -> None:
    (tmp_path / "m51.png").write_bytes(png(0))
    assert ImageSet.of(tmp_path / "m51.png").ids.tolist() == ["m51"]
    assert archive(tmp_path / "m51.png").read("m51.png") == png(0)
