"""Reports: what each form of one says, that it needs nothing but itself, and that text from outside
is text."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from PIL import Image
from reports import guessed, labelled, pairings, pictures, report
from shortcuts.undrawn import undrawn

from gzfeatures.errors import InputError, OutputError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.figures.gallery import Gallery, Picture
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.report import examples, html_page
from gzfeatures.report.report import Report

HOSTILE = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
TWELVE = ("E0", "E3", "E7", "edge-on", "S0", "Sa", "Sb", "Sc", "SB0", "SBa", "SBb", "SBc")


@pytest.fixture
def of_words() -> Iterator[None]:
    """Of what is written, the words are looked at, and no figure."""
    with undrawn():
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A report whose every text is hostile, on disk."""
    folder = tmp_path_factory.mktemp("report")
    ids = [f"{HOSTILE}{i}" for i in range(40)]
    labels = labelled(ids=ids, classes=(HOSTILE, "a|b", "*c*", "$d$", "`e`"))
    made = report(
        labels,
        name=HOSTILE,
        provenance={HOSTILE: HOSTILE, "machine": {"cores": 2, "names": ["a", HOSTILE]}},
        curves={"mobilenet-v2 + svm": [(50, 0.4, 0.3, 0.5), (150, 0.6, 0.5, 0.7)]},
    )
    made.write(folder, pictures(folder / "images", labels))
    return made, folder


@pytest.fixture(scope="module")
def page(written: tuple[Report, Path], chromium: Browser) -> Browser:
    chromium.renew().open(written[1] / "report.html")
    return chromium


def test_page_in_a_browser_runs_nothing_from_outside_and_asks_for_nothing(page: Browser) -> None:
    assert page.requests() == []
    assert page.complaints() == []
    assert page.run("return window.hit") is None
    assert page.run("return document.querySelectorAll('iframe, link, object, form').length") == 0
    assert page.run("return [...document.scripts].map(s => s.textContent)") == [html_page.SCRIPT]


def test_page_shows_hostile_text_as_text(page: Browser, written: tuple[Report, Path]) -> None:
    shown = page.run("return document.body.textContent")
    made, _ = written
    assert HOSTILE in page.run("return document.querySelector('header b').textContent")
    ids = page.run("return [...document.querySelectorAll('.card code')].map(e => e.textContent)")
    assert set(ids) <= set(made.split.test)
    assert any(HOSTILE in name for name in ids)
    assert made.headline in shown


def test_page_ranks_as_the_comparison_does(page: Browser, written: tuple[Report, Path]) -> None:
    rows = page.run(
        "return [...document.querySelectorAll('tbody')][0].innerText.split('\\n').join(' ')"
    )
    table = page.run(
        "return [...document.querySelectorAll('tbody')[0].rows].map(r => r.cells[1].innerText)"
    )
    assert table == [pairing.name for _, pairing in written[0].ranked]
    for row in written[0].comparison.ranking:
        assert f"{row['accuracy']:.3f}" in rows


def test_page_draws_every_figure_and_every_picture(
    page: Browser, written: tuple[Report, Path]
) -> None:
    assert page.run("return document.querySelectorAll('figure svg').length") == 2 + 3 * 4 + 2
    broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
    assert page.run(broken) == 0
    assert page.run("return document.images.length") > 10
    missing = page.run("return document.querySelectorAll('.blank').length")
    assert missing == page.run(
        "return [...document.querySelectorAll('.card code')].filter(e => "
        "e.textContent.includes('<')).length"
    )


def test_page_follows_dark_and_light(page: Browser) -> None:
    ink = "return getComputedStyle(document.body).color"

    def under(scheme: str) -> str:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page._call(
            "POST",
            "/goog/cdp/execute",
            {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}},
        )
        return page.run(ink)

    assert under("dark") != under("light")


def test_links_lead_to_their_part_and_the_header_stays_in_sight(page: Browser) -> None:
    page.run("document.querySelector('nav a[href=\"#provenance\"]').click()")
    page.until("return scrollY > 500")
    assert page.run("return document.querySelector('header').getBoundingClientRect().top") == 0


