"""The interactive map: opened from disk in a headless browser, and read as the text it is."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from PIL import Image

from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.figures import palette
from gzfeatures.figures.sprites import ACROSS, pack
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.columns import NONE, columns, offered
from gzfeatures.maps.map_page import MapPage

HOSTILE = (
    "<script>hacked=1</script>",
    "</script><img src=x onerror=hacked=1>",
    '"><b>&amp;',
    "=1+1,\n2",
    "é{{data}}",
)
N = 200
COLOURS = np.array([[255, 40, 40], [40, 255, 40], [60, 60, 255]], dtype=np.uint8)


def galaxies(n: int = N) -> np.ndarray:
    names = [f"g{i}" for i in range(n)]
    names[: len(HOSTILE)] = HOSTILE
    return np.asarray(names, dtype=object)


def labelled(ids: np.ndarray, k: int = 3) -> Labels:
    names = (*(f"class {i}" for i in range(k - 1)), "<i>last</i>")
    return Labels(ids, names, np.arange(len(ids)) % k, scheme="three<b>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of all galaxies with plain names but g50; each is one colour by its number modulo
    three."""
    root = tmp_path_factory.mktemp("images")
    for i in range(len(HOSTILE), N):
        if i != 50:
            Image.fromarray(np.full((40, 40, 3), COLOURS[i % 3])).save(root / f"g{i}.png")
    (root / "g51.png").write_bytes(b"not an image")
    return root


