"""A page of 10,000 galaxies with pictures to teach on: its size, and who can read and reach it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from PIL import Image

from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.map_page import MapPage
from gzfeatures.synthetic.observation import photograph
from gzfeatures.synthetic.population import member

N, SIDE, KINDS = 10_000, 64, 60
EDGE = 21
WIDE = SIDE + 2 * EDGE
"""Side of a whole image, whose middle 60 % a map shows."""
LONG = "smooth in between round and cigar-shaped, without any bulge"
TAB, ENTER, SPACE, ESCAPE = "\ue004", "\ue007", " ", "\ue00c"
CONTRAST = """
const paint = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
function rgba(colour) {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = colour;
  paint.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = ([r, g, b, a], below) => [r, g, b].map((v, i) => a * v + (1 - a) * below[i]);
const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
const light = (rgb) =>
  .2126 * linear(rgb[0] / 255) + .7152 * linear(rgb[1] / 255) + .0722 * linear(rgb[2] / 255);
function ratio(element) {
  const line = [];
  for (let e = element; e; e = e.parentElement) line.unshift(e);
  let back = rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3), seen = 1;
  for (const e of line) {
    const style = getComputedStyle(e), [r, g, b, a] = rgba(style.backgroundColor);
    seen *= +style.opacity;
    back = over([r, g, b, a * seen], back);
  }
  const [r, g, b, a] = rgba(getComputedStyle(element).color);
  const [x, y] = [light(over([r, g, b, a * seen], back)), light(back)].sort((p, q) => q - p);
  return (x + .05) / (y + .05);
}
const bad = [];
let number = 0;
const texts = (e) => [...e.childNodes].filter((n) => n.nodeType === 3);
const written = (e) => texts(e).map((n) => n.data.trim()).join("");
for (const e of document.querySelectorAll("header *, #tools *, #panel *, #card *, #notice")) {
  const own = e.matches("input, select") ? e.value || e.placeholder : written(e);
  if (!own || !e.checkVisibility() || e.matches(":disabled, option, [type=range]")) continue;
  number++;
  const found = ratio(e);
  const told = `${e.tagName} ${e.id || e.className} "${own.slice(0, 30)}" ${found.toFixed(2)}`;
  if (found < 4.5) bad.push(told);
}
return [number, bad];
"""
"""Every text on the page whose contrast with what lies below it is under 4.5 (WCAG 2.2, AA)."""
CUT = """
const wide = innerWidth, bad = [];
if (document.documentElement.scrollWidth > wide) bad.push("the page scrolls sideways");
const shown = [...document.querySelectorAll("#panel *, #card *, #tools *, header *, #notice")]
  .filter((e) => e.checkVisibility());