def test_page_holds_no_address_but_its_own(written: tuple[Report, Path]) -> None:
    html = (written[1] / "report.html").read_text("utf-8")
    assert not re.findall(r'<[^>]*\s(?:src|href)="(?!data:image/jpeg;base64,|#)', html)
    assert not re.findall(r"url\((?!#)", html)


def test_twelve_classes_with_pictures_stay_below_three_megabytes(tmp_path: Path) -> None:
    labels = labelled(480, TWELVE)
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in labels.ids:  # noise is the worst JPEG there is
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(
            folder / f"{name}.png"
        )
    written = report(labels).write(tmp_path / "report", ImageSet.of(folder))
    html = written.read_text("utf-8")
    assert html.count("data:image/jpeg") > 50
    assert written.stat().st_size < 3e6


def test_json_holds_ranking_tests_and_scores(written: tuple[Report, Path]) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    made, folder = written
    record = json.loads((folder / "report.json").read_text("utf-8"), parse_constant=refuse)
    assert record["format"] == 1
    assert record["ranking"] == made.comparison.asdict()["ranking"]
    assert len(record["tests"]) == 6
    assert record["split"] == made.split.fingerprint
    assert record["galaxies"] == {"train": 150, "validation": 30, "test": 120}
    assert [p["scores"]["accuracy"] for p in record["pairings"]] == [
        r["accuracy"] for r in record["ranking"]
    ]
    assert record["pairings"][0]["hyperparameters"] == {
        "C": 1.0,
        "kernel": {"name": "rbf", "gamma": None},
    }
    assert record["curves"] == {"mobilenet-v2 + svm": [[50, 0.4, 0.3, 0.5], [150, 0.6, 0.5, 0.7]]}


@pytest.mark.usefixtures("of_words")
def test_undefined_numbers_are_null_in_json(tmp_path: Path) -> None:
    made = report(provenance={"loss": float("nan"), "more": [float("inf")]})
    made.write(tmp_path)
    record = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert record["provenance"] == {"loss": None, "more": [None]}


def test_markdown_has_a_row_per_pairing_and_no_markup_from_outside(
    written: tuple[Report, Path],
) -> None:
    made, folder = written
    text = (folder / "report.md").read_text("utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| #")
    ]
    assert [row.split(" | ")[1] for row in rows] == [p.name for _, p in made.ranked]
    assert "<" not in text
    columns = {
        len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")
    }
    assert len(columns) == 1


def test_figures_are_written_beside_the_page(written: tuple[Report, Path]) -> None:
    found = {path.name for path in (written[1] / "figures").iterdir()}
    kinds = {
        f"{kind}-{rank:02d}.png"
        for kind in ("confusion", "per-class", "reliability")
        for rank in range(1, 5)
    }
    assert found == kinds | {
        f"{kind}.png" for kind in ("ranking", "cost", "learning", "abstention", "slice-agreement")
    }


def test_headline_names_the_first_and_summary_the_ties() -> None:
    made = report()
    row, best = made.ranked[0]
    low, high = row["accuracy_interval"]
    stated = f"{best.name} comes first: accuracy {row['accuracy']:.3f} ({low:.3f} to {high:.3f})"
    assert made.headline.startswith(
        f"{stated}; as the best of 4, "
    )  # its interval knows that it was chosen
    ties = sum(r["tied"] for r in made.comparison.ranking[1:])
    assert f"{ties} other" in made.summary
    assert "120 test galaxies, 5 classes of zhu-5class, 4 candidates on one split" in made.summary


def test_summary_sets_the_first_against_the_best_network() -> None:
    made = report()
    network = next(row for row in made.comparison.ranking if row["road"] == "end-to-end")
    assert made.comparison.ranking[0] is not network
    assert f"resnet18, differs from it by {network['behind']:+.3f}" in made.summary


