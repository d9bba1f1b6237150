"""Every page that is written has a policy under which nothing but its own scripts and styles
counts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from PIL import Image
from reports import labelled, pictures, report
from tables_of import table_of
from web_server import serving

import gzfeatures
from gzfeatures.audit.audit import AuditOptions
from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.figures.content_policy import PLACE, with_policy
from gzfeatures.figures.gallery import Gallery, Picture
from gzfeatures.maps.map_page import MapPage
from gzfeatures.report.worst_errors import write_worst_errors

INJECTED = """<script>hacked = 1</script><img src=x onerror="hacked = 1">\
<a id="way" href="javascript:hacked=1">x</a>
<script src="http://SERVER/x.js"></script><link rel="stylesheet" href="http://SERVER/x.css">
<style>body { --hacked: 1 }</style><p id="styled" style="--hacked: 1">x</p>
<iframe src="http://SERVER/"></iframe><img src="http://SERVER/x.png">\
<object data="http://SERVER/"></object>
<svg><script>hacked = 1</script></svg>\
<form action="http://SERVER/"><button id="send">x</button></form>"""
"""What somebody would put into a page that forgot to escape a text."""
WRITERS = {"map", "report", "gallery", "errors", "audit"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    labels = labelled()
    images = pictures(folder / "images", labels)
    report(labels).write(folder, images)
    ids = labels.ids
    places = np.random.default_rng(0).normal(size=(len(ids), 2)).astype(np.float32)
    said = {"settings": {"seed": 0}, "quality": {"trustworthiness": 0.9}}
    page = MapPage(ids, places, places, **said, labels=labels, images=images)
    page.write(folder / "map.html")
    square = Image.new("RGB", (30, 20), (200, 0, 0))
    Gallery("One", "note", {"first": [Picture("a", "b", square), Picture("c", "d", None)]}).write(
        folder / "gallery.html"
    )
    wrong = np.roll(np.eye(len(labels.classes))[labels.values], 1, axis=1)
    write_worst_errors(folder, Predictions(ids, wrong, labels.classes), labels, images, "test")
    few = labels.select(ids[:90])
    vectors = np.random.default_rng(1).normal(size=(90, 8)) + np.eye(8)[few.codes % 8]
    seeing = pd.DataFrame({"galaxy_id": few.ids, "seeing": vectors[:, 7]})
    catalog = gzfeatures.Catalog.of(seeing)
    options = AuditOptions(draws=19)
    table = table_of(vectors, ids=list(few.ids))
    gzfeatures.audit(table, few, catalog=catalog, options=options, output=folder)
    written = {name: folder / f"{name}.html" for name in WRITERS}
    assert all(path.is_file() for path in written.values())
    return written


@pytest.fixture(scope="module")
def browser(chromium: Browser) -> Browser:
    return chromium.renew()


def policy(text: str) -> dict[str, str]:
    """Directives of a page's policy."""
    (content,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    return dict(part.split(" ", 1) for part in content.split("; "))


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_policy_lists_digests_and_the_page_has_neither_handlers_nor_styles_of_elements(
    name: str, pages: dict[str, Path]
) -> None:
    text = pages[name].read_text("utf-8")
    rules = policy(text)
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == "'none'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'none'|('sha256-[\w+/=]{44}' ?)+", rules[kind]), rules[kind]
    assert re.fullmatch(r"data:( blob:)?", rules["img-src"])
    assert "unsafe" not in str(rules) and "http" not in str(rules)
    tags = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", text)
    assert not re.search(r"<[^<>]*\s(style|on\w+)\s*=", re.sub(r'content="[^"]*"', "", tags))
    # all that the policy governs comes after it
    assert text.index("Content-Security-Policy") < min(
        text.index(word) for word in ("<title", "<style", "<body")
    )


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_page_works_under_its_policy_without_a_complaint(
    name: str, pages: dict[str, Path], browser: Browser
) -> None:
    browser.open(pages[name])
    browser.until("return document.readyState === 'complete'")
    assert browser.complaints() == [] and browser.requests() == []
    assert browser.run("return document.styleSheets.length") >= 1
    # its own styles count, those of single elements as well
    assert browser.run("return getComputedStyle(document.body).marginTop") in ("0px", "24px")
    if name == "gallery":
        widths = "return [...document.querySelectorAll('figure')].map(f => f.clientWidth)"
        assert browser.run(widths) == [192, 128]
    if name == "report":
        width = "return document.querySelector('.interval i').getBoundingClientRect().width"
        assert browser.run(width) > 0
        assert browser.run(
            "const p = document.querySelector('svg path[class*=own]');"
            "return getComputedStyle(p).fill + getComputedStyle(p).stroke"
        )
    if name == "audit":
        assert browser.run("return document.querySelector('svg').clientWidth") > 200
        # on a telephone a figure scrolls in its frame, and the page itself does not
        wide = "return document.documentElement.scrollWidth > window.innerWidth"
        for width in (1400, 400):
            browser.resize(width, 900)
            assert browser.run("return window.innerWidth") == width
            assert not browser.run(wide), width
            assert browser.run("return document.querySelector('h1').clientHeight") > 0
        browser.resize(1200, 900)
    if name == "map":
        assert browser.run("return document.querySelectorAll('#legend .entry').length") > 1


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_what_is_injected_into_a_page_does_nothing(
    name: str, pages: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    text = pages[name].read_text("utf-8")
    with serving() as server:
        injected = INJECTED.replace("http://SERVER", server.url)
        path = tmp_path / "injected.html"
        assert "<body>" in text and "</body>" in text
        path.write_text(text.replace("<body>", "<body>" + injected))
        browser.open(path)
        browser.until("return document.readyState === 'complete'")
        browser.run(
            "document.getElementById('way').click(); document.getElementById('send').click()"
        )
        assert browser.run("return typeof hacked") == "undefined"
        styled = (
            "return "
            "getComputedStyle(document.getElementById('styled')).getPropertyValue('--hacked')"
        )
        assert browser.run(styled) == ""
        # Chromium's log names requests that it refused to send, so the server is asked
        assert server.asked == []
        refused = browser.complaints()
        assert sum("Content Security Policy" in words for words in refused) >= 8, refused


def test_the_same_injection_does_act_on_a_page_without_a_policy(
    pages: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    text = pages["gallery"].read_text("utf-8")
    open_page = re.sub(r"<meta http-equiv=[^>]*>", "", text)
    with serving() as server:
        injected = INJECTED.replace("http://SERVER", server.url)
        path = tmp_path / "open.html"
        path.write_text(open_page.replace("<body>", "<body>" + injected))
        browser.open(path)
        browser.until("return typeof hacked === 'number'")
        assert {"/x.js", "/x.css", "/x.png", "/"} <= {path for path, _ in server.asked}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_page_can_send_nothing(name: str, pages: dict[str, Path], browser: Browser) -> None:
    browser.open(pages[name])
    sent = browser.run(
        "return fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))"
    )
    assert "TypeError" in sent
    assert any("connect-src" in words for words in browser.complaints())


def test_every_page_of_the_package_is_given_its_policy() -> None:
    root = Path(gzfeatures.__file__).parent
    beginnings = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.suffix in (".py", ".html", ".js") and "<!doctype" in path.read_text("utf-8").lower()
    }
    assert beginnings == {
        "audit/templates/audit.html",
        "maps/page/map.html",
        "report/templates/report.html",
        "figures/templates/gallery.html",
    }
    assert all(PLACE in (root / name).read_text("utf-8") for name in beginnings)


def test_styles_of_elements_become_classes_that_outweigh_the_page() -> None:
    page = with_policy(
        f'<head>{PLACE}<style>i {{ width: 1px }}</style></head><i style="width: 3px"/>'
        '<b class="x" style="width: 3px"></b><u style="font: &quot;A&quot;">style="no"</u>'
    )
    assert page.count(".own0.own0.own0.own0{width: 3px}") == 1
    assert '<i class="own0"/><b class="x own0"></b>' in page
    assert '{font: "A"}' in page and '<u class="own1">style="no"</u>' in page
    assert policy(page)["script-src"] == "'none'"
    assert policy(page)["style-src"].count("sha256") == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<b onclick="go()">', "have no handlers in its tags"),
        ("<svg/onload=go()>", "have no handlers in its tags"),
        ('<b style="} * { color: red">', "have styles without braces"),
    ],
)
def test_a_page_that_could_not_keep_its_policy_is_refused(body: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        with_policy(PLACE + body)
    with pytest.raises(InputError, match="in its head"):
        with_policy("<p>")


def test_data_of_a_page_need_no_digest_and_texts_may_look_like_places() -> None:
    page = with_policy(f'{PLACE}<script type="application/json">[1]</script><!-- {PLACE} -->')
    assert policy(page)["script-src"] == "'none'"
    assert page.count(PLACE) == 1