def grid(n: int = N) -> np.ndarray:
    return np.stack([np.arange(n) % 20, np.arange(n) // 20], axis=1).astype(np.float32)


def page(path: Path, folder: Path | None) -> Path:
    ids = galaxies()
    labels = labelled(ids)
    p = np.full((N, 3), 0.1)
    p[np.arange(N), (np.arange(N) + (np.arange(N) % 10 == 0)) % 3] = 0.8
    predicted = np.arange(N) != 150
    catalog = pd.DataFrame(
        {"galaxy_id": ids, "redshift": np.arange(N) / N, "ra": 180.0, "dec": 1.5, "name": "text"}
    )
    catalog.loc[7, "redshift"] = np.nan
    mirrored = grid() * [-1, 1] + [19, 0]
    mirrored[9] = np.nan
    return MapPage(
        ids,
        grid(),
        grid(),
        settings={"backbone": "resnet18", "supervised": False},
        quality={"trustworthiness": 0.987, "knn_preservation": 0.5},
        labels=labels,
        images=folder,
        predictions={"svm": Predictions(ids[predicted], p[predicted], labels.classes)},
        catalog=catalog,
        layouts={"mirror <b>": mirrored},
        title="Map </title><script>hacked=1</script>",
    ).write(path)


@pytest.fixture(scope="module")
def browser(chromium: Browser, tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Browser:
    chromium.renew().open(page(tmp_path_factory.mktemp("browser") / "map.html", folder))
    chromium.until("return document.body.dataset.drawn")
    return chromium


def at(browser: Browser, row: int) -> dict[str, int]:
    x, y = browser.run(f"return screenOf({row})")
    return {"x": round(x), "y": round(y)}


def test_the_page_opens_without_complaint_and_asks_the_network_for_nothing(
    browser: Browser,
) -> None:
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.run("return marks.gl !== null && marks.drawn") == N
    assert "200 galaxies" in browser.run("return byId('facts').textContent")


def test_the_points_have_the_colours_of_their_classes(browser: Browser) -> None:
    browser.run("fit(); byId('images').value = 'never'; byId('names').checked = false")
    for row in (30, 31, 32):
        spot = at(browser, row)
        seen = browser.run(
            "draw(); const c = new OffscreenCanvas(points.width, points.height).getContext('2d');"
            f"c.drawImage(points, 0, 0); return [...c.getImageData({spot['x']}, "
            f"{spot['y']}, 1, 1).data]"
        )
        expected = [int(palette.CLASS_COLOURS[row % 3][i : i + 2], 16) for i in (1, 3, 5)]
        assert np.allclose(np.array(seen[:3]), np.array(expected), atol=30)
    browser.run("byId('images').value = 'auto'; byId('names').checked = true; redraw()")


@pytest.mark.parametrize("row", [60, 111, 0, 1])
def test_hover_shows_the_galaxy_under_the_pointer(browser: Browser, row: int) -> None:
    browser.run("fit()")
    browser.pointer(
        {"type": "pointerMove", "x": 2, "y": 640}, {"type": "pointerMove", **at(browser, row)}
    )
    text = browser.until(
        "return byId('hover').hidden ? null : byId('hover').querySelector('b').textContent"
    )
    assert text == galaxies()[row]


def test_hover_shows_that_galaxys_own_image(browser: Browser) -> None:
    browser.run("fit()")
    for row in (60, 112, 170):
        browser.pointer({"type": "pointerMove", **at(browser, row)})
        look = (
            "const c = byId('hover').querySelector('canvas'); if (!c) return null;"
            "const p = [...c.getContext('2d').getImageData(128, 128, 1, 1).data]; return "
            "p[3] ? p : null"
        )
        seen = browser.until(look)
        assert np.allclose(seen[:3], COLOURS[row % 3], atol=16)
    browser.pointer({"type": "pointerMove", **at(browser, 50)})
    assert browser.run("return byId('hover').querySelector('canvas')") is None


def test_zoomed_in_images_stand_in_place_of_points(browser: Browser) -> None:
    browser.run("fit()")
    x, y = (at(browser, 110)[k] for k in "xy")
    browser.run(f"byId('names').checked = false; zoomAt({x}, {y}, 6); redraw()")
    browser.until("return imagesDrawn > 4 && [...sheets.values()].every((sheet) => sheet)")
    spot = at(browser, 110)
    seen = browser.run(
        f"draw(); return [...over.getImageData({spot['x']}, {spot['y']}, 1, 1).data]"
    )
    assert np.allclose(seen[:3], COLOURS[110 % 3], atol=16)
    browser.run("byId('names').checked = true; fit()")


def test_names_and_ids_are_text_whatever_they_hold(browser: Browser) -> None:
    assert browser.run("return typeof hacked") == "undefined"
    assert browser.run("return document.querySelectorAll('#panel b, #panel i, img').length") == 0
    assert (
        browser.run("return document.querySelector('h1').textContent")
        == "Map </title><script>hacked=1</script>"
    )
    for row, name in enumerate(HOSTILE):
        browser.run(f"openCard({row})")
        assert browser.run("return document.querySelector('#card h2').textContent") == name
        assert (
            browser.run(
                "return document.querySelectorAll('#card script, #card img, #card b').length"
            )
            == 0
        )
    assert "<i>last</i>" in browser.run("return byId('legend').textContent")
    browser.run("closeCard()")


def test_a_lasso_gives_the_galaxies_inside_it_as_csv(browser: Browser) -> None:
    browser.run("fit()")
    corners = [at(browser, row) for row in (0, 3, 43, 40)]  # columns 0–3 of rows 0–2
    pad = [(-9, 9), (9, 9), (9, -9), (-9, -9)]
    path = [
        {"type": "pointerMove", "x": c["x"] + dx, "y": c["y"] + dy}
        for c, (dx, dy) in zip(corners, pad, strict=True)
    ]
    browser.run("takeTool('lasso')")
    browser.pointer(path[0], {"type": "pointerDown"}, *path[1:], path[0], {"type": "pointerUp"})
    expected = [str(galaxies()[row * 20 + column]) for row in range(3) for column in range(4)]
    assert (
        browser.until("return selected().length && selected().map((row) => ids[row])") == expected
    )
    browser.run("takeTool('pan'); byId('csv').click()")
    saved = browser.downloaded("galaxies.csv")
    rows = list(csv.DictReader(io.StringIO(saved.read_text(encoding="utf-8"), newline="")))
    assert [row["galaxy_id"] for row in rows] == expected
    assert [float(row["x"]) for row in rows] == pytest.approx([0, 1, 2, 3] * 3, abs=1e-4)
    assert [float(row["y"]) for row in rows] == pytest.approx([0] * 4 + [1] * 4 + [2] * 4, abs=1e-4)
    assert [row["label, three<b>"] for row in rows][:3] == ["class 0", "class 1", "<i>last</i>"]


def test_a_box_selects_and_escape_lets_go(browser: Browser) -> None:
    browser.run("fit(); takeTool('box')")
    low, high = at(browser, 65), at(browser, 107)
    browser.pointer(
        {"type": "pointerMove", "x": low["x"] - 8, "y": low["y"] + 8},
        {"type": "pointerDown"},
        {"type": "pointerMove", "x": high["x"] + 8, "y": high["y"] - 8},
        {"type": "pointerUp"},
    )
    assert browser.until("return selected().length && selected()") == [
        65,
        66,
        67,
        85,
        86,
        87,
        105,
        106,
        107,
    ]
    browser.run("takeTool('pan')")
    browser.keys("\ue00c")
    assert browser.run("return selected()") == []


def test_a_click_opens_the_card_with_chances_neighbours_and_the_sky(browser: Browser) -> None:
    browser.run("fit()")
    browser.pointer(
        {"type": "pointerMove", **at(browser, 90)}, {"type": "pointerDown"}, {"type": "pointerUp"}
    )
    assert (
        browser.until(
            "return byId('card').hidden ? null : byId('card').querySelector('h2').textContent"
        )
        == "g90"
    )
    card = browser.run("return byId('card').innerText")
    assert "class 1" in card and "80 %" in card and "wrong" in card
    near = browser.run(
        "return [...document.querySelectorAll('#card .face')].map((face) => face.title)"
    )
    assert len(near) == 8 and set(near[:4]) == {"g89", "g91", "g70", "g110"}
    assert "ra=180&dec=1.5" in browser.run("return document.querySelector('#card a').href")
    browser.keys("\ue00c")
    assert browser.run("return byId('card').hidden")


def test_a_galaxy_nobody_predicted_has_no_chances(browser: Browser) -> None:
    for row, chances in ((149, 3), (150, 0)):
        browser.run(f"openCard({row})")
        assert browser.run("return document.querySelectorAll('#card .chance').length") == chances
    browser.run("closeCard()")


def test_the_whole_map_fits_between_title_tools_and_panel(browser: Browser) -> None:
    browser.run("fit()")
    spots = np.array(browser.run("return ids.map((_, row) => screenOf(row))"))
    edge = "return document.querySelector('{}').getBoundingClientRect().{}"
    assert browser.run(edge.format("header", "bottom")) < spots[:, 1].min()
    assert spots[:, 1].max() < browser.run(edge.format("#tools", "top"))
    assert spots[:, 0].max() < browser.run(edge.format("#panel", "left"))


def test_search_finds_an_id_and_flies_there(browser: Browser) -> None:
    browser.run("const s = byId('search'); s.value = 'g123'; s.dispatchEvent(new Event('input'))")
    assert browser.run(
        "return [...document.querySelectorAll('#found button')].map((b) => b.textContent)"
    ) == ["g123"]
    browser.run("document.querySelector('#found button').click()")
    assert browser.run("return byId('card').querySelector('h2').textContent") == "g123"
    assert np.allclose(browser.run("return screenOf(123)"), browser.run("return middle()"))
    browser.run("const s = byId('search'); s.value = 'nobody'; s.dispatchEvent(new Event('input'))")
    assert browser.run("return byId('found').textContent") == "no such galaxy"
    browser.run(
        "const s = byId('search'); s.value = ''; s.dispatchEvent(new Event('input')); "
        "closeCard(); fit()"
    )


def test_the_legend_switches_classes_off_and_hides_their_points_from_the_pointer(
    browser: Browser,
) -> None:
    browser.run("fit(); document.querySelectorAll('#legend .entry')[1].click()")
    assert browser.run("return marks.drawn") == N - len(range(1, N, 3))
    assert (
        browser.run(
            "return document.querySelectorAll('#legend .entry')[1].getAttribute('aria-pressed')"
        )
        == "false"
    )
    spot = at(browser, 61)
    assert browser.run(f"return nearestTo({spot['x']}, {spot['y']}, 5)") == -1
    browser.run("document.querySelector('#legend .row button').click()")
    assert browser.run("return marks.drawn") == N


def test_numbers_get_a_colour_bar_and_a_range(browser: Browser) -> None:
    browser.run(
        "const s = byId('colour'); s.value = [...s.options].find((o) => o.text === "
        "'redshift').value;"
        "s.dispatchEvent(new Event('change'))"
    )
    assert browser.run("return document.querySelectorAll('#legend .bar').length") == 1
    assert "1 without a value" in browser.run("return byId('legend').textContent")
    low, high = browser.run("return [colourOf(1), colourOf(199)]")
    assert np.allclose(low, [0x46, 0x32, 0x7E]) and np.allclose(high, [0xFD, 0xE7, 0x25])
    browser.run(
        "const i = document.querySelector('#legend input'); i.value = '0.5'; "
        "i.dispatchEvent(new Event('input'))"
    )
    assert browser.run("return marks.drawn") == 100
    browser.run(
        "const i = document.querySelector('#legend input'); i.value = ''; "
        "i.dispatchEvent(new Event('input'));"
        "byId('colour').value = 0; byId('colour').dispatchEvent(new Event('change'))"
    )


def test_the_points_glide_to_another_layout_and_back(browser: Browser) -> None:
    browser.run("fit()")
    first, last = at(browser, 0), at(browser, 19)
    turn = "const s = byId('layout'); s.value = '{}'; s.dispatchEvent(new Event('change'))"
    browser.run(turn.format(1))
    browser.until(f"return Math.abs(screenOf(0)[0] - {last['x']}) < 1 && marks.drawn === {N - 1}")
    assert browser.run("return nearestTo(...screenOf(9), 9)") == -1  # not on that map
    browser.run(turn.format(0))
    browser.until(f"return Math.abs(screenOf(0)[0] - {first['x']}) < 1 && marks.drawn === {N}")


def test_keys_move_and_zoom(browser: Browser) -> None:
    browser.run("fit(); byId('overlay').focus()")
    browser.keys("+")
    assert browser.run("return camera.zoom") == pytest.approx(1.3)
    browser.keys("\ue014")
    assert browser.run("return camera.x") > 0
    browser.keys("0")
    assert browser.run("return [camera.zoom, camera.x]") == [1, 0]


def test_two_fingers_zoom(browser: Browser) -> None:
    browser.run("fit()")
    browser.run(
        "const s = byId('overlay'); s.setPointerCapture = () => {};"
        "const touch = (type, id, x) => s.dispatchEvent(new PointerEvent(type, {pointerId: "
        "id, pointerType: 'touch',"
        " clientX: x, clientY: 300, bubbles: true}));"
        "touch('pointerdown', 7, 400); touch('pointerdown', 8, 500); touch('pointermove', 8, 600);"
        "touch('pointerup', 7, 400); touch('pointerup', 8, 600)"
    )
    assert browser.run("return camera.zoom") == pytest.approx(2.0)
    browser.run("fit()")


def test_a_slow_machine_draws_fewer_points_while_the_map_moves_and_all_at_rest(
    browser: Browser,
) -> None:
    # one script, so that no frame asks for points that there are not
    slow = (
        "marks.drawn = 100000; pace.moving = pace.moved = true; pace.last = 0; pace.most = "
        "Infinity; keepPace(100); const most = pace.most; refilter(); return most"
    )
    assert browser.run(slow) == 40000
    browser.until("return !pace.moving")
    assert browser.run("return marks.drawn") == N


# pages of their own, after those that share one


def test_the_density_of_all_lies_under_a_sample(browser: Browser, tmp_path: Path) -> None:
    ids = galaxies()
    crowd = np.concatenate([np.tile([[4.0, 4.0]], (150, 1)), grid(50)]).astype(np.float32)
    browser.open(
        MapPage(ids, crowd, crowd, settings={}, quality={}, most=20).write(tmp_path / "m.html")
    )
    browser.until("return document.body.dataset.drawn")
    assert browser.complaints() == []
    assert "20 drawn over the density of all" in browser.run("return byId('facts').textContent")
    place = "const c = page.centre, u = page.unit, s = pixels(), m = middle();"
    look = (
        "return over.getImageData(m[0] + (X - c[0]) / u * s, m[1] - (Y - c[1]) / u * s, 1, "
        "1).data[3]"
    )
    seen = [
        browser.run(place + look.replace("X", x).replace("Y", y))
        for x, y in (("4", "4"), ("12.5", "0.5"))
    ]
    assert seen[0] > 40 and seen[1] == 0


def test_a_cube_can_be_turned(browser: Browser, tmp_path: Path) -> None:
    ids = galaxies()[-3:]
    cube = np.array([[-1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    browser.open(MapPage(ids, cube, cube, settings={}, quality={}).write(tmp_path / "m.html"))
    browser.until("return document.body.dataset.drawn")
    assert browser.run("return screenOf(2)[0]") == pytest.approx(browser.run("return middle()[0]"))
    browser.run("turnBy(Math.PI / 2, 0)")
    depth, _ = browser.run("return [placed[4], placed[0]]")
    assert abs(depth) == pytest.approx(0.5, abs=1e-5)  # the cube's depth is half its width
    assert browser.run("return document.querySelector('[data-tool=turn]').hidden") is False


def test_forty_classes_are_told_apart_and_switched(browser: Browser, tmp_path: Path) -> None:
    ids = galaxies()
    labels = Labels(ids, tuple(f"class {i}" for i in range(40)), np.arange(N) % 40, scheme="forty")
    browser.open(
        MapPage(ids, grid(), grid(), settings={}, quality={}, labels=labels).write(
            tmp_path / "m.html"
        )
    )
    browser.until("return document.body.dataset.drawn")
    looks = browser.run(
        "return page.columns[0].classes.map((_, code) => [...classColour(code), "
        "classShape(code)].join())"
    )
    assert len(set(looks)) == 40
    browser.run("document.querySelectorAll('#legend .row button')[1].click()")  # none
    assert browser.run("return marks.drawn") == 0
    browser.run("document.querySelectorAll('#legend .entry')[39].click()")
    assert browser.run("return marks.drawn") == N // 40
    legend = browser.run(
        "const e = document.querySelector('#legend .entries'); return [e.scrollHeight, "
        "e.clientHeight]"
    )
    assert legend[0] > legend[1] > 200  # it scrolls instead of leaving the window


def test_a_galaxy_opens_in_the_browser_without_labels_images_or_neighbours(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open(
        MapPage(galaxies()[-1:], grid(1), grid(1), settings={}, quality={}).write(
            tmp_path / "m.html"
        )
    )
    browser.until("return document.body.dataset.drawn")
    browser.run("openCard(0)")
    assert browser.run("return document.querySelector('#card h2').textContent") == "g199"
    assert browser.complaints() == []


@pytest.mark.data
def test_five_thousand_real_galaxies_fit_in_one_light_file(
    browser: Browser, shared_data: Path, tmp_path: Path
) -> None:
    images = ImageSet.of(shared_data / "gz2" / "images")
    ids = images.ids[:5000]
    places = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    path = MapPage(ids, places, places, settings={}, quality={}, images=images).write(
        tmp_path / "m.html"
    )
    assert path.stat().st_size <= 25e6
    drawn = []
    for _ in range(2):
        browser.open(path)
        drawn.append(float(browser.until("return document.body.dataset.drawn", seconds=60)))
    assert min(drawn) < 3000
    row = 1234
    browser.run(
        f"camera.x = placed[{2 * row}]; camera.y = placed[{2 * row + 1}]; camera.zoom = "
        "300; redraw()"
    )
    browser.pointer(
        {"type": "pointerMove", "x": 5, "y": 400}, {"type": "pointerMove", **at(browser, row)}
    )
    assert (
        browser.until(
            "return byId('hover').hidden ? null : byId('hover').querySelector('b').textContent"
        )
        == ids[row]
    )
    shown = browser.until(
        "const c = byId('hover').querySelector('canvas').getContext('2d').getImageData(0, "
        "0, 256, 256).data;"
        "return c[3] ? [...c].filter((_, i) => i % 4 < 3) : null"
    )
    expected = Image.fromarray(images.pixels(row, View(size=80, crop=0.6))).resize((256, 256))
    assert np.corrcoef(np.asarray(expected).ravel(), np.asarray(shown))[0, 1] > 0.97
    assert browser.complaints() == [] and browser.requests() == []


# ----------------------------------------------------------------------------------------------
# without a browser


def data_of(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    )


def test_the_file_names_no_address_to_fetch(tmp_path: Path, folder: Path) -> None:
    text = page(tmp_path / "map.html", folder).read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "unsafe-eval" not in text
    assert not re.search(
        r"(src|href)\s*=\s*[\"']?https?:|@import|url\(|fetch\(|XMLHttpRequest|import\(", text
    )
    assert "MIT licence" in text and "Gregg Tavares" in text


def test_beyond_the_limit_a_sample_is_drawn_over_the_density_of_all(tmp_path: Path) -> None:
    ids = galaxies()
    data = data_of(
        MapPage(ids, grid(), grid(), settings={}, quality={}, most=50).write(tmp_path / "a.html")
    )
    again = data_of(
        MapPage(ids, grid(), grid(), settings={}, quality={}, most=50).write(tmp_path / "b.html")
    )
    assert len(data["ids"]) == 50 and data["total"] == N and data["density"]["side"] == 512
    assert data == again
    assert (
        data_of(MapPage(ids, grid(), grid(), settings={}, quality={}).write(tmp_path / "c.html"))[
            "density"
        ]
        is None
    )


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_maps_are_written(tmp_path: Path, n: int) -> None:
    ids = np.asarray([f"g{i}" for i in range(n)], dtype=object)
    data = data_of(
        MapPage(ids, grid(n), grid(n), settings={}, quality={}).write(tmp_path / "m.html")
    )
    assert data["ids"] == ids.tolist() and (data["neighbours"] is None) == (n == 1)


def test_a_missing_image_folder_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"image \w+ not found"):
        MapPage(
            galaxies(),
            grid(),
            grid(),
            settings={},
            quality={},
            images=tmp_path / "none",
        ).write(tmp_path / "m.html")
    assert not (tmp_path / "m.html").exists()


def test_sprites_know_their_tile_and_say_what_is_missing(folder: Path) -> None:
    ids = galaxies()
    sprites = pack(ids, grid(), ImageSet.of(folder), View(size=16))
    missing = dict(sprites.missing)
    assert set(missing) == {*HOSTILE, "g50", "g51"}
    assert missing["g50"] == "no image" and "g51" in missing["g51"]
    assert (sprites.pictures[[0, 50, 51]] == -1).all()
    known = sprites.pictures[sprites.pictures >= 0]
    assert sorted(known) == list(range(N - 7))
    sheets = [np.asarray(Image.open(io.BytesIO(sheet))) for sheet in sprites.sheets]
    for row in (60, 121, 199):
        sheet, tile = divmod(int(sprites.pictures[row]), ACROSS**2)
        y, x = divmod(tile, ACROSS)
        assert np.allclose(sheets[sheet][y * 16 + 8, x * 16 + 8], COLOURS[row % 3], atol=16)


def test_columns_are_joined_by_id_and_missing_where_unknown() -> None:
    ids = np.asarray(["a", "b", "c"], dtype=object)
    labels = Labels(
        np.asarray(["c", "x", "a"], dtype=object), ("no", "yes"), np.array([1, 0, 0]), scheme="s"
    )
    p = np.array([0.5, 0.02])
    one = Predictions(ids[:2], np.array([[0.9, 0.1], [0.2, 0.8]]), labels.classes, familiarity=p)
    two = Predictions(ids, np.array([[0.4, 0.6], [0.2, 0.8], [1, 0]]), labels.classes)
    catalog = pd.DataFrame(
        {"galaxy_id": ["c", "a"], "z": [np.inf, 3.0], "text": ["q", ""], "clean": [True, False]}
    )
    found = {c.name: c for c in columns(ids, labels, {"one": one, "two": two}, catalog)}
    assert found["label, s"].values.tolist() == [0, NONE, 1]
    assert found["predicted, one"].values.tolist() == [0, 1, NONE]
    assert found["right or wrong, one"].values.tolist() == [0, NONE, NONE]
    assert found["right or wrong, two"].values.tolist() == [1, NONE, 1]
    np.testing.assert_allclose(found["confidence, one"].values, [0.9, 0.8, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["familiarity_p, one"].values, [0.5, 0.02, np.nan], rtol=1e-6)
    assert "familiarity_p, two" not in found
    np.testing.assert_allclose(found["disagreement"].values, [0.5, 0.0, np.nan], atol=1e-6)
    np.testing.assert_allclose(found["z"].values, [3.0, np.nan, np.nan])
    assert found["text"].classes == ("q",) and found["text"].values.tolist() == [NONE, NONE, 0]
    assert found["clean"].classes == ("no", "yes") and found["clean"].values.tolist() == [
        0,
        NONE,
        1,
    ]


@pytest.mark.parametrize("kind", ["fractions", "multi-label"])
def test_numbers_of_different_questions_give_no_confidence(kind: str) -> None:
    ids = np.asarray(["a", "b"], dtype=object)
    said = Predictions(ids, np.array([[0.9, 0.8], [0.2, 0.8]]), ("ring", "bar"), kind=kind)
    assert not any("confidence" in each.name for each in columns(ids, predictions={"one": said}))


def test_text_with_too_many_values_and_names_of_galaxies_are_not_offered() -> None:
    ids = np.asarray([f"g{i}" for i in range(100)], dtype=object)
    named = {"galaxy_id": ids, "objid": np.arange(100), "url": ids}
    catalog = Catalog(pd.DataFrame({**named, "REDSHIFT": 0.1, "votes": np.arange(100) % 9}))
    assert list(offered(catalog)) == ["galaxy_id", "redshift", "votes"]
    assert columns(ids, catalog=pd.DataFrame({"galaxy_id": ids, "note": ids})) == []
    wide = Catalog(
        pd.DataFrame({"galaxy_id": ids, "REDSHIFT": 0.1, **{f"c{i}": 1.0 for i in range(60)}})
    )
    assert list(offered(wide)) == ["galaxy_id", "redshift"]
    assert list(offered(wide, ["c7", "redshift"])) == ["galaxy_id", "c7", "redshift"]


def test_a_class_has_one_code_in_all_columns_whatever_the_order_of_files() -> None:
    ids = np.asarray(["a", "b"], dtype=object)
    labels = Labels(ids, ("cigar", "round"), np.array([0, 1]))
    one = Predictions(ids, np.array([[0.9, 0.1], [0.6, 0.4]]), ("round", "cigar"))
    found = {c.name: c for c in columns(ids, labels, {"one": one})}
    assert found["label"].classes == found["predicted, one"].classes == ("round", "cigar")
    assert found["label"].values.tolist() == [1, 0] and found[
        "right or wrong, one"
    ].values.tolist() == [1, 0]


def test_vote_fractions_and_several_labels_become_columns() -> None:
    ids = np.asarray(["a", "b"], dtype=object)
    votes = Labels(
        ids, ("smooth", "disk"), np.array([[0.2, 0.8], [np.nan, 1.0]]), target="fractions"
    )
    np.testing.assert_allclose(columns(ids, votes)[0].values, [0.2, np.nan], rtol=1e-6)
    many = Labels(
        ids, ("bar", "ring"), np.array([[True, False], [False, True]]), target="multi-label"
    )
    assert [c.values.tolist() for c in columns(ids[::-1], many)] == [[0, 1], [1, 0]]


def test_a_catalog_that_cannot_colour_a_map_is_refused() -> None:
    ids = np.asarray(["a", "b"], dtype=object)
    with pytest.raises(InputError, match="have a column galaxy_id"):
        columns(ids, catalog=pd.DataFrame({"id": ["a"]}))
    with pytest.raises(InputError, match="duplicate ids"):
        columns(ids, catalog=pd.DataFrame({"galaxy_id": ["a", "a"], "z": [1, 2]}))
    wide = pd.DataFrame(np.zeros((2, 61))).assign(galaxy_id=ids)
    with pytest.raises(InputError, match="at most 60, found 61; choose the columns"):
        columns(ids, catalog=wide)