@pytest.mark.usefixtures("of_words")
def test_an_unfair_hold_out_is_marked(tmp_path: Path) -> None:
    labels = labelled()
    split = Split.draw(labels)
    first, *others = pairings(labels, split)
    made = (dataclasses.replace(first, contaminated=True), *others)
    marked = Report("gz2", made, compare(made, labels, resamples=50), labels, split)
    assert "resnet18 †" in marked.markdown()
    alone = Report("gz2", made[:1], compare(made[:1], labels, resamples=50), labels, split)
    assert alone.headline.startswith("resnet18 † comes first")
    assert "may have been trained on some of the test galaxies" in alone.summary
    assert "may have been trained on some of the test galaxies" in marked.write(tmp_path).read_text(
        "utf-8"
    )
    assert "†" not in report().markdown()


@pytest.mark.usefixtures("of_words")
def test_slices_of_a_catalog_are_shown(tmp_path: Path) -> None:
    labels = labelled()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"galaxy_id": labels.ids, "redshift": rng.uniform(0, 0.2, len(labels))})
    split = Split.draw(labels)
    made = tuple(
        dataclasses.replace(
            p, scores=evaluate(p.predictions, labels, intervals=50, catalog=Catalog(frame))
        )
        for p in pairings(labels, split)
    )
    html = (
        Report("gz2", made, compare(made, labels, resamples=50), labels, split)
        .write(tmp_path)
        .read_text("utf-8")
    )
    assert "accuracy by redshift" in html
    reached = made[3].scores.ceiling["reached"]
    assert f"agrees with the first in {reached:.0%} of the galaxies" in html
    assert (tmp_path / "figures" / "slice-redshift.png").exists()


def test_calibration_is_shown_before_and_after_with_what_sets_promise(tmp_path: Path) -> None:
    labels = labelled()
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    before = {
        "ece": 0.234,
        "brier": 0.345,
        "log_loss": 1.456,
        "bins": [{"stated": 0.9, "reached": 0.5, "n": 9}],
    }
    classes = [
        {"class": "a", "n": 40, "reached": 0.85, "interval": [0.71, 0.94]},
        {"class": "b", "n": 0},
    ]
    kept = {
        "promised": 0.9,
        "reached": 0.913,
        "interval": [0.884, 0.937],
        "size": 1.57,
        "single": 0.61,
    }
    kept |= {"per_class": classes}
    made = pairings(
        labels,
        split,
        calibration={"before": before, "sets": kept, "notes": ["b is in every class set"]},
    )
    page = (
        Report("r", made, compare(made, labels, resamples=50), labels, split)
        .write(tmp_path)
        .read_text()
    )
    table = page[page.index('id="reliability"') :].partition("</table>")[0]
    after = made[0].scores.ece
    assert f"0.234 →</span> {after:.3f}<" in table
    for text in (
        "0.345 →",
        "1.456 →",
        "<td>90%</td><td>91.3% (88%–94%)</td>",
        "a 85.0% (71%–94%)</td><td>1.57</td><td>61%</td>",
    ):
        assert table.count(text) == len(made)
    assert page.count(" b is in every class set.") == 1
    assert page.count(">before<") == len(made)  # the crosses' name in each diagram


@pytest.mark.usefixtures("of_words")
def test_several_seeds_are_ranked_by_their_mean_and_say_so(tmp_path: Path) -> None:
    labels = labelled()
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    first, *_ = pairings(labels, split)
    several = []
    for seed in range(3):
        predictions = guessed(labels, split, 2.0, seed)
        scores = evaluate(predictions, labels, intervals=100)
        several.append(
            dataclasses.replace(first, seed=seed, predictions=predictions, scores=scores)
        )
    made = Report("r", tuple(several), compare(several, labels, resamples=50), labels, split)
    (spread,) = made.comparison.seeds
    mean = f"{spread['mean']:.3f} ± {spread['deviation']:.3f}"
    assert (
        made.headline.startswith("resnet18, seed 0 comes first")
        and f"mean of 3 seeds {mean}" in made.headline
    )
    assert made.write(tmp_path).read_text().count(f'<small class="soft">{mean}</small>') == 3