const name = (e) => `${e.tagName} ${e.id || e.className} ${e.textContent.slice(0, 20)}`;
for (const e of shown) {
  const box = e.getBoundingClientRect(), style = getComputedStyle(e);
  if (box.left < -.5 || box.right > wide + .5) bad.push(`outside: ${name(e)}`);
  const block = style.display !== "inline" && !e.matches("input, select");
  if (block && e.scrollWidth > e.clientWidth + 1) bad.push(`cut: ${name(e)}`);
}
const KINDS = "button, input, select, strong, h2, output, #taught div";
const parts = shown.filter((e) => e.matches(KINDS));
const place = (e) => e.closest("#card, #panel, #tools, header");
for (const [i, a] of parts.entries()) for (const b of parts.slice(i + 1)) {
  if (a.contains(b) || b.contains(a) || place(a) !== place(b)) continue;
  const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
  const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
  const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
  if (width > 1 && height > 1) bad.push(`${name(a)} lies over ${name(b)}`);
}
return bad;
"""
"""Whatever is cut off, runs out of the window or lies over something else."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn galaxies, each turned and mirrored on a sky of its own, since drawing takes longer."""
    folder = tmp_path_factory.mktemp("ten-thousand")
    rng = np.random.default_rng(0)
    kinds = []
    for number in range(KINDS):
        jpeg = photograph(member(number, 0, rng).shape, WIDE, rng, rng)
        kinds.append(np.asarray(Image.open(io.BytesIO(jpeg)))[EDGE:-EDGE, EDGE:-EDGE])
    stack = np.empty((N, SIDE, SIDE, 3), dtype=np.uint8)
    # a sky is a window of a larger one, at a place of its own
    wide = rng.normal(0, 3, (8 * SIDE, 8 * SIDE, 3)).astype(np.float32)
    corners = rng.integers(0, 7 * SIDE, (N, 2))
    for row, (y, x) in enumerate(corners):
        drawn = np.rot90(kinds[row % KINDS], row // KINDS % 4)
        sky = wide[y : y + SIDE, x : x + SIDE]
        stack[row] = np.clip(drawn[:, :: (-1) ** (row % 2)] + sky, 0, 255)
    np.save(folder / "stack.npy", stack)
    images = ImageSet.of(folder / "stack.npy")
    codes = np.arange(N) % KINDS % 3
    vectors = (rng.normal(size=(N, 128)) + 3 * np.eye(128)[codes]).astype(np.float32)
    view = View(size=SIDE)
    page = MapPage(images.ids, vectors[:, :2], vectors, {}, {}, images=images, view=view)
    return page.write(folder / "map.html")


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Browser:
    """The page without labels."""
    chromium.renew().resize(1280, 800)
    chromium.open(page)
    chromium.until("return document.body.dataset.drawn")
    return chromium


def test_ten_thousand_galaxies_with_pictures_are_at_most_25_megabytes(
    browser: Browser, page: Path
) -> None:
    assert page.stat().st_size <= 25e6
    shown = browser.run("return [count, page.sheets.size, page.sheets.missing, page.sheets.tiles]")
    assert shown[:3] == [N, SIDE, 0]
    assert browser.run("return tiles.every((tile) => tile >= 0)")
    # and the pictures are no smaller for it: a sheet has all its pixels
    size = "return createImageBitmap(new Blob([decoded(byId('sheet-0').textContent)]))"
    assert browser.run(size + ".then((sheet) => sheet.width)") == 12 * SIDE


def test_galaxies_are_taught_from_the_keyboard_alone(browser: Browser) -> None:
    browser.keys(TAB)
    for name in ("spiral", "smooth"):
        browser.keys("c")
        assert browser.run("return document.activeElement.id") == "class-name"
        browser.keys(name + ENTER)
    assert browser.run("return teach.classes") == ["spiral", "smooth"]
    browser.keys("n")
    for number in range(6):
        browser.keys("12"[number % 2])
        browser.until(f"return answers.all.size === {number + 1}")
    browser.keys("x")
    browser.until("return [...answers.all.values()].some((one) => one.label === '')")
    browser.keys("u")
    browser.until("return answers.all.size === 6")
    browser.keys(ESCAPE)
    # the tabulator reaches everything of the panel, and shows where it is
    wanted = (
        "return [...document.querySelectorAll('#teach button, #teach input, #teach select')]"
        ".filter((e) => e.checkVisibility() && !e.disabled).length"
    )
    reached = set()
    for _ in range(90):
        browser.keys(TAB)
        at, outline = browser.run(
            "const e = document.activeElement, all = [...document.querySelectorAll('#teach *')];"
            "return [all.indexOf(e), getComputedStyle(e).outlineStyle]"
        )
        if at >= 0:
            assert outline == "solid"
            reached.add(at)
    assert len(reached) == browser.run(wanted) > 12
    browser.run("document.querySelector('[data-view=certain]').focus()")
    browser.keys(SPACE)
    browser.until("return document.querySelector('[data-view=certain]').ariaPressed === 'true'")
    assert browser.run("return document.querySelectorAll('#asked .face').length") == 15
    assert browser.complaints() == []


def taught(browser: Browser) -> None:
    """Labels of three classes, one of a long name, and the card of a galaxy."""
    browser.run(
        f"teach.classes.push('spiral', '{LONG}', '{'w' * 60}');"
        "return (async () => { for (let row = 0; row < 30; row++)"
        " await teach.label([row], teach.classes[row % 3]); teach.ask(); })()"
    )


def test_at_400_pixels_nothing_of_teaching_is_cut_or_lies_over_another(browser: Browser) -> None:
    browser.resize(400, 800)
    browser.until("draw(); return camera.width === 400")
    if browser.run("return byId('panel').classList.contains('folded')"):
        browser.run("byId('fold').click()")
    assert browser.run(CUT) == []
    taught(browser)
    # the card covers the panel, and has buttons of its own
    assert browser.run("return byId('card').querySelectorAll('.gives button').length") == 4
    assert browser.run(CUT) == []
    # what is told lies above the card, where it can be read
    assert browser.run(
        f"byId('notice').textContent = '{LONG}';"
        "const [n, c] = ['notice', 'card'].map((id) => byId(id).getBoundingClientRect());"
        "return n.height > 0 && n.bottom < c.top"
    )
    browser.run(f"byId('notice').textContent = '{'w' * 60}'")
    assert browser.run(CUT) == []
    # no value is squeezed by its long name to a column of letters
    values = "return [...document.querySelectorAll('#card dd')].map((dd) => dd.clientWidth)"
    assert min(browser.run(values)) > 80
    browser.run("closeCard()")
    for view in ("ask", "certain", "disputed"):
        browser.run(f"document.querySelector('[data-view={view}]').click(); closeCard()")
        assert browser.run(CUT) == [], view
    # the last button can be scrolled to
    assert browser.run(
        "byId('labels-csv').scrollIntoView();"
        "const [r, p] = ['labels-csv', 'panel'].map((id) => byId(id).getBoundingClientRect());"
        "return r.bottom <= p.bottom && r.top >= p.top"
    )


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_text_can_be_read_in_light_and_dark(browser: Browser, theme: str, width: int) -> None:
    browser.resize(width, 800)
    if theme == "light":
        browser.run("byId('light').click()")
    if browser.run("return byId('panel').classList.contains('folded')"):
        browser.run("byId('fold').click()")
    taught(browser)
    browser.run("select([1, 2, 3]); document.querySelector('#legend .entry').click()")
    texts, bad = browser.run(CONTRAST)
    assert texts > 30 and bad == []
    # what cannot be read is noticed
    browser.run("document.documentElement.style.setProperty('--soft', 'var(--back)')")
    assert browser.run(CONTRAST)[1]
