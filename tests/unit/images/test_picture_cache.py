"""Decoded pictures are kept on disk, so that each file is read and decoded once."""

from __future__ import annotations

import errno
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gzfeatures import user_folders
from gzfeatures.errors import InputError
from gzfeatures.images.galaxy_files import WholePicture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.picture_cache import PictureCache
from gzfeatures.images.sources import folder as image_folder
from gzfeatures.images.view import View

VIEWS = (View(size=32, crop=0.6), View(size=40, crop=0.7, grey=True))
SIZE = 60 * 80 * 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng, folder = np.random.default_rng(0), tmp_path / "images"
    folder.mkdir()
    for number, shape in enumerate([(60, 80, 3), (60, 80, 3), (60, 80), (60, 80)]):
        pixels = rng.integers(0, 255, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.{'jpg' if number % 2 else 'png'}")
    np.save(folder / "5.npy", rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))
    (folder / "6.jpg").write_bytes((folder / "1.jpg").read_bytes()[:900])
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counts: Counter[str] = Counter()
    really = image_folder._file_bytes

    def counted(path: Path) -> bytes:
        counts[path.name] += 1
        return really(path)

    monkeypatch.setattr(image_folder, "_file_bytes", counted)
    return counts


class Lines:
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str, *_: Any) -> None:
        self.lines.append(line)


def all_of(images: ImageSet, rows: range) -> list[Any]:
    """Everything that steps ask of images, as values that can be compared."""
    found: list[Any] = [images.digests(), images.check()]
    for row in rows:
        source = images.network_input(row, VIEWS, digest=images.digest(row))
        assert isinstance(source, WholePicture)
        found += [source.pixels.tobytes(), source.crops, images.picture_hash(row)]
        found += [images.pixels(row, view).tobytes() for view in VIEWS]
    return found


def test_each_file_is_read_once_and_every_step_has_the_same_pixels(
    place: Path, reads: Counter[str]
) -> None:
    images = ImageSet.of(place)
    expected = all_of(images, range(5))
    with PictureCache(10**9) as kept:
        keeping = images.cached_in(kept)
        keeping.check()
        reads.clear()
        assert all_of(keeping, range(5)) == expected
        assert all_of(keeping.select(images.ids), range(5)) == expected
        # nothing but the broken image, whose pixels nobody has
        assert set(reads) <= {"6.jpg"} and kept.pictures == 5


@pytest.mark.parametrize("limit", [0, SIZE, 2 * SIZE])
def test_no_more_is_kept_than_allowed_and_it_is_said(place: Path, limit: int) -> None:
    images, said = ImageSet.of(place), Lines()
    with PictureCache(limit) as kept:
        assert all_of(images.cached_in(kept), range(5)) == all_of(images, range(5))
        assert kept.pictures == limit // SIZE and kept.size <= limit
        kept.say(said)  # type: ignore[arg-type]
    (line,) = said.lines
    assert f"no room for {5 - limit // SIZE} more" in line and "--pixel-gb" in line


def test_a_full_disk_keeps_nothing_and_hurts_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    images = ImageSet.of(place)
    monkeypatch.setattr(os, "pwrite", full)
    with PictureCache(10**9) as kept:
        assert all_of(images.cached_in(kept), range(5)) == all_of(images, range(5))
        assert (kept.pictures, kept.left_out, kept.limit) == (0, 5, 0)


def test_no_more_than_half_of_the_free_disk_is_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk:
        f_bavail, f_frsize = 2 * SIZE + 2, 1

    monkeypatch.setattr(os, "fstatvfs", lambda _: Disk)
    with PictureCache(10**9) as kept:
        ImageSet.of(place).cached_in(kept).check()
        assert (kept.limit, kept.pictures) == (SIZE + 1, 1)


def test_a_file_that_changed_is_read_again_and_refused_under_the_earlier_digest(
    place: Path, reads: Counter[str]
) -> None:
    with PictureCache(10**9) as kept:
        images = ImageSet.of(place).cached_in(kept)
        before = images.digests()
        images.check()
        (place / "0.png").write_bytes((place / "2.png").read_bytes())
        os.utime(place / "0.png", (1, 1))
        with pytest.raises(InputError, match=r"0\.png: image has changed"):
            images.pixels(0, VIEWS[0], digest=before[0])
        assert images.digest(0) == before[2]
        assert (images.pixels(0, VIEWS[0]) == images.pixels(2, VIEWS[0])).all()


def test_digests_of_an_earlier_run_are_not_read_again_but_held_against_the_bytes(
    place: Path, reads: Counter[str]
) -> None:
    plain = ImageSet.of(place)
    digests = dict(zip(plain.ids, plain.digests(), strict=True))
    wrong = digests | {"1": digests["0"]}
    reads.clear()
    with PictureCache(10**9) as kept:
        images = ImageSet.of(place).cached_in(kept)
        images.adopt_digests(wrong)
        assert images.digest(0) == digests["0"] and not reads
        images.pixels(0, VIEWS[0])
        with pytest.raises(InputError, match=r"1\.jpg: image has changed"):
            images.pixels(1, VIEWS[0])


def test_cached_pixels_lie_in_a_file_without_a_name_and_stay_in_their_process(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    with user_folders.scratch_in(scratch), PictureCache(10**9) as kept:
        images = ImageSet.of(place).cached_in(kept)
        images.pixels(0, VIEWS[0])
        assert kept.pictures == 1 and list(scratch.iterdir()) == []
        assert pickle.loads(pickle.dumps(images)).cache is None
        # a forked process reads what is there, and leaves the file alone
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert images.pixels(1, VIEWS[0]).shape == (32, 32, 3) and kept.pictures == 1
    # afterwards images are read as if nothing had been kept
    assert images.pixels(0, VIEWS[0]).shape == (32, 32, 3)