def test_pairings_of_one_name_are_told_apart_by_road_and_seed() -> None:
    labels = labelled()
    split = Split.draw(labels)
    network, _, svm, tuned = pairings(labels, split)
    frozen = dataclasses.replace(tuned, approach="frozen")
    again = dataclasses.replace(svm, seed=1)
    made = (network, svm, again, tuned, frozen)
    told = Report("gz2", made, compare(made, labels, resamples=50), labels, split)
    assert [told.title(p) for p in made] == [
        "resnet18",
        "mobilenet-v2 + svm, seed 0",
        "mobilenet-v2 + svm, seed 1",
        "resnet18 + svm (fine-tuned)",
        "resnet18 + svm (frozen)",
    ]


def test_a_comparison_of_another_split_is_refused() -> None:
    made = report()
    with pytest.raises(
        InputError, match="report of another split; must compare candidates of split"
    ):
        dataclasses.replace(made, split=Split.draw(made.labels, seed=9))


def test_a_comparison_of_other_candidates_is_refused() -> None:
    made = report()
    with pytest.raises(InputError, match="report and comparison differ in their candidates"):
        dataclasses.replace(made, candidates=made.candidates[:-1])


def test_scores_without_intervals_are_refused() -> None:
    labels = labelled()
    split = Split.draw(labels)
    first = pairings(labels, split)[0]
    bare = dataclasses.replace(first, scores=evaluate(first.predictions, labels, intervals=0))
    with pytest.raises(
        InputError,
        match="report of scores without intervals; must have intervals; evaluate with intervals",
    ):
        Report("gz2", (bare,), compare([bare], labels, resamples=50), labels, split)


def test_one_pairing_alone_and_names_in_other_scripts_have_a_report(tmp_path: Path) -> None:
    labels = labelled(ids=["渦巻"], classes=("渦巻", "🌀"))
    split = Split.draw(labels, (0.1, 0.0, 0.9))
    alone = pairings(labels, split)[:1]
    html = (
        Report("渦", alone, compare(alone, labels, resamples=50), labels, split)
        .write(tmp_path)
        .read_text("utf-8")
    )
    assert "渦巻" in html
    assert "Where they disagree" not in html


def test_a_learning_curve_of_no_pairing_is_refused() -> None:
    with pytest.raises(InputError, match="learning curve of no candidate, found vgg"):
        report(curves={"vgg": [(50, 0.4, 0.3, 0.5)]})


@pytest.mark.usefixtures("of_words")
def test_showcases_are_shown_as_pictures_and_text_and_written_beside_the_page(
    tmp_path: Path,
) -> None:
    picture = Image.new("RGB", (60, 20), (255, 0, 0))
    tiles = [Picture("<b>one</b>", "said <i>", picture), Picture("two", "", None)]
    shown = Gallery("Why <u>", "note", {"class </h3>": tiles})
    text = report().write(tmp_path, showcases=[shown]).read_text("utf-8")
    part = text[text.index('id="showcase-1"') : text.index('id="provenance"')]
    for escaped in (
        "Why &lt;u&gt;",
        "class &lt;/h3&gt;",
        "&lt;b&gt;one&lt;/b&gt;",
        "said &lt;i&gt;",
    ):
        assert escaped in part
    assert part.count("data:image/jpeg;base64,") == part.count("no image") == 1
    assert '<a href="#showcase-1">' in text
    with Image.open(tmp_path / "figures" / "showcase-01.png") as sheet:
        assert sheet.size[0] > 60
    assert "Explanations" not in report().write(tmp_path / "plain").read_text("utf-8")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        report().write(tmp_path / "file")


