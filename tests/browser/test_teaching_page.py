"""Teaching on the map page: labels by keyboard, kept in the browser; the questions of Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from browser import Browser

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.asked import read_asked
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.maps.map_page import MapPage
from gzfeatures.teaching.campaign import Answer, Campaign
from gzfeatures.teaching.page_vectors import page_vectors

N, DIM, ROUNDS = 600, 12, 20
HOSTILE = ("</script><b>x", '"><img src=x onerror=hacked=1>', "=1+1,\n2", "𝔘 é", "Ｚ")
RANDOM = np.random.default_rng(0)
CODES = RANDOM.choice(3, N, p=(0.6, 0.3, 0.1))
VECTORS = (RANDOM.normal(size=(N, DIM)) + 1.6 * np.eye(DIM)[CODES]).astype(np.float32)
IDS = np.asarray([*HOSTILE, *(f"g{i}" for i in range(N - len(HOSTILE)))], dtype=object)
CLASSES = ("plain", "arms <i>", "odd")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = Labels(IDS[:3], CLASSES, np.arange(3))
    said = {"settings": {"backbone": "b", "supervised": False}, "quality": {}}
    places = VECTORS[:, :2]
    page = MapPage(IDS, places, VECTORS, **said, labels=labels)
    return page.write(tmp_path_factory.mktemp("page") / "map.html")


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Browser:
    """The page as somebody opens it for the first time."""
    opened(chromium.renew(), page)
    return chromium


def opened(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.until("return document.body.dataset.drawn")


def kept(browser: Browser) -> int:
    number: int = browser.run("return answers.all.size")
    return number


def test_thirty_labels_by_keyboard_survive_the_death_of_their_tab(
    browser: Browser, page: Path
) -> None:
    # from the keyboard alone: n opens the first question, each answer opens the next
    browser.keys("n")
    for number in range(30):
        browser.keys("123"[number % 3])
        browser.until(f"return answers.all.size === {number + 1}")
    browser.keys("u")
    browser.until("return answers.all.size === 29")
    browser.keys("U")
    browser.until("return answers.all.size === 30")
    before = browser.run("return [...answers.all]")
    other = browser.new_tab()
    browser.crash()
    browser.switch(other)
    opened(browser, page)
    assert sorted(browser.run("return [...answers.all]")) == sorted(before)
    # what another tab is told comes here at once, and both keep all
    row = next(row for row in range(N) if row not in dict(before))
    browser.switch(browser.new_tab())
    opened(browser, page)
    browser.run(f"return teach.label([{row}], 'odd')")
    assert kept(browser) == 31
    browser.switch(other)
    browser.until("return answers.all.size === 31")
    browser.run("byId('labels-csv').click()")
    exported = browser.downloaded("labels.csv")
    labels, split = read_labels(exported)
    assert split is None and len(labels) == 31 and set(labels.classes) == set(CLASSES)
    asked = read_asked(exported)
    assert len(asked.random) == 6
    with exported.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["galaxy_id", "label", "who", "when", "round", "asked"]
    assert {each["asked"] for each in rows} == {"random", "queue", "user"}


def test_questions_in_chromium_are_those_of_python(browser: Browser) -> None:
    truth = json.dumps([CLASSES[code] for code in CODES])
    script = f"""
      const truth = {truth}, asked = [];
      return (async () => {{
        await teach.label([7], truth[7]);
        for (let round = 0; round < {ROUNDS}; round++) {{
          const questions = teach.questions();
          for (const [row] of questions) {{
            asked.push(row);
            await teach.label([row], truth[row]);
          }}
        }}
        return [asked, [...(teach.probabilities())], +document.body.dataset.refit];
      }})();"""
    asked, probabilities, milliseconds = browser.run(script)
    campaign = Campaign(IDS, page_vectors(VECTORS))
    campaign.answer(7, Answer(CLASSES[CODES[7]], "user"))
    expected = []
    for _ in range(ROUNDS):
        for question in campaign.questions():
            expected.append(question.row)
            campaign.answer(question.row, Answer(CLASSES[CODES[question.row]], question.asked))
        campaign.end_round()
    assert [IDS[row] for row in asked] == [IDS[row] for row in expected]
    head, _ = campaign.head()
    np.testing.assert_allclose(
        np.reshape(probabilities, (N, 3)), head.probabilities(campaign.vectors), atol=1e-9
    )
    assert milliseconds > 0
    # every colour follows, and hostile names are text
    assert browser.run("return typeof hacked") == "undefined"
    assert "arms <i>" in browser.run("return byId('classes').textContent")
    assert browser.run("return document.querySelectorAll('#teach i, #teach img').length") == 0
    names = browser.run("return columns.map((one) => one.name)")
    assert names[-4:-2] == ["my labels", "taught class"]
    assert browser.run("return columns.at(-1).values.every((one) => one >= 0 && one <= 1)")
    assert "set aside at random: accuracy" in browser.run("return byId('taught').textContent")
    assert browser.complaints() == []


def test_a_galaxy_set_aside_stays_so_when_its_label_is_undone_and_redone(browser: Browser) -> None:
    script = """return (async () => {
      const turns = decoded(page.teaching.turns, Uint32Array), told = [];
      const note = () => told.push(answers.all.get(turns[1])?.asked ?? null);
      await teach.label([turns[1]], 'plain');
      note();
      // the second round ends: its drawn galaxy is set aside with the label that it had
      for (let round = 0; round < 2; round++)
        for (const [row] of teach.questions()) await teach.label([row], 'odd');
      note();
      for (let i = 0; i < 10; i++) await teach.undo();
      note();
      await teach.redo(); // its own label, given before it was set aside
      note();
      return [told, answers.all.size];
    })()"""
    told, number = browser.run(script)
    assert told == ["user", "random", None, "random"] and number == 1
    assert browser.complaints() == []


def test_class_names_that_would_not_be_read_again_are_refused(browser: Browser) -> None:
    add = (
        "byId('class-name').value = {}; byId('add-class').click();return byId('notice').textContent"
    )
    assert "neither |" in browser.run(add.format(json.dumps("a|b")))
    assert "no answer" in browser.run(add.format(json.dumps(" N/A ")))
    browser.run(add.format(json.dumps(" PLAIN ")))
    browser.run(add.format(json.dumps("<b>new</b>")))
    browser.until("return teach.classes.length === 4")
    assert browser.run("return teach.classes.at(-1)") == "<b>new</b>"


@pytest.mark.parametrize("fault", ["QuotaExceededError", "SecurityError"])
def test_storage_that_is_full_or_forbidden_is_said_at_the_first_click(
    browser: Browser, fault: str
) -> None:
    browser.run(
        f"Storage.prototype.setItem = () => {{ throw new DOMException('no', '{fault}'); }};"
        "openCard(3); return teach.label([3], 'plain')"
    )
    words = browser.run("return byId('notice').textContent")
    assert {"QuotaExceededError": "full", "SecurityError": "forbidden"}[fault] in words
    assert "Export them" in words and kept(browser) == 1


def test_what_another_program_left_in_the_storage_is_not_trusted(
    browser: Browser, page: Path
) -> None:
    browser.run(
        "const key = `gzfeatures ${page.teaching.digest} `;"
        "localStorage.setItem(key + 'x', '{}'); localStorage.setItem(key + '5', '[1]');"
        "localStorage.setItem(key + '99999', '{}'); localStorage.setItem(key + '6', 'no json');"
        "localStorage.setItem(key + '7', JSON.stringify({label: '<b>', asked: 'user', round: 0,"
        " who: '', when: ''}))"
    )
    opened(browser, page)
    assert browser.run("return [...answers.all.keys()]") == [7]
    assert browser.complaints() == []
