"""The widget of a notebook in Chromium: its script with a model that keeps anywidget's contract,
and the answers of the real Python side. No kernel between them is needed."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from PIL import Image
from tables_of import table_of

from gzfeatures import files
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.images.image_set import ImageSet
from gzfeatures.maps.map import Map
from gzfeatures.session import teaching_view
from gzfeatures.session.teaching_session import TeachingSession
from gzfeatures.session.teaching_view import TeachingView
from gzfeatures.teaching.answers_file import AnswersFile

pytest.importorskip("anywidget")

N = 60
CODES = np.arange(N) % 2
STRICT = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline';"
    " img-src https: http: data:; connect-src https:; child-src https: data:"
)
"""Policy under which Visual Studio Code shows outputs; a frame inherits it."""
HOST = """<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">
<body><div id="cell"></div><script type="module">
  const heard = [], state = {state};
  window.sent = [];
  window.model = {{
    get: (name) => state[name], set: (name, value) => {{ state[name] = value; }},
    save_changes() {{}},
    on: (name, act) => heard.push([name, act]),
    off: (name, act) => heard.splice(heard.findIndex((one) => one[1] === act), 1),
    send: (content) => sent.push(JSON.stringify(content)),
  }};
  window.hear = (content, buffers) => {{
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const views = buffers.map((text) => new DataView(bytes(text).buffer));
    for (const [name, act] of [...heard]) if (name === "msg:custom") act(content, views);
  }};
  window.heard = heard;
  const blob = new Blob([{script}], {{ type: "text/javascript" }});
  const script = await import(URL.createObjectURL(blob));
  window.close_ = script.default.render({{ model, el: document.getElementById("cell") }});
