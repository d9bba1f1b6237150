"""ImageSet: ids to pixels, and one clear line for each thing that can be wrong with an image."""

from __future__ import annotations

import io
import pickle
import random
import re
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from processes import processes

from gzfeatures import fingerprint
from gzfeatures.errors import GzError, InputError, MissingFileError
from gzfeatures.images.decode import Decoder
from gzfeatures.images.decoding.decode_rgb import picture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View

VIEW = View(size=16)


def noise(seed: int = 0, side: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (side, side, channels), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, form, **options
    )
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost no data."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(4):
        (tmp_path / f"g{k}.png").write_bytes(encoded(noise(k)))
    return tmp_path


def test_ids_are_stems_at_any_depth_and_hidden_names_are_passed_over(folder: Path) -> None:
    (folder / "spirals").mkdir()
    (folder / "spirals" / "g.5.JPG").write_bytes(encoded(noise(9), "JPEG"))
    (folder / ".g9.png.part.png").write_bytes(b"half")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.png").write_bytes(b"")
    (folder / "readme.txt").write_text("no image")
    images = ImageSet.of(folder)
    assert images.ids.tolist() == ["g.5", "g0", "g1", "g2", "g3"]
    assert images.pixels(1, View(size=24)).tolist() == noise(0).tolist()


def test_wanted_ids_keep_their_order_and_digests_are_those_of_the_files(folder: Path) -> None:
    wanted = np.asarray(["g2", "g0"], dtype=object)
    images = ImageSet.of(folder, wanted)
    assert images.ids.tolist() == ["g2", "g0"] and len(images) == 2
    assert images.digests() == [
        fingerprint.of_file(folder / "g2.png"),
        fingerprint.of_file(folder / "g0.png"),
    ]
    assert images.read(1) == (folder / "g0.png").read_bytes()


def test_missing_images_are_an_error_or_are_listed(folder: Path) -> None:
    wanted = np.asarray(["g0", "gone", "g1", "lost"], dtype=object)
    with pytest.raises(
        MissingFileError, match=r"2 of 4 galaxies have no image, such as gone; .*--on-bad skip"
    ):
        ImageSet.of(folder, wanted)
    images = ImageSet.of(folder, wanted, on_missing="skip")
    assert images.ids.tolist() == ["g0", "g1"] and images.missing == ("gone", "lost")
    assert images.check().asdict() == {"found": 2, "missing": ["gone", "lost"], "broken": []}


def test_a_source_that_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="image source not found"):
        ImageSet.of(tmp_path / "nowhere")
    with pytest.raises(
        InputError, match="no image found; must hold JPEG, PNG, FITS or array files"
    ):
        ImageSet.of(tmp_path)
    (tmp_path / "votes.csv").write_text("galaxy_id\n1\n")
    with pytest.raises(
        InputError, match=r"votes\.csv: not a source of images; must be a folder, \.zip"
    ):
        ImageSet.of(tmp_path / "votes.csv")


def test_two_files_of_one_id_are_refused(folder: Path) -> None:
    (folder / "g0.jpg").write_bytes(encoded(noise(), "JPEG"))
    with pytest.raises(
        InputError, match=r"two files are images of one galaxy.*g0\.jpg and g0\.png"
    ):
        ImageSet.of(folder)


