"""A web server that misbehaves costs one line, bounded memory and bounded time."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from web_server import (
    Action,
    WebServer,
    chunks,
    drip_body,
    drip_headers,
    endless,
    in_turn,
    page,
    part_of,
    picture,
    redirect,
    sends,
    serving,
    status,
    unpacks_to,
)

from gzfeatures.errors import GzError, InputError
from gzfeatures.images.image_set import ImageSet

pytest.importorskip("fsspec", minversion="2026.9", reason="the floor of the extra remote")
from gzfeatures.images.sources import web_files
from gzfeatures.web import polite_http, redirects

JPEG = b"\xff\xd8\xff\xe0" + bytes(12)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of time and size, made small; nothing is asked twice."""
    made = polite_http.Service
    monkeypatch.setattr(
        web_files, "Service", lambda **options: made(**options, timeout=0.3, retries=0)
    )
    monkeypatch.setattr(web_files, "PICTURE_BYTES", 2**20)
    monkeypatch.setattr(web_files, "INDEX_BYTES", 2**16)


def reading(server: WebServer, action: Action) -> str:
    """What the error says of an image that is answered so."""
    images = ImageSet.of(server.put_folder({"1.jpg": action}))
    with pytest.raises(InputError, match=r"g/: 1\.jpg: image cannot be read") as caught:
        images.read(0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def listing(address: str) -> str:
    """What the error says of a folder that cannot be listed."""
    with pytest.raises(GzError, match="images cannot be listed") as caught:
        ImageSet.of(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BAD = {
    "redirect loop": (redirect("/g/1.jpg"), "more than 5 redirects"),
    "redirect to a file": (redirect("file:///etc/hostname"), "an address that cannot be used"),
    "redirect to nothing": (redirect("http://[::1"), "an address that cannot be used"),
    "error page": (sends(b"<html>" + bytes(10_000)), "answer is no image, it begins with"),
    "not there": (status(404), "HTTP 404"),
    "always busy": (status(429), r"HTTP 429"),
    "endless chunks": (chunks(endless(JPEG)), "answer is longer than 1048576 bytes"),
    "endless headers": (drip_headers, "not complete within 1.2 s"),
    "slow body": (drip_body, "not complete within 1.2 s"),
    "slow chunks": (chunks(islice(endless(JPEG, b"x"), 400), 0.05), "not complete within 1.2 s"),
    "silence": (lambda handler: time.sleep(1), "no answer within 0.3 s"),
    "length that says more": (sends(JPEG, Content_Length="100"), "no answer|cut off|ncomplete"),
    "length that says terabytes": (
        sends(JPEG, Content_Length=str(2**42)),
        "answer is longer than 1048576 bytes",
    ),
    "length below zero": (sends(JPEG, Content_Length="-5"), "failed|longer|no answer"),
    "packed bomb": (
        sends(unpacks_to(JPEG, 2**26), Content_Encoding="gzip"),
        "answer is longer than 1048576 bytes",
    ),
    "damaged packing": (sends(JPEG, Content_Encoding="gzip"), "connection failed"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("impatient")
def test_a_bad_answer_is_one_line_in_bounded_time_and_memory(case: str, server: WebServer) -> None:
    import re

    action, words = BAD[case]
    tracemalloc.start()
    start = time.monotonic()
    text = reading(server, action)
    took, (_, peak) = time.monotonic() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert re.search(words, text), text
    assert took < 3
    # the server's own parts are in it, too
    assert peak < 2**24, f"{peak} bytes"


@pytest.mark.usefixtures("impatient")
def test_a_length_that_says_less_gives_the_next_image_none_of_the_rest(server: WebServer) -> None:
    one, two = picture(1), picture(2)
    short = sends(one + two, Content_Length=str(len(one)))
    images = ImageSet.of(server.put_folder({"1.jpg": short, "2.jpg": sends(two)}))
    assert images.read(0) == one
    assert images.read(1) == two


def test_a_busy_server_is_asked_again_when_it_said(server: WebServer) -> None:
    busy = in_turn(status(429, Retry_After="1"), sends(picture()))
    images = ImageSet.of(server.put_folder({"1.jpg": busy}))
    assert images.read(0) == picture()
    (_, first), (_, second) = [asked for asked in server.asked if asked[0] == "/g/1.jpg"]
    assert second - first >= 0.9


def test_a_server_that_asks_for_a_day_is_not_waited_for(server: WebServer) -> None:
    assert "HTTP 429, server asks to wait 86400 s" in reading(
        server, status(429, Retry_After="86400")
    )


def test_a_redirect_to_another_host_is_followed_where_both_are_private(server: WebServer) -> None:
    with serving() as other:
        other.paths["/there.jpg"] = sends(picture(7))
        away = redirect(other.url.replace("127.0.0.1", "localhost") + "/there.jpg")
        assert ImageSet.of(server.put_folder({"1.jpg": away})).read(0) == picture(7)


def test_a_redirect_from_a_public_host_to_an_inner_one_is_refused(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirects, "is_public", lambda host: host == "localhost")
    inner = redirect(server.url + "/inner.jpg")
    server.paths["/inner.jpg"] = sends(picture())
    address = server.put_folder({"1.jpg": inner}).replace("127.0.0.1", "localhost")
    with pytest.raises(InputError, match=r"redirected to a private address: 127\.0\.0\.1"):
        ImageSet.of(address).read(0)
    assert "/inner.jpg" not in [path for path, _ in server.asked]


def test_a_redirect_from_https_to_http_is_refused(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # TLS stops before this server; what the policy sees is an https address that points to http
    monkeypatch.setattr(polite_http, "connections", _without_tls(polite_http.connections))
    address = server.put_folder({"1.jpg": redirect(server.url + "/2.jpg")})
    server.paths["/2.jpg"] = sends(picture())
    with pytest.raises(InputError, match=r"redirected from https to http: 127\.0\.0\.1"):
        ImageSet.of(address.replace("http://", "https://")).read(0)
    assert "/2.jpg" not in [path for path, _ in server.asked]


def _without_tls(made: object) -> object:
    """Connections whose https addresses are asked as http."""

    def connections(number: int) -> object:
        manager = made(number)  # type: ignore[operator]
        plain = manager.request

        def request(method: str, url: str, **options: object) -> object:
            return plain(method, url.replace("https://", "http://"), **options)

        manager.request = request
        return manager

    return connections


INDEXES = {
    "endless": (
        chunks(endless(b"<a href='1.jpg'>", b"<b>" * 1000)),
        "no index page, but image/jpeg",
    ),
    "long": (page("<a href='1.jpg'>" + "x" * 2**17), "answer is longer than 65536 bytes"),
    "a program": (sends(b"MZ" + bytes(100), kind="application/octet-stream"), "no index page, but"),
    "loop": (redirect("/g/"), "more than 5 redirects"),
    "slow": (drip_body, "not complete within 1.2 s"),
    "folders without end": (
        lambda handler: handler.answer(b'<a href="in/">in</a>', "text/html"),
        "folders lie more than 32 deep",
    ),
}


@pytest.mark.parametrize("case", INDEXES)
@pytest.mark.usefixtures("impatient")
def test_a_bad_index_is_one_line(case: str, server: WebServer) -> None:
    action, words = INDEXES[case]
    server.paths["/g/"] = action
    for deep in range(1, 40):
        server.paths["/g/" + "in/" * deep] = action
    text = listing(server.url + "/g/")
    assert words in text


def test_a_folder_that_cannot_be_listed_is_not_left_out_in_silence(server: WebServer) -> None:
    address = server.put_folder({"1.jpg": sends(picture()), "closed/": status(403)})
    assert "HTTP 403" in listing(address)


def test_links_that_leave_the_folder_or_ask_something_are_passed_over(server: WebServer) -> None:
    names = [
        "/other/2.jpg",
        "../3.jpg",
        "http://elsewhere.invalid/4.jpg",
        "//elsewhere.invalid/5.jpg",
    ]
    names += [
        "%2e%2e/6.jpg",
        "a/..%2f7.jpg",
        "?C=M;O=A",
        "8.jpg?x=1",
        "file:///9.jpg",
        "http://[::1",
    ]
    server.put_folder({"1.jpg": sends(picture()), **{name: status(500) for name in names}})
    assert ImageSet.of(server.url + "/g/").ids.tolist() == ["1"]


def test_names_are_those_that_links_stand_for(server: WebServer) -> None:
    address = server.put_folder(
        {
            "my%20galaxy.jpg": sends(picture(1)),
            "M&amp;M.jpg": status(404),
            "%E9.jpg": sends(picture(3)),
            "deep/": page("<A HREF='5.jpg'>5</A>"),
        }
    )
    server.paths["/g/M&M.jpg"] = sends(picture(2))
    server.paths["/g/deep/5.jpg"] = sends(picture(5))
    images = ImageSet.of(address)
    assert images.ids.tolist() == ["%E9", "5", "M&M", "my galaxy"]
    assert [images.read(row) for row in range(4)] == [picture(k) for k in (3, 5, 2, 1)]


def test_an_address_keeps_its_closing_slash_and_gets_one_where_the_server_says(
    server: WebServer,
) -> None:
    address = server.put_folder({"1.jpg": sends(picture(1))})
    assert ImageSet.of(address).read(0) == picture(1)
    assert {path for path, _ in server.asked} == {"/g/", "/g/1.jpg"}
    # a Path has no closing slash, whatever it was made from
    assert ImageSet.of(Path(address)).read(0) == picture(1)
    server.paths["/old"] = server.paths["/old/"] = redirect("/g/")
    assert ImageSet.of(server.url + "/old").read(0) == picture(1)
    # a page without a slash that stays where it is
    server.paths["/flat"] = page('<a href="1.jpg"></a> <a href="/flat/2.jpg"></a>')
    server.paths["/flat/1.jpg"] = server.paths["/flat/2.jpg"] = sends(picture(2))
    assert ImageSet.of(server.url + "/flat").ids.tolist() == ["1", "2"]


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def test_a_zip_at_an_address_is_read_by_its_parts(server: WebServer) -> None:
    filler = os.urandom(3 * 2**20)
    data = zipped(("a/1.jpg", picture(1)), ("readme.txt", filler), ("2.jpg", picture(2)))
    server.paths["/g.zip"] = part_of(data)
    images = ImageSet.of(server.url + "/g.zip")
    assert images.ids.tolist() == ["1", "2"]
    assert [images.read(row) for row in range(2)] == [picture(1), picture(2)]


@pytest.mark.usefixtures("impatient")
def test_a_zip_that_lies_is_one_line(server: WebServer) -> None:
    server.paths["/whole.zip"] = sends(zipped(("1.jpg", picture(1))))
    assert "server does not send parts of files" in listing(server.url + "/whole.zip")
    # fetched whole, as README says
    assert ImageSet.of("simplecache::" + server.url + "/whole.zip").read(0) == picture(1)
    server.paths["/other.zip"] = sends(b"x", status=206, Content_Range="bytes 7-7/100")  # type: ignore[arg-type]
    assert "not the part of the file that was asked for" in listing(server.url + "/other.zip")
    server.paths["/huge.zip"] = sends(b"x", status=206, Content_Range=f"bytes 0-0/{2**60}")  # type: ignore[arg-type]
    listing(server.url + "/huge.zip")


def test_a_member_of_a_zip_at_an_address_is_judged_before_it_is_unpacked(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gzfeatures.images.sources import zip_members

    monkeypatch.setattr(zip_members, "MAX_BYTES", 2**20)
    server.paths["/g.zip"] = part_of(zipped(("1.jpg", JPEG + bytes(2**21))))
    with pytest.raises(InputError, match=r"1\.jpg: image is larger than 1048576 bytes"):
        ImageSet.of(server.url + "/g.zip").read(0)
    server.paths["/b.zip"] = part_of(zipped(("1.jpg", picture()), method=zipfile.ZIP_BZIP2))
    with pytest.raises(InputError, match="packed with another method than deflate"):
        ImageSet.of(server.url + "/b.zip").read(0)


def test_images_travel_once_where_a_cache_is_asked_for(server: WebServer) -> None:
    address = "simplecache::" + server.put_folder({"1.jpg": sends(picture(1))})
    images = ImageSet.of(address)
    assert images.read(0) == images.read(0) == picture(1)
    assert [path for path, _ in server.asked].count("/g/1.jpg") == 1


def test_every_web_address_of_a_chain_is_read_by_this_policy(server: WebServer) -> None:
    from gzfeatures.images.sources.remote import _system

    for address in ("http://h/", "HTTPS://h/", "simplecache::https://h/"):
        system, _ = _system(address)
        assert isinstance(getattr(system, "fs", None) or system, web_files.WebFiles), address


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(drip_body, id="slow body"),
        pytest.param(drip_headers, id="slow headers"),
        pytest.param(lambda handler: time.sleep(60), id="silence"),
    ],
)
def test_a_signal_ends_a_verb_that_waits_for_a_server_within_two_seconds(
    number: int, slow: Action, server: WebServer, tmp_path: Path
) -> None:
    asked = threading.Event()

    def action(handler: object) -> None:
        asked.set()
        slow(handler)  # type: ignore[arg-type]

    names = [f"{k}.jpg" for k in range(40)]
    address = server.put_folder(dict.fromkeys(names, action))
    labels = tmp_path / "labels.csv"
    labels.write_text("galaxy_id,label\n" + "".join(f"{k},{'ab'[k % 2]}\n" for k in range(40)))
    verb = ["check", str(labels), "--images", address]
    with subprocess.Popen(
        [sys.executable, "-m", "gzfeatures", *verb],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as child:
        try:
            assert asked.wait(30), child.communicate(timeout=5)
            time.sleep(0.5)
            start = time.monotonic()
            child.send_signal(number)
            _, said = child.communicate(timeout=30)
        finally:
            child.kill()
    assert child.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert time.monotonic() - start < 2, said
    assert said.count("interrupted;") == 1 and "Traceback" not in said