</script>"""


class Cell:
    """The output of a notebook cell: hands messages from the script to Python, and back."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        table = table_of(np.random.default_rng(0).normal(size=(N, 6)) + 4 * np.eye(6)[CODES])
        space = FeatureSpace.fit(table.matrix)
        chart = Map(table.ids, table.matrix[:, :2], {"n_neighbors": 5}, {}, space, table.matrix)
        catalog = pd.DataFrame({"galaxy_id": table.ids, "ra": np.arange(N) * 6.0, "dec": 0.0})
        file = AnswersFile(folder / "mine.csv")
        self.session = TeachingSession(table, chart, file, catalog=catalog)
        (folder / "images").mkdir()
        for row, name in enumerate(table.ids):
            grey = Image.new("RGB", (80, 80), (4 * row, 60, 90))
            grey.save(folder / "images" / f"{name}.jpg")
        self.view = TeachingView(self.session, ImageSet.of(folder / "images"))
        self.replies: list[tuple[dict[str, Any], list[bytes]]] = []
        self.view.widget.send = lambda content, buffers: self.replies.append((content, buffers))
        self.browser = browser
        self.page = folder / "notebook.html"
        self.main = ""

    def open(self) -> None:
        """Show the widget as a notebook does that is opened now."""
        state = {name: getattr(self.view.widget, name) for name in ("answers", "file")}
        texts = {"state": json.dumps(state), "script": json.dumps(self.view.widget._esm)}
        escaped = {name: text.replace("</", "<\\/") for name, text in texts.items()}
        self.page.write_text(HOST.format(policy=STRICT, **escaped), encoding="utf-8")
        self.browser.open(self.page)
        self.browser.until("return Boolean(window.close_)", 15)

    def carry(self) -> int:
        """Carry what the script has sent to Python, and the replies back; the number of them."""
        sent = self.browser.run("return sent.splice(0)")
        for text in sent:
            self.view._hear(self.view.widget, json.loads(text), [])
        replies, self.replies = self.replies, []
        for content, buffers in replies:
            texts = [base64.b64encode(each).decode() for each in buffers]
            self.browser.run(f"hear({json.dumps(content)}, {json.dumps(texts)})")
        return len(replies)

    def until(self, script: str) -> Any:
        """First true value of a script in the frame, while messages are carried."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.browser.leave()
            self.carry()
            if self.browser.run("return Boolean(document.querySelector('iframe'))"):
                self.browser.enter("iframe")
                value = self.browser.run(script)
                if value:
                    return value
            time.sleep(0.02)
        raise AssertionError(f"never true: {script}")


@pytest.fixture
def cell(tmp_path: Path, chromium: Browser) -> Cell:
    chromium.renew().resize(1280, 800)
    return Cell(tmp_path, chromium)


def test_labels_given_by_keyboard_below_a_cell_are_on_the_disk_and_come_back(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the page comes in several parts
    monkeypatch.setattr(teaching_view, "PART", 30_000)
    cell.open()
    cell.until("return document.body?.dataset.drawn")
    browser = cell.browser
    browser.run("teach.classes.push('a', 'b'); teach.ask()")
    for number in range(12):
        browser.run("document.activeElement.blur(); byId('overlay').focus({ preventScroll: true })")
        browser.keys("12"[number % 2])
        cell.until(f"return answers.all.size === {number + 1}")
        assert len(read_labels(cell.session.file.path)[0]) == number + 1
    browser.run("byId('fit-head').click()")
    cell.until("return columns.some((one) => one.name === 'svm')")
    # a form works in the frame: galaxies are selected by their places on the sky
    browser.run("byId('ra-from').value = '0'; byId('ra-to').value = '60'")
    browser.run("byId('dec-from').value = '-1'; byId('dec-to').value = '1'")
    browser.run("document.querySelector('#sky-bounds button').click()")
    assert cell.until("return selected().length") == 11
    # labels come back as Labels, and the state that a notebook stores has them and no image
    assert cell.view.labels.counts == {"a": 6, "b": 6}
    assert set(cell.view.widget.answers.values()) == {"a", "b"}
    assert set(cell.view.widget.answers) == set(cell.view.labels.ids)
    # the notebook is opened again: the page comes again, with the labels
    cell.open()
    cell.until("return document.body?.dataset.drawn && answers.all.size === 12")
    assert browser.complaints() == [] and browser.requests() == []


def test_a_click_that_cannot_be_written_is_said_and_not_counted(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.open()
    cell.until("return document.body?.dataset.drawn")

    def full(path: Path, mode: int = 0) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "_new_beside", full)
        cell.browser.run("teach.label([3], 'odd')")
        cell.until("return byId('notice').textContent.includes('No space left')")
    assert cell.browser.run("return answers.all.size") == 0
    assert not cell.session.file.path.exists() and cell.view.widget.answers == {}


def test_a_kernel_that_is_busy_or_gone_is_said_and_nothing_counts_meanwhile(cell: Cell) -> None:
    cell.session.keep({"answers": [answer("g0001", "<b>odd")]})
    cell.view.widget.answers = cell.view._answers()
    cell.open()
    browser = cell.browser
    # nobody carries messages: what the notebook has stored is shown, as text
    told = "document.querySelector('p').textContent"
    browser.until(f"return {told}.includes('does not answer')")
    assert browser.run("return document.querySelector('pre').textContent") == "g0001: <b>odd"
    assert "1 labels are in" in browser.run(f"return {told}")
    # the kernel comes back
    cell.until("return document.body?.dataset.drawn && answers.all.size === 1")
    browser.run("teach.label([5], 'plain')")
    browser.until("return byId('notice').textContent.includes('busy or gone')")
    assert browser.run("return answers.all.size") == 1
    cell.until("return answers.all.size === 2")
    assert browser.complaints() == []


def test_the_page_reaches_neither_the_notebook_nor_the_network(cell: Cell) -> None:
    cell.open()
    cell.until("return document.body?.dataset.drawn")
    for reach in ("parent.document.title", "localStorage.length", "document.cookie"):
        refused = f"try {{ void {reach}; return 'reached'; }} catch (e) {{ return e.name; }}"
        assert cell.browser.run(refused) == "SecurityError", reach
    fetched = (
        "return new Promise((tell) => {"
        "document.addEventListener('securitypolicyviolation', (e) => tell(e.effectiveDirective));"
        "fetch('https://127.0.0.1:1/').then(() => tell('sent'), () => {}); })"
    )
    assert cell.browser.run(fetched) == "connect-src"
    # a cell that is cleared hears no more messages
    cell.browser.leave()
    cell.browser.run("close_()")
    assert cell.browser.run("return heard.length") == 0


def answer(name: str, label: str) -> dict[str, Any]:
    return {"id": name, "label": label, "asked": "user", "round": 0, "who": "", "when": ""}


@pytest.mark.parametrize(
    "request_",
    [
        {"what": "page", "content": {"part": 99}},
        {"what": "page", "content": {"part": -1}},
        {"what": "page", "content": None},
        {"what": "__class__", "content": {}},
        {"what": ["answers"], "content": {}},
        {"what": "answers", "content": {"answers": [answer("nobody", "a")]}},
        {"what": "answers", "content": {"answers": [answer("g0001", "a|b")]}},
    ],
)
def test_what_is_no_request_is_refused_and_changes_nothing(
    request_: dict[str, Any], tmp_path: Path
) -> None:
    table = table_of(np.random.default_rng(0).normal(size=(N, 6)))
    space = FeatureSpace.fit(table.matrix)
    chart = Map(table.ids, table.matrix[:, :2], {}, {}, space, table.matrix)
    session = TeachingSession(table, chart, AnswersFile(tmp_path / "mine.csv"))
    view = TeachingView(session)
    replies: list[dict[str, Any]] = []
    view.widget.send = lambda content, buffers: replies.append(content)
    view._hear(view.widget, {"request": "x", **request_}, [])
    view._hear(view.widget, {"what": "state"}, [])
    view._hear(view.widget, "no mapping", [])
    (reply,) = replies
    assert set(reply) == {"request", "error"} and reply["request"] == "x"
    assert not session.file.path.exists()
    with pytest.raises(AttributeError):
        view.labels = None  # type: ignore[misc]
