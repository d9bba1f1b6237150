"""Images at an address give what the same images give on disk."""

from __future__ import annotations

import io
import pickle
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gzfeatures.errors import InputError, MissingExtraError
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.picture_cache import PictureCache
from gzfeatures.images.sources import remote
from gzfeatures.images.view import View

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "more").mkdir(parents=True)
    for number, place in enumerate([root, root, root / "more"]):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.jpg")
    (root / "readme.txt").write_text("no image")
    return root


@pytest.fixture
def web(folder: Path) -> Iterator[str]:
    """Address of the folder on a server of this machine."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def same(there: ImageSet, here: ImageSet) -> bool:
    pixels = [
        np.array_equal(there.pixels(row, View(size=16)), here.pixels(row, View(size=16)))
        for row in range(len(here))
    ]
    return (
        there.ids.tolist() == here.ids.tolist()
        and there.digests() == here.digests()
        and all(pixels)
    )


def test_web_folder_is_read_like_a_folder(web: str, folder: Path) -> None:
    there, here = ImageSet.of(web), ImageSet.of(folder)
    assert same(there, here) and same(pickle.loads(pickle.dumps(there)), here)
    assert same(ImageSet.of(Path(web)), here), "a Path has lost one of the slashes"


def test_image_that_vanishes_from_the_web_is_one_line(web: str, folder: Path) -> None:
    there = ImageSet.of(web)
    (folder / "1.jpg").unlink()
    with pytest.raises(
        InputError,
        match=r"1\.jpg: image cannot be read.*404|1\.jpg: image cannot be read.*NotFound",
    ):
        there.read(1)


def test_zip_at_an_address_is_read_in_place(folder: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for each in sorted(folder.rglob("*.*")):
            file.write(each, each.relative_to(folder))
    fsspec.filesystem("memory").pipe("/images.zip", buffer.getvalue())
    assert same(ImageSet.of("memory://images.zip"), ImageSet.of(folder))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.h5", "a.npy"])
def test_archives_that_threads_cannot_share_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"not read at an address; must be a folder or a \.zip"):
        ImageSet.of(f"memory://{name}")


def test_stamp_is_that_of_the_listing(web: str, folder: Path) -> None:
    before = ImageSet.of(web).stamp()
    (folder / "9.jpg").write_bytes((folder / "1.jpg").read_bytes())
    fsspec.filesystem("http").invalidate_cache()
    assert ImageSet.of(web).stamp() != before


def test_an_image_that_was_exchanged_on_a_web_server_changes_the_stamp(
    web: str, folder: Path
) -> None:
    # an index page states neither size nor time of a file
    before = ImageSet.of(web).stamp()
    assert ImageSet.of(web).stamp() == before
    old, new = (folder / "1.jpg").read_bytes(), (folder / "0.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(new)
    assert ImageSet.of(web).stamp() != before
    (folder / "1.jpg").write_bytes(old)
    assert ImageSet.of(web).stamp() == before
    there = ImageSet.of(web)
    (folder / "1.jpg").unlink()
    assert there.stamp() != before, "an image that is gone"


def test_an_exchanged_web_image_changes_the_stamp_of_images_with_a_cache(
    web: str, folder: Path
) -> None:
    with PictureCache(2**20) as cache:
        images = ImageSet.of(web).cached_in(cache)
        images.digests()
        before = images.stamp()
        (folder / "1.jpg").write_bytes((folder / "0.jpg").read_bytes())
        assert images.stamp() != before


@pytest.mark.parametrize("key", ["blob_id", "hex", "modify"])
def test_versions_of_hugging_face_git_and_ftp_are_known(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/listed/a.npy", b"same length")
    listing = {"/listed/a.npy": {"size": 11, key: "version 7"}}
    monkeypatch.setattr(type(system), "find", lambda *_, **__: listing)
    found = remote.Remote.of("memory://listed", lambda name: name.endswith(".npy"))
    assert found.versions == {"a.npy": "version 7"}


@pytest.mark.parametrize("address", ["memory://zips/images.zip", "memory://pictures"])
def test_a_listing_that_states_checksums_or_times_is_enough(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(pixels: bytes) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr(zipfile.ZipInfo("a.npy"), pixels)
        files = {"/zips/images.zip": buffer.getvalue(), "/pictures/a.npy": pixels}
        for path, data in files.items():
            fsspec.filesystem("memory").pipe(path, data)
        # an open zip file keeps the list that it had
        fsspec.get_filesystem_class("zip").clear_instance_cache()

    monkeypatch.setattr(remote.Remote, "read", lambda *_: pytest.fail("an image was read"))
    put(b"same length 1")
    before = ImageSet.of(address).stamp()
    assert ImageSet.of(address).stamp() == before
    put(b"same length 2")
    assert ImageSet.of(address).stamp() != before


def test_links_that_lead_away_are_not_followed() -> None:
    assert not any(map(remote._below, ["", "../a.jpg", "a/../../b.jpg", "http://elsewhere/a.jpg"]))
    assert remote._below("a..b/c.jpg")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("images", None),
        ("C:\\images", None),
        ("a:b", None),
        ("s3://bucket/a", "s3://bucket/a"),
        (Path("zip::https://host/a.zip"), "zip::https://host/a.zip"),
        ("https://host/images/", "https://host/images/"),
        ("file:///data/images/", "file:///data/images/"),
        (Path("file:///data/images/"), "file:///data/images"),
        (Path("zip::file:///data/a.zip"), "zip::file:///data/a.zip"),
    ],
)
def test_addresses_and_paths_are_told_apart(source: str | Path, found: str | None) -> None:
    assert remote.address(source) == found


def test_a_file_address_is_the_path_that_it_means(folder: Path) -> None:
    spaced = folder.rename(folder.with_name("my images"))
    for address in (spaced.as_uri(), spaced.as_uri() + "/", Path(spaced.as_uri())):
        assert same(ImageSet.of(address), ImageSet.of(spaced))
    assert ImageSet.of((spaced / "1.jpg").as_uri()).ids.tolist() == ["1"]
    with pytest.raises(InputError, match=r"files of another machine; must begin with file:///"):
        ImageSet.of("file://host/images")


def test_too_large_an_image_is_refused_before_it_travels() -> None:
    far = remote.Remote("s3://bucket", "bucket", {"a.jpg": 2**40})
    with pytest.raises(InputError, match=r"a\.jpg: image file is too large; must hold at most"):
        far.read("a.jpg")


def test_address_where_nothing_answers_is_one_line() -> None:
    with pytest.raises(InputError, match=r"images cannot be listed.*check the address"):
        ImageSet.of("http://127.0.0.1:9/images/")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="address needs a further package"):
        ImageSet.of("gs://bucket/images")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[remote\]'"):
        ImageSet.of("s3://bucket/images")


def test_who_waits_for_a_bucket_is_woken_when_the_work_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fsspec.spec import AbstractFileSystem

    from gzfeatures.images.sources import web_files

    reads, release = threading.Event(), threading.Event()

    class Bucket(AbstractFileSystem):  # type: ignore[misc]
        protocol = "bucket"

        def ls(self, path: str, detail: bool = True, **_: object) -> list[object]:
            entry = {"name": f"{path.rstrip('/')}/1.jpg", "size": 6, "type": "file"}
            return [entry if detail else entry["name"]]

        def open(self, *_: object, **__: object) -> io.BytesIO:
            reads.set()
            release.wait(60)
            return io.BytesIO()

    fsspec.register_implementation("bucket", Bucket, clobber=True)
    images, said = ImageSet.of("bucket://g"), []

    def read() -> None:
        with pytest.raises(InputError, match="stopped") as caught:
            images.read(0)
        said.append(str(caught.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert reads.wait(10)
    web_files.service_for("bucket://g").stop()
    thread.join(5)
    assert len(said) == 1 and not release.is_set()
    release.set()
