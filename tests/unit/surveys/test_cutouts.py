"""The downloader against a local server that misbehaves in every way it promises to survive."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from cutout_server import (
    PIXELS,
    Handler,
    Server,
    body,
    cube,
    cut_off,
    cutouts_served,
    drip,
    fall_silent,
    galaxy,
    hang_up,
    status,
)
from PIL import Image

from gzfeatures.errors import InputError, MissingExtraError, OutputError, UnknownNameError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.images.image_set import ImageSet
from gzfeatures.surveys import downloads
from gzfeatures.surveys.cutouts import CutoutReport, download
from gzfeatures.surveys.surveys import HIPS, SURVEYS, Scale, service_of
from gzfeatures.web import polite_http, redirects
from gzfeatures.web.outcomes import NoAnswer


@pytest.fixture
def server() -> Iterator[Server]:
    with cutouts_served() as running:
        yield running


def positions(n: int, **columns: object) -> Catalog:
    ra = np.round(np.arange(n) * 0.1 + 10, 4)
    frame = pd.DataFrame({"galaxy_id": [f"g{k}" for k in range(n)], "ra": ra, "dec": np.zeros(n)})
    return Catalog(frame.assign(**columns))


def fetch(catalog: Catalog, folder: Path, server: Server, **settings: object) -> CutoutReport:
    return download(
        catalog,
        folder,
        base_url=server.url,
        **{"pixels": PIXELS, "backoff": 0.01, "timeout": 5.0, **settings},
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.glob("[!.]*.jpg")}


def test_every_galaxy_gets_its_own_bytes_and_a_second_call_asks_nothing(
    tmp_path: Path, server: Server
) -> None:
    catalog = positions(30)
    report = fetch(catalog, tmp_path, server)
    assert (report.downloaded, report.already_there, report.failed) == (30, 0, ())
    assert files(tmp_path) == {f"g{k}": galaxy(round(10 + k * 0.1, 4)) for k in range(30)}
    assert report.asdict()["failed"] == []
    asked = len(server.asked)
    assert fetch(catalog, tmp_path, server).already_there == 30
    assert len(server.asked) == asked
    assert ImageSet.of(tmp_path).check().broken == ()
    assert not list(tmp_path.glob(".*"))


SHORT = {"silence": 0.25, "drip": 0.25}
"""Seconds of patience where a fault is about time."""

TRANSIENT = {
    "429": status(429, Retry_After="0"),
    "500": status(500),
    "503": status(503),
    "cut off": cut_off,
    "hang up": hang_up,
    "silence": fall_silent,
    "drip": drip,
    "html page": body(b"<html>Sorry</html>", Content_Type="image/jpeg"),
    "empty": body(b""),
    "blank": body(b""),
    "half a jpeg": body(galaxy(1.0)[:300]),
    "wrong size": body(galaxy(1.0, 16)),
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_fault_that_passes_costs_nothing(fault: str, tmp_path: Path, server: Server) -> None:
    server.plans[10.1] = [TRANSIENT[fault], TRANSIENT[fault]]
    report = fetch(positions(3), tmp_path, server, timeout=SHORT.get(fault, 5.0))
    assert (report.downloaded, report.failed) == (3, ())
    assert files(tmp_path)["g1"] == galaxy(10.1)
    assert Counter(ra for ra, _ in server.asked)[10.1] == 3


BLANK = io.BytesIO()
Image.new("RGB", (PIXELS, PIXELS), (7, 7, 7)).save(BLANK, "PNG")

LASTING = {
    "404": (status(404), "HTTP 404"),
    "500": (status(500), r"HTTP 500 \(3 tries\)"),
    "429": (status(429, Retry_After="0.0"), r"HTTP 429 \(3 tries\)"),
    "hang up": (hang_up, r"connection failed: .*\(3 tries\)"),
    "silence": (fall_silent, r"no answer within 0\.25 s \(3 tries\)"),
    "drip": (drip, r"answer not complete within 1 s \(3 tries\)"),
    "cut off": (cut_off, r"connection failed: .*[Ii]ncomplete|cut off"),
    "html page": (body(b"<html>Sorry</html>"), "not an image; must be a JPEG.*<html>"),
    "empty": (body(b""), "image has zero bytes"),
    "blank": (body(BLANK.getvalue()), "image is blank"),
    "half a jpeg": (body(galaxy(1.0)[:900]), "image is truncated"),
    "wrong size": (body(galaxy(1.0, 16)), "answer is 16×16, not 32×32"),
    "far too long": (status(429, Retry_After="86400"), "HTTP 429, server asks to wait 86400 s"),
    "redirect to a file": (
        status(302, Location="file:///etc/passwd"),
        "redirected to an address that cannot be used",
    ),
    "redirect to nowhere": (status(302), "redirected to an address that cannot be used"),
    "redirect in circles": (lambda h: h.answer(b"", 302, Location=h.path), "more than 5 redirects"),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_is_listed_leaves_no_file_and_is_tried_again(
    fault: str, tmp_path: Path, server: Server
) -> None:
    action, reason = LASTING[fault]
    server.plans[10.1] = [action] * 20
    report = fetch(positions(3), tmp_path, server, timeout=SHORT.get(fault, 5.0), retries=2)
    assert report.downloaded == 2
    assert [name for name, _ in report.failed] == ["g1"]
    assert re.search(reason, report.failed[0][1]), report.failed
    assert "\n" not in report.failed[0][1]
    assert sorted(files(tmp_path)) == ["g0", "g2"]
    server.plans.clear()
    again = fetch(positions(3), tmp_path, server)
    assert (again.downloaded, again.already_there, again.failed) == (1, 2, ())


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_holds_every_thread(as_date: bool, tmp_path: Path, server: Server) -> None:
    wait = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
    server.plans[10.0] = [status(429, Retry_After=wait)]
    server.delay = 0.02
    assert fetch(positions(40), tmp_path, server, workers=2).failed == ()
    times = sorted(when for _, when in server.asked)
    assert max(np.diff(times)) > 0.7, "nobody asks while the server rests"
    again = [when for ra, when in server.asked if ra == 10.0]
    assert again[1] - again[0] > 0.7


def test_rate_is_kept_by_all_threads_together(tmp_path: Path, server: Server) -> None:
    fetch(positions(21), tmp_path, server, rate=50, workers=8)
    times = sorted(when for _, when in server.asked)
    assert times[-1] - times[0] >= 20 / 50 * 0.95


def test_no_more_connections_than_workers(tmp_path: Path, server: Server) -> None:
    server.delay = 0.02
    fetch(positions(40), tmp_path, server, workers=4)
    assert 2 <= server.most_at_once <= 4


def test_redirect_is_followed_within_the_local_network(tmp_path: Path, server: Server) -> None:
    server.plans[10.1] = [
        lambda handler: handler.answer(b"", 302, Location="/moved" + handler.path)
    ]
    assert fetch(positions(3), tmp_path, server).failed == ()


def test_redirect_from_a_public_host_to_a_private_address_is_refused(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirects, "is_public", lambda host: host == "localhost")
    here = f"http://127.0.0.1:{server.server_address[1]}/inner?ra=10.1"
    server.plans[10.1] = [lambda handler: handler.answer(b"", 302, Location=here)]
    public = server.url.replace("127.0.0.1", "localhost")
    report = download(positions(3), tmp_path, base_url=public, pixels=PIXELS)
    assert report.failed == (("g1", "redirected to a private address: 127.0.0.1"),)
    assert len(server.asked) == 3, "the inner address is not asked"


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1", False),
        ("0.0.0.0", False),
        ("no-such-host.invalid", False),
        (None, False),
    ],
)
def test_what_counts_as_public(host: str | None, public: bool) -> None:
    assert redirects.is_public(host) is public


def test_redirect_from_https_to_http_is_refused() -> None:
    with pytest.raises(NoAnswer, match="from https to http"):
        redirects.followed("https://survey.example/a", "http://survey.example/b", public=False)


def test_a_service_that_is_down_is_not_asked_for_every_galaxy(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    report = download(
        positions(60), tmp_path, base_url=url, pixels=PIXELS, workers=2, retries=0, backoff=0.0
    )
    reasons = Counter(reason for _, reason in report.failed)
    assert len(report.failed) == 60
    assert reasons["service does not answer, no longer tried"] >= 60 - polite_http.SILENCE - 2
    assert any("refused" in reason for reason in reasons)


def test_the_previous_galaxys_answer_is_not_saved_under_a_new_name(
    tmp_path: Path, server: Server
) -> None:
    server.plans[10.2] = [body(galaxy(10.1))]
    report = fetch(positions(3), tmp_path, server, workers=1)
    assert (report.downloaded, report.failed) == (3, ())
    assert files(tmp_path)["g2"] == galaxy(10.2)


def test_a_placeholder_served_for_two_positions_becomes_neither(
    tmp_path: Path, server: Server
) -> None:
    placeholder = galaxy(300.0)
    server.plans = {10.1: [body(placeholder)] * 9, 10.3: [body(placeholder)] * 9}
    report = fetch(positions(5), tmp_path, server, workers=1, retries=1)
    reasons = dict(report.failed)
    assert set(reasons) == {"g1", "g3"}
    assert "byte for byte the cutout of g1, another position" in reasons["g3"]
    assert "byte for byte that of g3, removed" in reasons["g1"]
    assert sorted(files(tmp_path)) == ["g0", "g2", "g4"]


def test_two_ids_at_one_position_may_share_an_image(tmp_path: Path, server: Server) -> None:
    frame = pd.DataFrame({"galaxy_id": ["a", "b"], "ra": [10.0, 10.0], "dec": [0.0, 0.0]})
    assert fetch(Catalog(frame), tmp_path, server).downloaded == 2
    assert files(tmp_path)["a"] == files(tmp_path)["b"]


def test_a_broken_file_of_an_earlier_call_is_fetched_again(tmp_path: Path, server: Server) -> None:
    fetch(positions(4), tmp_path, server)
    (tmp_path / "g0.jpg").write_bytes(b"")
    (tmp_path / "g1.jpg").write_bytes(galaxy(10.1)[:400])
    report = fetch(positions(4), tmp_path, server)
    assert (report.downloaded, report.already_there) == (2, 2)
    assert files(tmp_path)["g1"] == galaxy(10.1)


def test_a_picture_of_another_kind_is_left_alone_until_it_is_said(
    tmp_path: Path, server: Server
) -> None:
    mine = galaxy(10.2, 16)
    fetch(positions(4), tmp_path, server)
    (tmp_path / "g2.jpg").write_bytes(mine)
    report = fetch(positions(4), tmp_path, server)
    assert [name for name, _ in report.failed] == ["g2"] and files(tmp_path)["g2"] == mine
    assert "16×16" in report.failed[0][1] and "--overwrite" in report.failed[0][1]
    assert fetch(positions(4), tmp_path, server, overwrite=True).downloaded == 1
    assert files(tmp_path)["g2"] == galaxy(10.2)


def test_nothing_in_a_folder_of_ones_own_is_replaced(tmp_path: Path, server: Server) -> None:
    (tmp_path / "g0.jpg").write_bytes(b"my notes on g0")
    (tmp_path / "g1.jpg").write_bytes(galaxy(300.0, 80))
    mine = files(tmp_path)
    for _ in range(2):
        report = fetch(positions(4), tmp_path, server)
        assert [name for name, _ in report.failed] == ["g0", "g1"]
        assert files(tmp_path) == files(tmp_path) | mine


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/b",
        "a\\b",
        "..",
        ".hidden",
        "a\nb",
        "a\0b",
        "x" * 300,
        "CON:",
        "-rf",
        " g",
    ],
)
def test_an_id_that_is_no_safe_file_name_is_refused_and_writes_nothing(
    name: str, tmp_path: Path, server: Server
) -> None:
    folder = tmp_path / "deep" / "images"
    frame = pd.DataFrame({"galaxy_id": ["good", name], "ra": [10.0, 10.1], "dec": [0.0, 0.0]})
    report = fetch(Catalog(frame), folder, server)
    assert report.failed == ((name, "id is not a safe file name; rename the galaxy"),)
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"good.jpg", "cutouts.json", "cutout_positions.csv"}


def test_missing_positions_and_sizes_are_listed(tmp_path: Path, server: Server) -> None:
    catalog = positions(4, petro_r90=[10.0, np.nan, -9999.0, 2.0])
    catalog = Catalog(catalog.frame.assign(ra=[10.0, 10.1, 10.2, np.nan]))
    report = fetch(catalog, tmp_path, server)
    why = "size that sets the scale is missing or not positive"
    assert report.failed == (("g1", why), ("g2", why), ("g3", "position is missing"))


def test_scale_follows_the_measured_size_down_to_a_minimum(tmp_path: Path, server: Server) -> None:
    catalog = positions(3, petro_r90=[2.0, 20.0, 40.0], gz2_class=["Er", "Sb", "A"])
    report = fetch(catalog, tmp_path, server, pixels=424)
    asked = {float(query["ra"]): query for query in server.queries}
    assert [float(asked[ra]["scale"]) for ra in (10.0, 10.1, 10.2)] == [0.1, 0.4, 0.8]
    assert {query["width"] + query["height"] for query in server.queries} == {"424424"}
    assert report.scale == "0.02 × petro_r90 arcsec/px, at least 0.1"


def test_scale_without_sizes_is_fixed_and_said(tmp_path: Path, server: Server) -> None:
    assert fetch(positions(2), tmp_path, server).scale == "0.396 arcsec/px"
    assert {query["scale"] for query in server.queries} == {"0.396000"}


@pytest.mark.parametrize(
    "column", ["gz2_class", "t01_smooth_or_features_a01_smooth_debiased", "Class1.1", "label"]
)
def test_a_scale_that_follows_the_class_is_refused(column: str) -> None:
    with pytest.raises(
        InputError, match=f"no measured size; must follow petro_r90 or petro_r50, found {column}"
    ):
        Scale(0.02, column)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_positive(factor: float) -> None:
    with pytest.raises(InputError, match="must be above 0 arcsec per pixel"):
        Scale(factor)


def test_two_kinds_of_cutouts_do_not_share_a_folder(tmp_path: Path, server: Server) -> None:
    fetch(positions(2), tmp_path, server)
    before = files(tmp_path)
    with pytest.raises(
        InputError, match=r'cutouts\.json: folder holds cutouts of another kind.*"pixels": 16'
    ):
        fetch(positions(2), tmp_path, server, pixels=16)
    assert files(tmp_path) == before
    (tmp_path / "cutouts.json").write_text("{")
    with pytest.raises(InputError, match="note on the cutouts is damaged; remove it"):
        fetch(positions(2), tmp_path, server)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers; must be at least 1, found 0"),
        ({"retries": -1}, "retries; must be at least 0, found -1"),
        ({"backoff": -1.0}, "backoff; must be at least 0"),
        ({"timeout": 0.0}, "timeout; must be at least"),
        ({"rate": 0.0}, "rate; must be above 0 questions per second"),
        ({"pixels": 4}, "pixels of a cutout; must lie in 8…2048 for sdss, found 4"),
    ],
)
def test_arguments_keep_their_rules(
    settings: dict[str, float], message: str, tmp_path: Path, server: Server
) -> None:
    with pytest.raises(InputError, match=message):
        fetch(positions(1), tmp_path, server, **settings)


def test_unknown_survey_and_bad_address(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError,
        match="unknown survey; must be one of sdss, legacy, legacy-fits, skyview, hips, hips:ID",
    ):
        download(positions(1), tmp_path, survey="sds")
    with pytest.raises(UnknownNameError, match="unknown survey"):
        download(positions(1), tmp_path, survey="sdss:CDS/P/DSS2/color")
    with pytest.raises(
        InputError, match="base URL; must be an http or https address, found ftp://x"
    ):
        download(positions(1), tmp_path, base_url="ftp://x")


def test_a_catalog_without_positions_says_so(tmp_path: Path, server: Server) -> None:
    with pytest.raises(InputError, match="no numeric column for ra"):
        fetch(Catalog(pd.DataFrame({"galaxy_id": ["a"]})), tmp_path, server)


def test_an_unwritable_folder_stops_the_download(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(positions(2), tmp_path / "file" / "images", server)


def test_a_full_disk_stops_the_download_and_keeps_what_is_done(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(positions(2), tmp_path, server)

    def full(path: Path) -> None:
        raise OutputError("cannot be written: No space left on device", where=path)

    monkeypatch.setattr(downloads, "written_whole", full)
    with pytest.raises(OutputError, match="No space left"):
        fetch(positions(50), tmp_path, server)
    assert len(server.asked) < 30, "the rest is not asked for"
    monkeypatch.undo()
    assert fetch(positions(50), tmp_path, server).already_there == 2


def test_a_directory_in_the_place_of_a_file_is_listed(tmp_path: Path, server: Server) -> None:
    (tmp_path / "g0.jpg").mkdir(parents=True)
    report = fetch(positions(2), tmp_path, server)
    assert report.failed == (("g0", "file that is there cannot be read: Is a directory"),)


def test_progress_goes_to_stderr(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plans[10.1] = [status(404)]
    fetch(positions(3), tmp_path, server, progress=True)
    streams = capsys.readouterr()
    assert streams.out == "" and "1 failed" in streams.err and "3/3" in streams.err


def test_legacy_pictures_are_asked_for_by_layer_pixel_scale_and_side(
    tmp_path: Path, server: Server
) -> None:
    report = fetch(positions(2), tmp_path, server, survey="legacy")
    assert report.downloaded == 2 and set(files(tmp_path)) == {"g0", "g1"}
    # without a radius a pixel is that of the survey
    asked = [
        {name: query[name] for name in ("layer", "pixscale", "size")} for query in server.queries
    ]
    assert asked == [{"layer": "ls-dr10", "pixscale": "0.262000", "size": str(PIXELS)}] * 2
    assert ImageSet.of(tmp_path).check().broken == ()


def test_legacy_fits_names_its_bands_and_refuses_others(tmp_path: Path, server: Server) -> None:
    for k in range(5):
        server.plans[round(10 + k / 10, 4)] = [body(cube(10 + k))] * 5
    server.plans[10.1] = [body(cube(10.1, bands="gri"))] * 5
    server.plans[10.2] = [body(cube(10.2, blank="r"))] * 5
    server.plans[10.3] = [body(cube(10.3)[:-4000])] * 5
    report = fetch(positions(5), tmp_path, server, survey="legacy-fits", retries=1)
    reasons = dict(report.failed)
    assert report.downloaded == 2 and set(reasons) == {"g1", "g2", "g3"}
    assert "answer has bands g+r+i, not g+r+z" in reasons["g1"]
    assert "band r is blank" in reasons["g2"]
    assert "image is truncated" in reasons["g3"]
    assert {query["bands"] for query in server.queries} == {"grz"}
    assert ImageSet.of(tmp_path).check().broken == ()


def test_every_survey_is_complete() -> None:
    for name, survey in SURVEYS.items():
        assert survey.url.startswith("https://"), name
        assert survey.pixels <= survey.largest
        if survey.through == "http":
            query = parse_qs(
                service_of(name).query.format(ra=1.5, dec=-0.25, scale=0.4, pixels=64, fov=0.01),
                strict_parsing=True,
            )
            assert {"ra", "dec"} <= set(query)
        assert (survey.suffix == ".fits") == bool(survey.bands)


def hips2fits(handler: Handler) -> None:
    """As much of HiPS2FITS as is asked for: other projections, frames and forms are refused."""
    query = handler.query
    form = {name: query.get(name) for name in ("projection", "coordsys", "format")}
    if (
        form != {"projection": "TAN", "coordsys": "icrs", "format": "jpg"}
        or query["hips"] == "no/a"
    ):
        handler.answer(b'{"title": "Bad request"}', 400)
        return
    handler.answer(galaxy(float(query["ra"]), int(query["width"])))


@pytest.mark.parametrize("hips", ["hips", *(f"hips:{name}" for name in HIPS)])
def test_each_hips_is_asked_for_by_its_identifier_at_the_scale_of_its_survey(
    hips: str, tmp_path: Path, server: Server
) -> None:
    for k in range(2):
        server.plans[round(10 + k / 10, 4)] = [hips2fits]
    report = fetch(positions(2), tmp_path, server, survey=hips)
    name = hips.partition(":")[2] or "CDS/P/PanSTARRS/DR1/color-z-zg-g"
    assert report.downloaded == 2 and report.scale == f"{HIPS[name]:g} arcsec/px"
    (query, other) = server.queries
    assert query["hips"] == other["hips"] == name
    assert float(query["fov"]) == pytest.approx(HIPS[name] * PIXELS / 3600, rel=1e-6)
    assert (query["width"], query["height"]) == (str(PIXELS), str(PIXELS))
    assert json.loads((tmp_path / "cutouts.json").read_text())["survey"] == hips


def test_hips_is_asked_in_the_words_of_astroquery(tmp_path: Path, server: Server) -> None:
    pytest.importorskip("astroquery")
    from astropy import units as u
    from astropy.coordinates import Angle, Latitude, Longitude
    from astroquery.hips2fits import hips2fits as client

    server.plans[10.0] = [hips2fits]
    fetch(positions(1), tmp_path, server, survey="hips:CDS/P/HSC+a/b", scale=0.5)
    (sent,) = server.queries
    theirs = client.query(
        hips="CDS/P/HSC+a/b", width=PIXELS, height=PIXELS, projection="TAN", format="jpg",
        ra=Longitude(10 * u.deg), dec=Latitude(0 * u.deg), fov=Angle(0.5 * PIXELS / 3600 * u.deg),
        get_query_payload=True,
    )  # fmt: skip
    look = ("min_cut", "max_cut", "cmap", "stretch")  # of grey surveys, at the service's defaults
    assert set(sent) == set(theirs) - set(look)
    for word, value in sent.items():
        if isinstance(theirs[word], str):
            assert value == theirs[word]
        else:
            assert float(value) == pytest.approx(theirs[word], abs=1e-8)


def test_a_hips_is_named_whole_and_one_without_known_pixels_needs_a_scale(
    tmp_path: Path, server: Server
) -> None:
    for part in ("hips:", "hips:DSS2", "hips:CDS/P/DSS2/color&ra=1", "hips:{ra}/a"):
        with pytest.raises(InputError, match="HiPS of cutouts; must be named by its whole ident"):
            fetch(positions(1), tmp_path / "x", server, survey=part)
    with pytest.raises(InputError, match=r"scale of cutouts of this HiPS.*petro_r90.*--scale"):
        fetch(positions(1), tmp_path / "x", server, survey="hips:CDS/P/other")
    server.plans[10.0] = [hips2fits]
    sized = positions(1, petro_r90=[10.0])
    report = fetch(sized, tmp_path / "y", server, survey="hips:CDS/P/other")
    assert report.downloaded == 1 and report.scale.startswith("0.02 × petro_r90")
    server.plans[10.0] = [hips2fits]
    refused = fetch(positions(1), tmp_path / "z", server, survey="hips:no/a", scale=1.0, retries=0)
    assert refused.failed == (("g0", "HTTP 400"),)


def test_leftovers_of_a_kill_are_swept_when_they_are_old(tmp_path: Path, server: Server) -> None:
    tmp_path.mkdir(exist_ok=True)
    old, new = tmp_path / ".g0.jpg.abc.part.jpg", tmp_path / ".g1.jpg.abc.part.jpg"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    fetch(positions(2), tmp_path, server)
    assert not old.exists() and new.exists(), "a fresh one may belong to another call"


def test_skyview_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astroquery.skyview", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[skyview\]'"):
        download(positions(1), tmp_path, survey="skyview")


def skyview(handler: Handler) -> None:
    """As much of SkyView as astroquery asks for: a form, a result page, and FITS files."""
    page = urlsplit(handler.path).path
    surveys = "".join(f"<option>SDSS{band}</option>" for band in "ugriz")
    if page.endswith("basicform.pl"):
        form = (
            '<form action="/runquery.pl"><select name="survey" '
            f'id="Optical:SDSS">{surveys}</select></form>'
        )
        handler.answer(form.encode(), Content_Type="text/html")
    elif page.endswith("runquery.pl"):
        query = handler.query
        handler.server.queries.append(query)
        ra = float(query["Position"].split()[0])
        link = f'<a href="/fits/{query["survey"]}.fits?ra={ra}&pixels={query["pixels"]}">FITS</a>'
        handler.answer(b"<p>no data</p>" if ra > 11 else link.encode(), Content_Type="text/html")
    else:
        band = page.removesuffix(".fits")[-1]
        flux = (
            np.random.default_rng(ord(band))
            .normal(ord(band), 1, (PIXELS, PIXELS))
            .astype(np.float32)
        )
        header = fits.Header(
            {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": float(handler.query["ra"])}
        )
        file = io.BytesIO()
        fits.PrimaryHDU(flux, header).writeto(file)
        handler.answer(file.getvalue())


def test_skyview_gives_a_cube_of_named_bands(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("astroquery")

    def do_get(handler: Handler) -> None:
        handler.query = {
            name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()
        }
        skyview(handler)

    monkeypatch.setattr(Handler, "do_GET", do_get)
    frame = pd.DataFrame({"galaxy_id": ["in", "out"], "ra": [10.0, 12.0], "dec": [0.5, 0.5]})
    url = f"http://127.0.0.1:{server.server_address[1]}/current/cgi/basicform.pl"
    report = download(Catalog(frame), tmp_path, "skyview", url, pixels=PIXELS, backoff=0.01)
    assert report.failed == (("out", "SkyView has no image of SDSSu here"),)
    assert {query["survey"] for query in server.queries} == {f"SDSS{band}" for band in "ugriz"}
    assert float(server.queries[0]["imscale"].split(",")[0]) == pytest.approx(0.396 * PIXELS / 3600)
    header = fits.getheader(tmp_path / "in.fits")
    assert header["BANDS"] == "ugriz" and header["BAND3"] == "i"
    data = fits.getdata(tmp_path / "in.fits")
    assert [round(float(plane.mean())) for plane in data] == [ord(band) for band in "ugriz"]
    note = json.loads((tmp_path / "cutouts.json").read_text())
    assert note["survey"] == "skyview"
