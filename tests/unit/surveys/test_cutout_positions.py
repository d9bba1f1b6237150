"""Cutouts of a galaxy's earlier position are made again, and only where a file may be replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from cutout_server import PIXELS, Server, cutouts_served, galaxy, status
from verbs import called, gz

from gzfeatures import files, outputs
from gzfeatures.errors import InputError, OutputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.images.image_set import ImageSet
from gzfeatures.surveys.cutout_positions import POSITIONS, CutoutPositions, Place, place_in
from gzfeatures.surveys.cutouts import CutoutReport, download
from gzfeatures.surveys.tiles import cut_tiles


@pytest.fixture
def server() -> Iterator[Server]:
    with cutouts_served() as running:
        yield running


def catalog(*places: float, dec: float = 0.0, **columns: object) -> Catalog:
    names = [f"g{k}" for k in range(len(places))]
    frame = pd.DataFrame({"galaxy_id": names, "ra": places, "dec": dec})
    return Catalog.of(frame.assign(**columns))


def fetch(galaxies: Catalog, folder: Path, server: Server, **settings: object) -> CutoutReport:
    options = {"pixels": PIXELS, "backoff": 0.01, "retries": 1, **settings}
    return download(galaxies, folder, base_url=server.url, **options)


def numbers(report: CutoutReport) -> tuple[int, int, int, int]:
    return report.downloaded, report.moved, report.already_there, report.unplaced


def image(folder: Path, name: str) -> bytes:
    return (folder / f"{name}.jpg").read_bytes()


def test_a_galaxy_that_has_moved_is_downloaded_again(tmp_path: Path, server: Server) -> None:
    assert numbers(fetch(catalog(10.0, 10.1, 10.2), tmp_path, server)) == (3, 0, 0, 0)
    again = fetch(catalog(10.0, 10.5, 10.2), tmp_path, server)
    assert numbers(again) == (1, 1, 2, 0) and again.failed == ()
    assert image(tmp_path, "g1") == galaxy(10.5) and image(tmp_path, "g0") == galaxy(10.0)
    assert numbers(fetch(catalog(10.0, 10.5, 10.2), tmp_path, server)) == (0, 0, 3, 0)
    # and back: what a line says of the earlier bytes does not hold for the present ones
    assert numbers(fetch(catalog(10.0, 10.1, 10.2), tmp_path, server)) == (1, 1, 2, 0)
    assert image(tmp_path, "g1") == galaxy(10.1)
    assert len(ImageSet.of(tmp_path).ids) == 3


def test_galaxies_that_exchange_their_ids_exchange_their_images(
    tmp_path: Path, server: Server
) -> None:
    fetch(catalog(10.0, 10.1), tmp_path, server, workers=1)
    assert numbers(fetch(catalog(10.1, 10.0), tmp_path, server, workers=1)) == (2, 2, 0, 0)
    assert [image(tmp_path, name) for name in ("g0", "g1")] == [galaxy(10.1), galaxy(10.0)]


def test_another_size_of_a_galaxy_is_another_cutout(tmp_path: Path, server: Server) -> None:
    fetch(catalog(10.0, 10.1, petro_r90=[20.0, 20.0]), tmp_path, server)
    again = fetch(catalog(10.0, 10.1, petro_r90=[20.1, 30.0]), tmp_path, server)
    assert numbers(again) == (1, 1, 1, 0)
    assert sorted(float(query["scale"]) for query in server.queries) == [0.4, 0.4, 0.6]


@pytest.mark.parametrize(
    ("pixels", "moved", "same"),
    [(32, 0.45, True), (32, 0.55, False), (424, 4.0, True), (424, 4.5, False)],
)
def test_half_a_pixel_or_a_hundredth_of_the_side_is_no_move(
    pixels: int, moved: float, same: bool
) -> None:
    for scale in (0.03, 0.4):
        there = Place(0.0, 60.0, scale)
        for wanted in (
            Place(0.0, 60.0 + moved * scale / 3600, scale),
            Place(360 - 2 * moved * scale / 3600, 60.0, scale),
        ):
            assert (there.change(wanted, pixels) == "") == same


def test_angles_are_right_at_the_origin_and_at_the_poles() -> None:
    for a, b in (
        ((359.9999, 12.0), (0.0001, 12.0)), ((10.0, 89.9999), (190.0, 89.9999)),
        ((10.0, -90.0), (200.0, -90.0)), ((10.0, 89.9), (200.0, 89.95)),
        ((10.0, 3.0), (190.0, -3.0)),
    ):  # fmt: skip
        true = SkyCoord(*a, unit="deg").separation(SkyCoord(*b, unit="deg")).arcsec
        assert Place(*a, 1.0).arcsec_to(Place(*b, 1.0)) == pytest.approx(true, abs=1e-6)


def test_the_old_image_stays_until_the_new_one_has_arrived(tmp_path: Path, server: Server) -> None:
    fetch(catalog(10.0), tmp_path, server)
    server.plans[10.5] = [status(503)] * 9
    report = fetch(catalog(10.5), tmp_path, server)
    reason = "the file that is there shows a position 1800.0 arcsec away"
    assert reason in report.failed[0][1] and image(tmp_path, "g0") == galaxy(10.0)
    server.plans.clear()
    assert numbers(fetch(catalog(10.5), tmp_path, server)) == (1, 1, 0, 0)


def test_a_folder_of_an_older_build_keeps_its_images_and_says_so(
    tmp_path: Path, server: Server
) -> None:
    fetch(catalog(10.0, 10.1), tmp_path, server)
    (tmp_path / POSITIONS).unlink()
    again = fetch(catalog(10.0, 10.5, 10.2), tmp_path, server)
    assert numbers(again) == (1, 0, 2, 2) and image(tmp_path, "g1") == galaxy(10.1)
    (tmp_path / "g1.jpg").unlink()
    assert numbers(fetch(catalog(10.0, 10.5, 10.2), tmp_path, server)) == (1, 0, 2, 1)


def mosaic(folder: Path) -> Path:
    """Write a tile around ra 0 and dec 0 whose pixels all differ."""
    folder.mkdir()
    data = pd.Series(range(300 * 300)).to_numpy("float32").reshape(300, 300)
    header = fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 0.0, "CRVAL2": 0.0, "CRPIX1": 150.5,
        "CRPIX2": 150.5, "CDELT1": -0.4 / 3600, "CDELT2": 0.4 / 3600, "FILTER": "r",
    })  # fmt: skip
    fits.PrimaryHDU(data, header).writeto(folder / "a.fits")
    return folder


@pytest.mark.parametrize("listed", [True, False])
def test_cutouts_of_tiles_are_known_by_the_list_or_by_their_header(
    listed: bool, tmp_path: Path
) -> None:
    tiles, folder = mosaic(tmp_path / "tiles"), tmp_path / "out"

    def cut(ra: float, **options: bool) -> CutoutReport:
        return cut_tiles(catalog(ra), folder, tiles, pixels=32, **options)

    cut(359.9999)
    first = (folder / "g0.fits").read_bytes()
    if not listed:
        (folder / POSITIONS).unlink()
    assert numbers(cut(359.9999)) == (0, 0, 1, 0)
    moved = cut(0.008)
    if not listed:
        # nothing shows that the file is no image of the user's
        assert "shows a position 29.2 arcsec away; move it away" in moved.failed[0][1]
        assert (folder / "g0.fits").read_bytes() == first
        moved = cut(0.008, overwrite=True)
    assert numbers(moved) == (1, 1, 0, 0)
    fresh = tmp_path / "fresh"
    cut_tiles(catalog(0.008), fresh, tiles, pixels=32)
    assert (folder / "g0.fits").read_bytes() == (fresh / "g0.fits").read_bytes() != first


def test_every_cutout_of_tiles_has_the_position_of_its_header(tmp_path: Path) -> None:
    tiles, folder = mosaic(tmp_path / "tiles"), tmp_path / "out"
    places = [0.0, 0.00003, 359.99997, 0.0021, 0.00217]
    cut_tiles(catalog(*places), folder, tiles, pixels=8)
    (folder / POSITIONS).unlink()
    assert numbers(cut_tiles(catalog(*places), folder, tiles, pixels=8)) == (0, 0, 5, 0)


def test_damaged_coordinates_are_no_position() -> None:
    flat = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CRVAL2": 1.0})
    for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        flat[name] = 0.0
    assert place_in(flat, 32) is None and place_in(None, 32) is None


def test_in_a_folder_with_files_of_the_users_a_moved_cutout_is_listed(
    tmp_path: Path, server: Server
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    fetch(catalog(10.0, 10.1), tmp_path, server)
    report = fetch(catalog(10.0, 10.5), tmp_path, server)
    assert report.failed == (
        (
            "g1",
            "a file that is there shows a position 1440.0 arcsec away; move it away, "
            "or say --overwrite",
        ),
    )
    assert image(tmp_path, "g1") == galaxy(10.1)
    assert numbers(fetch(catalog(10.0, 10.5), tmp_path, server, overwrite=True)) == (1, 1, 1, 0)


def test_a_picture_of_the_users_under_the_name_of_a_cutout_is_kept(
    tmp_path: Path, server: Server
) -> None:
    fetch(catalog(10.0), tmp_path, server)
    (tmp_path / "g0.jpg").write_bytes(galaxy(77.0))
    assert numbers(fetch(catalog(10.5), tmp_path, server)) == (0, 0, 1, 1)
    assert image(tmp_path, "g0") == galaxy(77.0)


def test_the_verb_says_how_many_galaxies_have_moved(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["cutouts", "c.csv", "-o", "out", "--base-url", server.url, "--pixels", PIXELS]
    Path("c.csv").write_text("galaxy_id,ra,dec\ng0,10,0\ng1,10.1,0\n")
    assert gz(*words)["downloaded"] == 2
    Path("c.csv").write_text("galaxy_id,ra,dec\ng0,10,0\ng1,10.5,0\n")
    result = called(*words)
    assert "1 galaxy has a new position or scale in the catalog: its cutout was" in result.stderr
    assert image(Path("out"), "g1") == galaxy(10.5)
    (Path("out") / POSITIONS).unlink()
    assert "positions of 2 cutouts that were there already are unknown" in called(*words).stderr
    # the list can be read as a catalog, but lines are not added to what is read
    gz(*words[:3], "again", *words[4:])
    shutil.copytree("again", "third")
    listed = (Path("third") / POSITIONS).read_bytes()
    (Path("third") / "g0.jpg").unlink()
    refused = called("cutouts", f"third/{POSITIONS}", "-o", "third", *words[4:])
    assert refused.returncode == 1 and "would overwrite an input" in refused.stderr
    assert (Path("third") / POSITIONS).read_bytes() == listed


def test_a_file_of_the_users_with_the_name_of_the_list_is_refused(
    tmp_path: Path, server: Server
) -> None:
    (tmp_path / POSITIONS).write_text("galaxy_id,ra,dec\ng0,1,2\n")
    with pytest.raises(InputError, match=f"{POSITIONS}: file has the name of the list.*move it"):
        fetch(catalog(10.0), tmp_path, server)
    assert (tmp_path / POSITIONS).read_text() == "galaxy_id,ra,dec\ng0,1,2\n"


def stopped(*args: object) -> None:
    raise KeyboardInterrupt


KILLS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before the line": lambda patch: patch.setattr(CutoutPositions, "add", stopped),
    "before the image": lambda patch: patch.setattr(files, "put_in_place", stopped),
}


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("then", [10.1, 10.5])
def test_after_a_kill_every_image_is_of_the_catalogs_position(
    kill: str, then: float, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(catalog(10.0, 10.1), tmp_path, server)
    with monkeypatch.context() as patch:
        KILLS[kill](patch)
        with pytest.raises(KeyboardInterrupt):
            fetch(catalog(10.0, 10.5), tmp_path, server)
    assert image(tmp_path, "g0") == galaxy(10.0)
    report = fetch(catalog(10.0, then), tmp_path, server)
    assert report.failed == () and report.unplaced == 0
    assert image(tmp_path, "g1") == galaxy(then)


def test_a_list_that_ends_anywhere_names_no_wrong_position(tmp_path: Path) -> None:
    whole = CutoutPositions(tmp_path, own=True)
    places = {"a,b": Place(1.25, -2.5, 0.4), 'c"d': Place(0.1 + 0.2, 1e-7, 0.4)}
    for name, place in places.items():
        whole.add(name, place, name.encode())
    data = (tmp_path / POSITIONS).read_bytes()
    for end in range(len(data) + 1):
        (tmp_path / POSITIONS).write_bytes(data[:end])
        cut = CutoutPositions(tmp_path, own=True)
        for name, place in places.items():
            assert cut.of(name, name.encode()) in (place, None)
        cut.add("later", Place(5.0, 5.0, 1.0), b"later")
        read = CutoutPositions(tmp_path, own=True)
        assert read.of("later", b"later") == Place(5.0, 5.0, 1.0)
        assert read.of("later", b"other") is None
        for name in places:
            assert read.of(name, name.encode()) == cut.of(name, name.encode())
    assert cut.of("a,b", b"a,b") == places["a,b"], "the whole file"


def test_lines_of_another_process_are_found(tmp_path: Path) -> None:
    one, other = (CutoutPositions(tmp_path, own=True) for _ in range(2))
    for k, each in enumerate((one, other, one)):
        each.add(f"g{k}", Place(float(k), 0.0, 1.0), b"bytes")
    for each in (one, other):
        assert [each.of(f"g{k}", b"bytes") for k in range(3)] == [
            Place(float(k), 0.0, 1.0) for k in range(3)
        ]


def test_a_disk_without_room_for_a_line_is_said(tmp_path: Path) -> None:
    (tmp_path / POSITIONS).mkdir()
    with pytest.raises(OutputError, match=f"{POSITIONS}: cannot be written"):
        CutoutPositions(tmp_path, own=True).add("g", Place(1.0, 1.0, 1.0), b"")


def test_a_folder_that_was_copied_is_still_ours(tmp_path: Path, server: Server) -> None:
    """Under the guard of a command that has no record of the folder's files."""
    fetch(catalog(10.0, 11.7), tmp_path / "out", server)
    with outputs.guarded("cutouts", folders=[tmp_path / "out"]):
        report = fetch(catalog(10.0, 11.8), tmp_path / "out", server)
    assert numbers(report) == (1, 1, 1, 0) and image(tmp_path / "out", "g1") == galaxy(11.8)
