"""Regions of the map by name, the sky beside it, and selections as files for other programs."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import votable
from browser import Browser

from gzfeatures.errors import InputError
from gzfeatures.features.exchange.vector_files import ids_of_file
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.maps.columns import NONE, MapColumn
from gzfeatures.maps.map_page import MapPage
from gzfeatures.maps.regions import regions

N = 300
HOSTILE = ("</TD><b>", "=1+1,\n2", '"&amp;', "𝔘 é", "00012345678901234567")
GENERATOR = np.random.default_rng(0)
CODES = np.arange(N) % 3
PLACES = (GENERATOR.normal(size=(N, 2)) * 0.3 + 4 * np.eye(3)[CODES][:, :2]).astype(np.float32)
IDS = np.asarray([*HOSTILE, *(f"g{i}" for i in range(N - len(HOSTILE)))], dtype=object)
NAMES = ("round", "<i>spiral</i>", "a name that is much longer than what fits")
SKY = pd.DataFrame(
    {"galaxy_id": IDS, "ra": np.linspace(0, 359.5, N), "dec": np.linspace(-80, 80, N)}
)


@pytest.fixture
def browser(chromium: Browser, tmp_path: Path) -> Browser:
    said = {"settings": {"backbone": "b", "supervised": False}, "quality": {}}
    catalog = SKY.assign(
        ra=SKY["ra"].where(np.arange(N) != 7), dec=SKY["dec"].where(np.arange(N) != 7)
    )
    page = MapPage(
        IDS, PLACES, PLACES, **said, labels=Labels(IDS, NAMES, CODES), catalog=catalog, sky=True
    )
    chromium.renew().open(page.write(tmp_path / "map.html"))
    chromium.until("return document.body.dataset.drawn")
    return chromium


def test_names_of_regions_never_cover_each_other_and_follow_the_zoom(browser: Browser) -> None:
    browser.run("byId('names').checked = false; draw()")
    found = {each["name"] for each in browser.run("return namesDrawn")}
    assert {"round", "<i>spiral</i>"} <= found, found
    for zoom in (0.4, 1, 2, 5, 20):
        browser.run(f"camera.zoom = {zoom}; byId('names').checked = true; draw()")
        boxes = browser.run("return namesDrawn")
        for i, one in enumerate(boxes):
            for other in boxes[:i]:
                apart = abs(one["x"] - other["x"]) >= one["half"] + other["half"]
                assert apart or abs(one["y"] - other["y"]) >= 18, (zoom, one, other)
    assert browser.run("camera.zoom = 1; return regionLevel().name") == "regions 1"
    last = browser.run("camera.zoom = 4000; return [regionLevel().name, regions.length]")
    assert last[0] == f"regions {last[1]}"
    browser.run("byId('regions').checked = byId('names').checked = false; draw()")
    assert browser.run("return namesDrawn.length") == 0
    assert browser.complaints() == []


def test_the_sky_is_coloured_and_selected_on(browser: Browser) -> None:
    assert browser.run("return byId('sky').hidden") is False
    pixels = (
        "const c = byId('sky-chart');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "const colours = new Set(); for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 180) "
        "colours.add([d[i] >> 5, d[i + 1] >> 5, d[i + 2] >> 5].join()); return colours.size"
    )
    assert browser.run(pixels) > 3
    # by keyboard: bounds that run through zero, and no galaxy without a position
    bounds = {"ra-from": "350", "ra-to": "10", "dec-from": "-90", "dec-to": "90"}
    for name, value in bounds.items():
        browser.run(f"byId('{name}').value = '{value}'")
    browser.run("byId('sky-bounds').requestSubmit()")
    rows = browser.run("return selected()")
    inside = (SKY["ra"] >= 350) | (SKY["ra"] <= 10)
    assert rows == [row for row in np.flatnonzero(inside) if row != 7]
    for low, high, inside in (
        (-10, 10, (SKY["ra"] >= 350) | (SKY["ra"] <= 10)),
        (350, 370, (SKY["ra"] >= 350) | (SKY["ra"] <= 10)),
        (-360, -340, SKY["ra"] <= 20),
        (0, 360, SKY["ra"] >= 0),
        (-180, 180, SKY["ra"] >= 0),
        (SKY["ra"][3] - 360, SKY["ra"][5] + 360, SKY["ra"] >= 0),
        (SKY["ra"][290] - 360, SKY["ra"][5] + 360, SKY["ra"] >= 0),
        (SKY["ra"][290] - 360, SKY["ra"][5], (SKY.index >= 290) | (SKY.index <= 5)),
    ):
        rows = browser.run(f"return skyPanel.between({float(low)}, {float(high)}, -90, 90)")
        assert rows == [row for row in np.flatnonzero(inside) if row != 7], (low, high)
    # by mouse: a box over the whole chart
    box = browser.run(
        "byId('sky-chart').scrollIntoView(); const b = byId('sky-chart').getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom]"
    )
    x0, y0, x1, y1 = (round(one) for one in box)
    browser.pointer(
        {"type": "pointerMove", "x": x0 + 1, "y": y0 + 1}, {"type": "pointerDown"},
        {"type": "pointerMove", "x": x1 - 2, "y": y1 - 2}, {"type": "pointerUp"},
    )  # fmt: skip
    assert len(browser.run("return selected()")) == N - 1
    # 12 h is in the centre, and right ascension grows from the right border to the left one
    middle, high = (x0 + x1) // 2, (y0 + y1) // 2
    for left, right, inside in (
        (middle - 20, middle + 20, abs(SKY["ra"] - 180) < 60),
        (middle, x1 - 2, SKY["ra"] <= 182),
    ):
        browser.pointer(
            {"type": "pointerMove", "x": left, "y": high - 40}, {"type": "pointerDown"},
            {"type": "pointerMove", "x": right, "y": high + 40}, {"type": "pointerUp"},
        )  # fmt: skip
        rows = browser.run("return selected()")
        assert len(rows) > 5 and inside[rows].all()
    assert browser.requests() == [] and browser.complaints() == []


def test_selections_are_read_by_other_programs_with_every_id_as_it_is(
    browser: Browser, tmp_path: Path
) -> None:
    browser.run(f"select([...Array({len(HOSTILE) + 3}).keys()])")
    browser.run("byId('csv').click()")
    ids = [*HOSTILE, "g0", "g1", "g2"]
    assert ids_of_file(browser.downloaded("galaxies.csv")).tolist() == ids
    browser.run("byId('votable').click()")
    path = browser.downloaded("galaxies.vot")
    table = votable.parse_single_table(path, verify="exception")
    rows = table.to_table(use_names_over_ids=True)
    assert [str(one) for one in rows["galaxy_id"]] == ids
    np.testing.assert_allclose(np.asarray(rows["ra"])[:7], SKY["ra"][:7])
    assert rows["ra"].mask[7] and rows["ra"].unit == "deg"
    assert table.get_field_by_id_or_name("dec").ucd == "pos.eq.dec;meta.main"
    assert ids_of_file(path).tolist() == ids
    # what XML cannot hold is refused where it would be another galaxy
    browser.run("ids[0] = '\\u0001'; byId('votable').click()")
    assert "control characters" in browser.run("return byId('notice').textContent")


def test_selections_keep_every_digit_of_a_number(chromium: Browser, tmp_path: Path) -> None:
    numbers = {
        "group": np.repeat([1000000007, 1000000008, 1000000009], N // 3),
        "day": 2451545.1234 + np.arange(N) % 7,
        "redshift": (10 + np.arange(N) % 9) / 100,
        "seeing": np.full(N, 0.1),
        "field": np.repeat([1237678598634734123, 1237678598634734124], N // 2),
    }
    page = MapPage(
        IDS,
        PLACES,
        PLACES,
        {"backbone": "b"},
        {},
        catalog=pd.DataFrame({"galaxy_id": IDS, **numbers}),
    )
    chromium.renew().open(page.write(tmp_path / "map.html"))
    chromium.until("return document.body.dataset.drawn")
    kinds = chromium.run("return columns.map((one) => [one.name, one.values.constructor.name])")
    assert ["redshift", "Float32Array"] in kinds and ["day", "Float64Array"] in kinds
    chromium.run("select([0, 100, 200]); byId('csv').click()")
    rows = pd.read_csv(chromium.downloaded("galaxies.csv"), dtype=str)
    assert rows["group"].tolist() == ["1000000007", "1000000008", "1000000009"]
    assert rows["field"].tolist() == ["1237678598634734123"] * 2 + ["1237678598634734124"]
    assert rows["day"].tolist() == [repr(float(numbers["day"][row])) for row in (0, 100, 200)]
    assert rows["redshift"].tolist() == ["0.1", "0.11", "0.12"]
    shown = "return shown(columns.find((one) => one.name === 'group'), 100)"
    assert chromium.run(shown) == "1000000008"
    # the colour bar shows the digits that a number has, not those of its nearest binary number
    choose = (
        "const s = byId('colour'); s.value = [...s.options].find((o) => o.text === '{}').value;"
    )
    chromium.run(choose.format("seeing") + "s.dispatchEvent(new Event('change'))")
    bar = "return document.querySelector('#legend .bar').ariaLabel"
    assert chromium.run(bar) == "Colour bar from 0.1 to 0.1"
    assert chromium.complaints() == []


def test_regions_are_named_by_answers_labels_or_numbers() -> None:
    codes = np.where(CODES == 2, NONE, CODES).astype(np.uint16)
    labelled = MapColumn("label", codes, ("round", "spiral"))
    number = MapColumn("redshift", (CODES * 0.1).astype(np.float32))
    by_label = regions(IDS, PLACES, PLACES, [number, labelled])
    assert {*by_label[0].classes} >= {"round", "spiral"}
    by_number = regions(IDS, PLACES, PLACES, [number])
    assert {"low redshift", "high redshift"} <= {*by_number[0].classes}
    assert all((level.values < len(level.classes)).sum() > N / 2 for level in by_number[:1])


@pytest.mark.parametrize("kind", ["one blob", "all equal", "two equal heaps", "eleven"])
def test_maps_without_parts_have_at_most_one_region(kind: str) -> None:
    n = 11 if kind == "eleven" else N
    places = np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)
    if kind == "all equal":
        places[:] = 1
    if kind == "two equal heaps":
        places = np.repeat(np.eye(2, dtype=np.float32), n // 2, axis=0)
    label = MapColumn("label", np.zeros(n, dtype=np.uint16), ("galaxy",))
    levels = regions(IDS[:n], places, places, [label])
    assert len(levels) == 0 if kind == "eleven" else len(levels) >= 1
    if kind == "all equal":
        assert levels[0].classes == ("galaxy",) and (levels[0].values == 0).all()


@pytest.mark.parametrize("kind", ["int64", "float64", "str"])
def test_ids_of_any_type_have_positions_on_the_sky(tmp_path: Path, kind: str) -> None:
    ids = np.asarray([str(i) for i in range(N)], dtype=object)
    catalog = SKY.assign(galaxy_id=np.arange(N).astype(kind))
    page = MapPage(ids, PLACES, PLACES, {"backbone": "b"}, {}, catalog=catalog, sky=True)
    text = page.write(tmp_path / "map.html").read_text(encoding="utf-8")
    packed = re.search('"sky": ?"([^"]*)"', text)
    assert packed is not None
    places = np.frombuffer(base64.b64decode(packed[1]), "<f8").reshape(-1, 2)
    np.testing.assert_array_equal(places, SKY[["ra", "dec"]].to_numpy())


def test_a_sky_without_positions_is_refused(tmp_path: Path) -> None:
    page = MapPage(IDS, PLACES, PLACES, {"backbone": "b"}, {}, sky=True)
    with pytest.raises(InputError, match=r"must be in columns ra and dec"):
        page.write(tmp_path / "map.html")