BROKEN = {
    "zero bytes": (b"", "image has zero bytes"),
    "text": (
        b"<html>404</html>",
        "not an image; must be a JPEG, PNG, GIF, TIFF or WebP file, found .*html",
    ),
    "truncated jpeg": (encoded(noise(), "JPEG")[:-200], "image is truncated, found .*truncated"),
    "truncated png": (encoded(noise())[:-300], "image is truncated"),
    "only a header": (encoded(noise(), "JPEG")[:4], "image (is truncated|cannot be decoded)"),
    "broken checksum": (encoded(noise()).replace(b"IDAT", b"IDAX"), "image cannot be decoded"),
    "bomb": (
        png_header(100_000, 100_000),
        "image is too large to decode; must hold at most 64,000,000 pixels",
    ),
    "30,000 px wide": (png_header(30_000, 30_000), "image is too large to decode.*30000×30000"),
    "blank": (
        encoded(np.full((9, 9, 3), 7, np.uint8)),
        r"image is blank: every pixel is \[7, 7, 7\]",
    ),
    "not fits": (b"SIMPLE  = nonsense", "FITS file"),
    "not npy": (b"\x93NUMPY\x01\x00", "array is damaged"),
    "not zip": (b"PK\x03\x04nothing", "image file is damaged"),
    "not gzip": (b"\x1f\x8b\x08nothing", "image is truncated or damaged"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_check_lists_what_is_broken_with_one_line_and_pixels_raises_it(
    kind: str, folder: Path
) -> None:
    data, reason = BROKEN[kind]
    (folder / "g1.png").write_bytes(data)
    images = ImageSet.of(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = images.check()
        assert report.readable == 4 and [name for name, _ in report.broken] == ["g1"]
        assert re.search(reason, report.broken[0][1]), report.broken
        assert "\n" not in report.broken[0][1] and str(folder) not in report.broken[0][1]
        if kind == "blank":
            assert images.pixels(1, VIEW).min() == 7, (
                "a flat picture can be seen; only the check complains"
            )
        else:
            with pytest.raises(InputError, match=rf"g1\.png: {reason}"):
                images.pixels(1, VIEW)


def test_a_bomb_costs_neither_time_nor_memory() -> None:
    start = time.perf_counter()
    with pytest.raises(InputError, match="too large"):
        picture(png_header(60_000, 60_000), where="bomb.png")
    assert time.perf_counter() - start < 0.5


def test_the_limit_of_size_can_be_chosen(folder: Path) -> None:
    assert ImageSet.of(folder, max_pixels=24 * 24).check().broken == ()
    report = ImageSet.of(folder, max_pixels=24 * 24 - 1).check()
    assert len(report.broken) == 4 and "at most 575 pixels, found 24×24" in report.broken[0][1]


def test_a_file_that_vanishes_is_named(folder: Path) -> None:
    images = ImageSet.of(folder)
    (folder / "g2.png").unlink()
    assert images.check().broken == (("g2", "image has vanished"),)
    with pytest.raises(MissingFileError, match=r"g2\.png: image has vanished"):
        images.pixels(2, VIEW)
    assert images.duplicate_groups() == {}


def test_a_file_that_changes_between_digest_and_pixels_is_refused(folder: Path) -> None:
    images = ImageSet.of(folder)
    digest = images.digest(0)
    assert images.pixels(0, VIEW, digest=digest).shape == (16, 16, 3)
    (folder / "g0.png").write_bytes(encoded(noise(99)))
    with pytest.raises(InputError, match=r"g0\.png: image has changed; leave it alone"):
        images.pixels(0, VIEW, digest=digest)


def test_a_link_that_leaves_the_folder_is_not_followed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.png").write_bytes(encoded(noise(7)))
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "inner.png").symlink_to(folder / "g0.png")
    (folder / "door").symlink_to(outside)
    images = ImageSet.of(folder)
    assert images.ids.tolist() == ["g0", "g1", "g2", "g3", "inner", "link"]
    assert images.check().broken == (("link", f"link leaves its folder; must stay under {folder}"),)
    with pytest.raises(InputError, match="link leaves its folder"):
        images.read(5)


def test_duplicate_groups_join_byte_identical_images_only(folder: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "g1.png").read_bytes())
    (folder / "other.png").write_bytes(encoded(noise(1), compress_level=1))
    assert ImageSet.of(folder).duplicate_groups() == {"copy": "copy", "g1": "copy"}


def test_select_and_joined(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("more")
    (other / "h0.png").write_bytes(encoded(noise(10)))
    images, more = ImageSet.of(folder), ImageSet.of(other)
    both = images.select(np.asarray(["g3", "g1"], dtype=object)).joined(more)
    assert both.ids.tolist() == ["g3", "g1", "h0"]
    assert both.digests() == [images.digest(3), images.digest(1), more.digest(0)]
    with pytest.raises(InputError, match="1 of 1 ids are not there, found nobody"):
        images.select(np.asarray(["nobody"], dtype=object))
    with pytest.raises(InputError, match="4 duplicate ids"):
        images.joined(images)


def test_field_of_central_crops_gives_the_same_sky(tmp_path: Path) -> None:
    y, x = np.mgrid[:240, :240]
    frame = np.stack([np.sin(x / 20), np.sin(y / 30), np.cos((x + y) / 40)], 2)
    frame = ((frame + 1) * 120).astype(np.uint8)
    for name, image in (("whole", frame), ("centre", frame[60:180, 60:180])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "g.png").write_bytes(encoded(image))
    view = View(size=32, crop=0.4)
    whole, centre = ImageSet.of(tmp_path / "whole"), ImageSet.of(tmp_path / "centre", field=0.5)
    difference = whole.pixels(0, view).astype(int) - centre.pixels(0, view)
    assert np.abs(difference).max() <= 1
    with pytest.raises(InputError, match=r"view is wider than the images; must crop at most 0\.5"):
        centre.pixels(0, View(size=32))
    with pytest.raises(InputError, match=r"field of the images; must lie in \(0, 1\]"):
        ImageSet.of(tmp_path / "centre", field=1.5)
    assert centre.digest(0) != ImageSet.of(tmp_path / "centre").digest(0), (
        "other pixels, another digest"
    )


def test_stamp_changes_with_a_file_and_with_nothing_else(folder: Path) -> None:
    images = ImageSet.of(folder)
    stamp = images.stamp()
    assert stamp == ImageSet.of(folder).stamp()
    (folder / "g0.png").write_bytes(encoded(noise(50, side=25)))
    changed = images.stamp()
    assert changed != stamp
    (folder / "g0.png").unlink()
    assert images.stamp() not in (stamp, changed)


def pixels_of(images: ImageSet) -> list[bytes]:
    return [images.pixels(row, VIEW).tobytes() for row in range(len(images))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(method: str, folder: Path) -> None:
    images = ImageSet.of(folder)
    expected = pixels_of(images)
    assert pixels_of(pickle.loads(pickle.dumps(images))) == expected
    with processes(2, method) as pool:
        assert pool.map(pixels_of, [images] * 2) == [expected] * 2


def test_threads_read_the_same(folder: Path) -> None:
    images = ImageSet.of(folder)
    expected = pixels_of(images)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: pixels_of(images), range(40))) == [expected] * 40


def test_progress_of_a_check_goes_to_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ImageSet.of(folder).check(progress=True)
    streams = capsys.readouterr()
    assert streams.out == "" and "checking images" in streams.err


def test_places_match_ids(folder: Path) -> None:
    images = ImageSet.of(folder)
    with pytest.raises(InputError, match="images; must have one place per id, found 1 for 4 ids"):
        ImageSet(images.ids, images.galaxy_files, images.places[:1])


# Pictures of every kind


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = (np.arange(24 * 24, dtype=np.uint16) * 100).reshape(24, 24)
    shown = np.asarray(picture(encoded(Image.fromarray(deep)), where="16.png"))
    assert shown.dtype == np.uint8 and np.abs(shown - deep / 257).max() <= 1
    tiff = np.asarray(picture(encoded(Image.fromarray(deep), "TIFF"), where="16.tif"))
    assert (tiff == shown).all()


def test_a_compressed_tiff_is_refused_before_its_reader_writes_to_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(
        InputError, match=r"a\.tif: TIFF is compressed; save it as PNG or as plain TIFF"
    ):
        picture(encoded(noise(), "TIFF", compression="tiff_lzw"), where="a.tif")
    assert capfd.readouterr().err == ""


def test_damaged_exif_is_no_warning() -> None:
    data = encoded(noise(), "JPEG", exif=TURNED)
    place = data.index(b"Exif\0\0") + 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(
            data[: place + 8] + b"\xff\xff" + data[place + 10 :], where="a.jpg"
        ).size == (24, 24)


def test_cmyk_is_shown_as_rgb() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    shown = np.asarray(picture(encoded(red, "JPEG"), where="cmyk.jpg"))
    assert shown.shape == (16, 16, 3) and shown[..., 0].min() > 200 and shown[..., 1:].max() < 60


def test_alpha_is_dropped_and_the_colour_below_kept() -> None:
    colour = noise()
    rgba = np.dstack([colour, np.random.default_rng(1).integers(0, 255, (24, 24), dtype=np.uint8)])
    assert (np.asarray(picture(encoded(rgba), where="rgba.png")) == colour).all()


def test_palettes_are_looked_up() -> None:
    image = Image.fromarray(noise()).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    for form in ("PNG", "GIF"):
        assert (np.asarray(picture(encoded(image, form), where=form)) == expected).all()


def test_a_transparent_palette_is_no_warning() -> None:
    image = Image.fromarray(noise()).quantize(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = picture(encoded(image, transparency=bytes(range(0, 160, 10))), where="p.png")
    assert (np.asarray(shown) == np.asarray(image.convert("RGB"))).all()


def test_a_damaged_animation_is_no_warning() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    data = bytearray(encoded(frames[0], save_all=True, append_images=frames[1:]))
    place = data.index(b"acTL")
    data[place + 4 : place + 8] = bytes(4)
    data[place + 12 : place + 16] = struct.pack(">I", zlib.crc32(data[place : place + 12]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(bytes(data), where="a.png").size == (16, 16)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(form: str) -> None:
    frames = [
        Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))
    ]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50, **options)
    assert np.asarray(picture(data, where=form).convert("RGB"))[8, 8].tolist() == [250, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation: int) -> None:
    upright = np.zeros((24, 16, 3), np.uint8)
    upright[:8, :8], upright[-4:] = (255, 0, 0), (0, 255, 0)
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(turn[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = picture(encoded(stored, "PNG", exif=exif), where="turned.png")
    assert (np.asarray(shown) == upright).all()


def test_grey_and_bilevel_pictures_become_three_channels(tmp_path: Path) -> None:
    grey = noise(channels=1)[..., 0]
    (tmp_path / "l.png").write_bytes(encoded(grey))
    (tmp_path / "one.png").write_bytes(encoded(Image.fromarray(grey > 127)))
    (tmp_path / "la.png").write_bytes(encoded(Image.fromarray(grey).convert("LA")))
    images = ImageSet.of(tmp_path)
    for row in range(3):
        assert images.pixels(row, VIEW).shape == (16, 16, 3)
    assert (images.pixels(0, View(size=24)) == grey[..., None]).all()


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(noise()))
    images = ImageSet.of(tmp_path)
    assert images.check().broken == () and (images.pixels(0, View(size=24)) == noise()).all()


def test_a_frame_larger_than_its_canvas_is_no_warning() -> None:
    gif = bytearray(encoded(Image.fromarray(noise()).quantize(4), "GIF"))
    place = gif.index(b"\x2c\0\0\0\0")
    gif[place + 5 : place + 9] = struct.pack("<HH", 65535, 65535)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"too large|cannot be decoded|truncated"):
            picture(bytes(gif), where="bomb.gif")


# Fuzzing: damaged bytes give an image or one of our errors, soon and without a warning

SMALL = noise(3, side=20)
TURNED = Image.Exif()
TURNED[0x0112], TURNED[0x010E] = 6, "a galaxy"
WHOLE = {
    "jpeg": encoded(SMALL, "JPEG"),
    "progressive": encoded(SMALL, "JPEG", progressive=True),
    "png": encoded(SMALL),
    "palette": encoded(Image.fromarray(SMALL).quantize(8)),
    "gif": encoded(Image.fromarray(SMALL).quantize(8), "GIF"),
    "tiff": encoded(SMALL, "TIFF"),
    "exif": encoded(SMALL, "JPEG", exif=TURNED),
    "webp": encoded(SMALL, "WEBP"),
}


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data) - 1))
        data[place] = draw(st.integers(0, 255))
    data = data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data
    return bytes(data)


def survives(data: bytes) -> None:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contents = Decoder(data, "fuzzed", 1_000_000)
        lines = contents.faults()
        assert all("\n" not in line for line in lines)
        try:
            pixels = contents.see(VIEW)
        except GzError as error:
            assert "\n" not in str(error)
        else:
            assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("form", WHOLE)
def test_damaged_pictures_never_end_in_a_traceback(form: str) -> None:
    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(damaged(WHOLE[form]))
    def check(data: bytes) -> None:
        survives(data)

    check()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"II*\0", b"MM\0*"]
    ),
    st.binary(),
)
def test_noise_behind_a_magic_number_never_ends_in_a_traceback(magic: bytes, rest: bytes) -> None:
    survives(magic + rest)


@pytest.mark.data
def test_real_galaxies_are_whole_and_pairs_are_found(shared_data: Path) -> None:
    images = ImageSet.of(shared_data / "hart16" / "images")
    rows = random.Random(0).sample(range(len(images)), 100)
    some = images.select(images.ids[rows])
    assert some.check().broken == ()
    assert some.pixels(0, View()).shape == (224, 224, 3)
    assert some.duplicate_groups() == {}
