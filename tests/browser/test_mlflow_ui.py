"""The MLflow UI as a person meets it, in a headless browser: who wins, three runs compared, the
report in its frame."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from browser import Browser
from reports import labelled, pictures, report
from server import Server, free_port

from gzfeatures.errors import InputError
from gzfeatures.report.report import Report
from gzfeatures.tracking import Tracking

RUN_NAMES = """const links = [...document.querySelectorAll('a[href*="/runs/"]')];
return links.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
  .map(a => a.innerText)"""
TITLES = """return [...document.querySelectorAll('[role=columnheader]')]
  .sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
  .map(a => a.innerText.trim())"""
HOSTILE = "<img src=x onerror='window.hit = 1'>"


class Shown:
    """A recorded report, its UI in a process of its own, and a browser."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.folder = folder
        self.browser = browser.renew()
        browser.resize(1500, 1000)
        labels = labelled(ids=[f"{HOSTILE}{i}" for i in range(20)])
        self.report: Report = report(labels, name="zhu", provenance={"note": HOSTILE})
        self.report.write(folder / "report", pictures(folder / "images", labels))
        tracking = Tracking(root=folder)
        self.runs = {
            pairing.name: tracking.record_candidate("zhu", pairing, [])
            for pairing in self.report.candidates
        }
        self.comparison = tracking.comparison("zhu", self.report, folder / "report")
        port = free_port()
        self.page = tracking.pages(port)["zhu"]
        code = f"from gzfeatures.tracking import Tracking; Tracking({tracking.uri!r}).ui({port})"
        self.server = Server([sys.executable, "-c", code], port, "/health", folder / "ui.log")
        self.base = self.server.base

    def run(self, name: str, tab: str = "") -> str:
        return f"{self.base}/#/experiments/1/runs/{name}{tab}"

    def close(self) -> None:
        self.server.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Shown]:
    made = Shown(tmp_path_factory.mktemp("ui"), chromium)
    try:
        yield made
    finally:
        made.close()


def text_of(browser: Browser, needed: str, seconds: float = 30) -> str:
    """Text of the page, once it holds what is needed."""
    return browser.until(
        f"const t = document.body.innerText; return t.includes({json.dumps(needed)}) && t", seconds
    )


def test_the_experiment_page_ranks_by_accuracy_and_says_who_wins(shown: Shown) -> None:
    shown.browser.open(shown.page)
    shown.browser.until(
        f"return document.body.innerText.includes({json.dumps(shown.report.headline)})", 60
    )
    text = text_of(shown.browser, "5 head")
    shown.browser.picture(shown.folder / "page.png")
    names = shown.browser.run(RUN_NAMES)
    # the comparison has no score of its own, and stands below the candidates
    assert names == [*(pairing.name for _, pairing in shown.report.ranked), "comparison"]
    # the UI orders columns by name, which begin with numbers; all of them stand within the window
    titles = shown.browser.run(TITLES)
    wanted = ["accuracy", "1 interval", "2 tied", "3 seconds", "4 backbone", "5 head"]
    assert [title for title in dict.fromkeys(titles) if title in wanted] == wanted, titles
    assert "first" in text
    assert f"{shown.report.ranked[0][0]['accuracy']:.3f}"[:4] in text


def test_three_runs_are_compared_side_by_side(shown: Shown) -> None:
    names = ["mobilenet-v2 + logistic", "mobilenet-v2 + svm", "resnet18"]
    chosen = quote(json.dumps([shown.runs[name] for name in names]))
    shown.browser.open(f"{shown.base}/#/compare-runs?runs={chosen}&experiments=%5B%221%22%5D")
    text_of(shown.browser, "Comparing 3 Runs from 1 Experiment")
    text = text_of(shown.browser, "accuracy_high")
    for name in names:
        assert name in text
    for pairing in shown.report.candidates[:3]:
        assert f"{pairing.scores.accuracy:.3f}"[:4] in text


def test_the_report_is_displayed_inside_the_page(shown: Shown) -> None:
    shown.browser.open(shown.run(shown.comparison, "/artifacts/report.html"))
    shown.browser.enter("iframe")
    assert shown.report.headline in text_of(shown.browser, "Where the numbers come from")
    assert shown.browser.run("return document.images.length") > 0
    assert shown.browser.run("return document.querySelectorAll('figure svg').length") == 15
    shown.browser.run("document.querySelector('nav a[href=\"#provenance\"]').click()")
    shown.browser.until("return scrollY > 500")
    assert (
        shown.browser.run("return document.querySelector('h1').textContent")
        == shown.report.headline
    )
    assert shown.browser.run("return window.hit") is None


def test_a_run_shows_its_confusion_matrix(shown: Shown) -> None:
    shown.browser.open(shown.run(shown.runs["resnet18"], "/artifacts/confusion.png"))
    assert "confusion.png" in text_of(shown.browser, "confusion.png")


def test_nothing_is_asked_of_the_outside(shown: Shown) -> None:
    asked = {urlsplit(url).netloc for url in shown.browser.requests()}
    assert asked <= {urlsplit(shown.base).netloc}


def test_a_server_s_own_ui_is_pointed_at(monkeypatch: pytest.MonkeyPatch, shown: Shown) -> None:
    with pytest.raises(
        InputError, match="the tracking server has its own UI; open it in a browser"
    ):
        Tracking(shown.base).ui()


def test_runs_can_be_recorded_through_a_server(shown: Shown) -> None:
    tracking = Tracking(shown.base)
    pairing = shown.report.candidates[0]
    run = tracking.record_candidate("through a server", pairing, [])
    shown.browser.open(f"{shown.base}/#/experiments/2/runs/{run}")
    assert f"accuracy {pairing.scores.accuracy:.3f}" in text_of(shown.browser, "test galaxies")


def test_the_ui_ends_with_its_process(shown: Shown) -> None:
    shown.server.process.terminate()
    assert shown.server.process.wait(30) is not None
    with pytest.raises(OSError, match="refused"):
        shown.server.ask("/health")