@pytest.mark.parametrize("target", ["multi-label", "fractions"])
def test_other_targets_have_a_report_too(target: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = np.array([str(i) for i in range(200)], dtype=object)
    values = rng.random((200, 3)) if target == "fractions" else rng.random((200, 3)) > 0.5
    labels = Labels(ids, ("a", "b", "c"), values, target, "votes-37")
    split = Split.draw(labels)
    truth = labels.select(split.test).values
    made = []
    for noise, (road, head) in enumerate([("end-to-end", None), ("frozen", "svm")]):
        p = np.clip(truth * 0.8 + 0.1 + rng.normal(0, 0.1 + noise, truth.shape), 0, 1)
        predictions = Predictions(split.test, p, labels.classes, target)
        scores = evaluate(predictions, labels, intervals=50)
        made.append(
            Candidate(
                road,
                "resnet18",
                head,
                "votes-37",
                split.fingerprint,
                predictions,
                scores,
                {"fit": 1.0},
            )
        )
    done = Report("votes", tuple(made), compare(made, labels, resamples=50), labels, split)
    assert done.ranked[0][1] is made[0]
    html = done.write(tmp_path).read_text("utf-8")
    assert ("RMSE" if target == "fractions" else "accuracy") in html
    assert "Confusion" not in html


# galleries


@pytest.fixture(scope="module")
def judged() -> tuple[Labels, Predictions, Predictions]:
    labels = labelled()
    split = Split.draw(labels)
    return labels, guessed(labels, split, 1.5, 1), guessed(labels, split, 1.5, 2)


def test_mistakes_are_wrong_and_the_surest_come_first(
    judged: tuple[Labels, Predictions, Predictions],
) -> None:
    labels, one, _ = judged
    ids = examples.mistakes(one, labels, 10)
    shown = one.select(ids)
    assert (shown.names != labels.select(ids).names).all()
    sure = shown.probabilities.max(1)
    assert (np.diff(sure) <= 0).all()
    wrong = one.codes != labels.select(one.ids).codes
    assert sure[-1] >= np.sort(one.probabilities.max(1)[wrong])[-10]


def test_disagreements_are_in_different_classes(
    judged: tuple[Labels, Predictions, Predictions],
) -> None:
    _, one, other = judged
    ids = examples.disagreements(one, other, 1000)
    apart = one.codes != other.select(one.ids).codes
    assert set(ids) == set(one.ids[apart])
    sure = np.minimum(one.select(ids).probabilities.max(1), other.select(ids).probabilities.max(1))
    assert (np.diff(sure) <= 0).all()


def test_successes_are_right_and_of_every_class(
    judged: tuple[Labels, Predictions, Predictions],
) -> None:
    labels, one, _ = judged
    ids = examples.successes(one, labels, 2)
    names = labels.select(ids).names
    assert (one.select(ids).names == names).all()
    assert names.tolist() == [name for name in labels.classes for _ in range(2)]


def test_exhibits_hold_votes_and_opinions(judged: tuple[Labels, Predictions, Predictions]) -> None:
    labels, one, other = judged
    ids = one.ids[:3]
    shown = examples.examples(ids, labels, [(1, "first", one), (4, "second", other)])
    for exhibit, row in zip(shown, range(3), strict=True):
        chosen = labels.select(ids)
        assert exhibit.actual == chosen.names[row]
        assert exhibit.votes == chosen.soft[row, chosen.codes[row]]
        assert [said.rank for said in exhibit.guesses] == [1, 4]
        assert exhibit.guesses[1].predicted == other.select(ids).names[row]
        assert exhibit.guesses[0].right == (one.names[row] == exhibit.actual)


def test_thumbnails_are_small_and_a_broken_image_has_none(tmp_path: Path) -> None:
    Image.new("RGB", (424, 424), "red").save(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes(b"no image")
    found = examples.thumbnails(ImageSet.of(tmp_path), np.array(["1", "2", "3"], dtype=object))
    assert list(found) == ["1"]
    kind, data = found["1"].split(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (96, 96)
        assert image.getpixel((48, 48))[0] > 240
