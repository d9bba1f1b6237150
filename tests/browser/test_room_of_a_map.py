"""The room of a map: Fit fills it, a card makes some, and no name is cut at its edges."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from browser import Browser

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.maps.map_page import MapPage

N = 240
LONG = "smooth galaxy in between round and cigar-shaped, without a bulge"
SIZES = ((1400, 900), (400, 800))


@pytest.fixture(scope="module")
def browser(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A wide map of three clusters, the last at its very edge."""
    folder = tmp_path_factory.mktemp("room")
    rng = np.random.default_rng(3)
    codes = np.arange(N) % 3
    centres = np.array([[-4.0, 0.0], [0.0, 0.8], [4.0, -0.5]])
    places = (centres[codes] + 0.2 * rng.normal(size=(N, 2))).astype(np.float32)
    ids = np.array([f"g{number}" for number in range(N)], dtype=object)
    labels = Labels(ids, (LONG, "spiral", "w" * 70), codes, scheme="long")
    catalog = pd.DataFrame({"galaxy_id": ids, "redshift": np.arange(N) / N})
    page = MapPage(ids, places, places, {}, {}, labels=labels, catalog=catalog)
    chromium.renew().open(page.write(folder / "map.html"))
    chromium.until("return document.body.dataset.drawn")
    return chromium


@pytest.fixture(params=SIZES, ids=["wide", "phone"])
def window(browser: Browser, request: pytest.FixtureRequest) -> Browser:
    """The page in a window of a desk, and of a phone."""
    browser.resize(*request.param)
    browser.until(f"draw(); return camera.width === {request.param[0]}")
    browser.run("closeCard(); select([]); fit(); draw()")
    return browser


def spots(browser: Browser, rows: str = "ids.keys()") -> np.ndarray:
    """Places on the screen, shape (n, 2)."""
    return np.array(browser.run(f"return [...{rows}].map((row) => screenOf(row))"))


def room_of(browser: Browser) -> tuple[float, float, float, float]:
    left, top, width, height = browser.run(
        "measure(); return [room.left, room.top, room.width, room.height]"
    )
    return left, top, left + width, top + height


def filled(browser: Browser, rows: str) -> float:
    """Larger share of the room's width or height that galaxies span; all lie inside."""
    left, top, right, bottom = room_of(browser)
    places = spots(browser, rows)
    low, high = places.min(0), places.max(0)
    assert left <= low[0] and high[0] <= right and top <= low[1] and high[1] <= bottom
    return float(max((high - low) / (right - left, bottom - top)))


def test_fit_fills_the_room_with_all_galaxies_or_those_switched_on(window: Browser) -> None:
    assert filled(window, "ids.keys()") > 0.9
    window.run("document.querySelectorAll('#legend .entry')[2].click(); fit()")
    assert filled(window, "ids.keys().filter((row) => !hidden[row])") > 0.9
    window.run("document.querySelectorAll('#legend .entry')[2].click(); fit()")


def test_a_card_covers_none_of_the_galaxies_it_describes_and_gives_the_map_back(
    window: Browser,
) -> None:
    window.run("zoomAt(...screenOf(0), 3)")
    before = window.run("return [camera.x, camera.y, camera.zoom]")
    for row in (0, 1, 2):
        window.run(f"openCard({row})")
        described = f"[{row}, ...neighbours.subarray({row} * 8, {row} * 8 + 8)]"
        places = spots(window, described)
        left, top, right, bottom = room_of(window)
        assert (places[:, 0] >= left).all() and (places[:, 0] <= right).all()
        assert (places[:, 1] >= top).all() and (places[:, 1] <= bottom).all()
        card = window.run("const c = byId('card').getBoundingClientRect(); return [c.left, c.top]")
        covered = (places[:, 0] > card[0]) & (places[:, 1] > card[1])
        assert room_of(window)[2] - room_of(window)[0] >= 60
        if window.run("return camera.width") <= 720:
            assert not covered.any()
    window.run("closeCard()")
    assert window.run("return [camera.x, camera.y, camera.zoom]") == before


def test_no_name_on_the_map_or_in_the_legend_is_cut(window: Browser) -> None:
    drawn = window.run("draw(); return namesDrawn.map((n) => [n.name, n.x, n.y, n.half, n.tall])")
    names = {name for name, *_ in drawn}
    assert len(names) >= 2 and names <= {LONG, "spiral", "w" * 70}
    left, top, right, bottom = room_of(window)
    for _, x, y, half, tall in drawn:
        assert left <= x - half and x + half <= right
        assert top - 1 <= y - tall and y + tall <= bottom + 1
    lines = window.run(f"return linesOf(over, '{'w' * 70}', 190)")
    assert "".join(lines) == "w" * 70 and len(lines) > 1
    entry = "const s = document.querySelectorAll('#legend .entry span')[2];"
    assert window.run(entry + "return s.scrollWidth <= s.clientWidth + 1")
    # and nothing in the panel runs out of it
    wider = "e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'"
    assert (
        window.run(
            "return [...document.querySelectorAll('#panel, #panel *')]"
            f".filter((e) => {wider}).map((e) => e.id || e.className || e.tagName)"
        )
        == []
    )


def test_points_of_few_galaxies_are_larger_than_those_of_many(window: Browser) -> None:
    side = "const n = marks.drawn; marks.drawn = {}; const s = pointSide(); marks.drawn = n; "
    sides = [window.run(side.format(n) + "return s") for n in (100, 5000, 20_000, 100_000)]
    assert sides == sorted(sides, reverse=True) and sides[0] > 2.5 * sides[-1]
    assert sides[-1] >= 2


def test_a_named_selection_is_saved_under_its_name_and_comes_back(browser: Browser) -> None:
    browser.resize(1400, 900)
    browser.run("select([3, 4, 5])")
    write = "const n = byId('selection-name'); n.value = {!r}; n.dispatchEvent(new Event('input'))"
    browser.run(write.format("odd, <b>ones</b>"))
    browser.run("byId('keep').click(); byId('csv').click()")
    file = browser.downloaded("odd-b-ones-b.csv")
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [row["galaxy_id"] for row in rows] == ["g3", "g4", "g5"]
    assert {row["selection"] for row in rows} == {"odd, <b>ones</b>"}
    # with every column that the page shows
    assert {"redshift", "label, long"} <= set(rows[0])
    browser.run("byId('votable').click()")
    text = browser.downloaded("odd-b-ones-b.vot").read_text(encoding="utf-8")
    assert '<TABLE name="odd, &lt;b&gt;ones&lt;/b&gt;">' in text
    browser.run("select([])")
    assert browser.run("return byId('selection').hidden && selectionName") == ""
    browser.run("document.querySelector('#kept button').click()")
    assert browser.run("return selected()") == [3, 4, 5]
    assert browser.run("return byId('selection-name').value") == "odd, <b>ones</b>"
    assert browser.run("return document.querySelectorAll('#kept b').length") == 0
    assert browser.complaints() == []
