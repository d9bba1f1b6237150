"""What verbs print for people: short, within 80 columns, with the next command."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shortcuts.undrawn import undrawn
from support.reports import guessed, labelled, pairings, report

from gzfeatures.brief import wrapped
from gzfeatures.cli.console import print_table, say_next
from gzfeatures.cli.texts.check import print_columns, print_findings, print_verdict
from gzfeatures.cli.texts.ranking import few_galaxies, print_ranking, print_tests
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_check import ImageCheck
from gzfeatures.images.view import View
from gzfeatures.report import drawings, html_page
from gzfeatures.report.ranking_table import ranking_rows
from gzfeatures.report.report import Report
from gzfeatures.tracking.records import ComparisonRecord

GOLDEN = Path(__file__).parent / "printed"


def agrees(text: str, name: str) -> None:
    """Compare with a golden file, where each digit stands as 0: figures differ by library."""
    found = "\n".join(re.sub(r"\d", "0", line).rstrip() for line in text.splitlines()) + "\n"
    assert found == (GOLDEN / f"{name}.txt").read_text(), found
    # a command stands in one line, to be copied
    lines = [line for line in text.splitlines() if not line.startswith(("next: ", "then: "))]
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_ranking_has_intervals_and_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    made = report()
    print_ranking(made.comparison, len(made.ranked[0][1].predictions))
    print_tests(made.comparison)
    agrees(capsys.readouterr().out, "ranking")


def test_a_table_without_room_goes_on_in_a_second_one_and_breaks_no_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"a score of kind {number}" for number in range(14)]
    rows = [{"name": "resnet18", **{name: 0.97321 + n for n, name in enumerate(names)}}]
    rows += [{"name": "x" * 12, "said": "words that go on in the next line " * 3}]
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(rows, title="scores")
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= width
        words = text.split()
        assert {f"{0.97321 + n:.4g}" for n in range(14)} <= {*words}
        # the first column stands in each table
        assert words.count("resnet18") == words.count("x" * 12) == words.count("name") > 0
    assert text.count("resnet18") < 3


def test_a_command_without_room_goes_on_in_lines_that_a_shell_reads_as_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "gzfeatures extract 'my sample.csv' --images /a/long/path/to/images -o table.parquet"
    say_next(command, "open the page")
    assert capsys.readouterr().err == f"next: {command}\nthen: open the page\n"
    monkeypatch.setenv("COLUMNS", "50")
    say_next(command)
    text = capsys.readouterr().err
    assert max(map(len, text.splitlines())) <= 50 and text.count("\n") > 1
    # a shell takes the sign and the line's end away
    one_line = text.removeprefix("next: ").replace("\\\n", "")
    assert shlex.split(one_line) == shlex.split(command)


def test_a_message_fits_the_terminal_and_a_path_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "/a/" + "long/" * 20
    line = f"the labels that were given are written to {path} and nothing else is changed there"
    monkeypatch.delenv("COLUMNS", raising=False)
    assert wrapped(line) == line
    monkeypatch.setenv("COLUMNS", "80")
    lines = wrapped(line).split("\n")
    assert any(path in each for each in lines)
    assert all(len(each) <= 80 for each in lines if path not in each)


def test_a_ranking_of_contaminated_and_equal_candidates_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = labelled(200)
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    made = pairings(labels, split, contaminated=True)[2:]
    print_ranking(compare([made[0], made[1]], labels, resamples=200))
    assert "† not a fair hold-out" in capsys.readouterr().out


def test_few_galaxies_are_warned_of_and_many_are_not() -> None:
    assert few_galaxies(100, 20) == []
    test, calibration = few_galaxies(99, 19)
    assert "99 test galaxies" in test and "19 calibration galaxies" in calibration


def test_a_check_counts_and_names_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my sample.csv"
    rows = "\n".join(f"g{n},{'' if n % 3 else 200 + n},{n}" for n in range(30))
    path.write_text(f"id,ra,dec\n{rows}\n")
    found = Catalog.examine(path)
    images = ImageCheck(10, tuple(f"g{n}" for n in range(2000)), (("g1", "image is truncated"),))
    print_columns(found)
    print_findings(found, images)
    print_verdict(found, Path("my sample.csv"), Path("images"), images, None)
    captured = capsys.readouterr()
    text = captured.out + captured.err
    agrees(text, "check")
    # ids are counted, and few of them named
    assert "2,000 missing, the first five: g0, g1, g2, g3, g4\n" in text
    assert "next: gzfeatures extract 'my sample.csv' --images images --on-bad skip" in text


def test_a_refused_catalog_gets_no_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("objid,z\n1,0.1\n1,0.2\n")
    found = Catalog.examine(path)
    print_findings(found, None)
    print_verdict(found, path, None, None, None)
    captured = capsys.readouterr()
    assert found.refused and "refuse this catalog" in captured.out
    assert captured.err == "next: mend the catalog, and check it again\n"


def poor_network(labels: Labels, split: Split) -> tuple[Candidate, ...]:
    """Candidates of whom the network answers at random."""
    network, *heads = pairings(labels, split)
    guesses = np.random.default_rng(5).dirichlet(np.ones(len(labels.classes)), len(split.test))
    predictions = dataclasses.replace(network.predictions, probabilities=guesses)
    scores = evaluate(predictions, labels, intervals=100)
    return dataclasses.replace(network, predictions=predictions, scores=scores), *heads


def rising_network(labels: Labels, split: Split) -> tuple[Candidate, ...]:
    """Candidates of which the network and its head were still rising at the last epoch."""
    curve = (0.3, 0.45, 0.55, 0.65, 0.7, 0.75)
    return tuple(
        candidate if candidate.approach == "frozen" else dataclasses.replace(candidate, curve=curve)
        for candidate in pairings(labels, split)
    )


@pytest.mark.parametrize(
    ("candidates", "reason", "untrained"),
    [
        (poor_network, "not told apart from always answering the commonest class", 1),
        (rising_network, "validation score still rising at the last epoch", 2),
    ],
)
def test_an_untrained_network_is_said_to_be_so_and_is_not_compared(
    candidates: Callable[[Labels, Split], tuple[Candidate, ...]],
    reason: str,
    untrained: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = labelled(300)
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    made = candidates(labels, split)
    comparison = compare(made, labels, resamples=200)
    told = Report("poor", made, comparison, labels, split, {})
    assert "Untrained, and left out of comparisons: resnet18 (" in told.summary
    assert reason in told.summary and reason in told.markdown().replace("\\", "")
    # nothing is said of how far a frozen head is ahead of it
    assert "best end-to-end network" not in told.summary
    flagged = [row for row in comparison.asdict()["ranking"] if "untrained" in row]
    assert len(flagged) == untrained
    print_ranking(comparison)
    print_tests(comparison)
    ranking, _, tests = capsys.readouterr().out.partition(" less the others")
    assert (
        "resnet18 ‡" in ranking
        and "‡ Untrained, and left out of comparisons: resnet18 (" in ranking
    )
    assert "resnet18, end-to-end" not in tests
    with undrawn():
        page = told.write(tmp_path).read_text()
    assert page.count(">untrained</span>") == untrained - (told.ranked[0][0].untrained is not None)
    view = ComparisonRecord.of("poor", told)
    assert [each["tied"] for each in view.compared].count("untrained") >= 1
    assert reason in view.ranking.replace("\\", "")


def test_a_trained_network_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    told = report(labelled(300))
    assert "ntrained" not in told.summary
    assert "best end-to-end network" in told.summary or told.ranked[0][0].head is None
    assert not any("untrained" in row for row in told.comparison.asdict()["ranking"])
    print_ranking(told.comparison)
    assert "‡" not in capsys.readouterr().out


def many_candidates(labels: Labels, split: Split) -> tuple[Candidate, ...]:
    """Eight good heads, and a network that answers at random."""
    first = pairings(labels, split)[0]
    made = []
    for number in range(9):
        predictions = guessed(labels, split, 2.5 if number else 0.0, number)
        made.append(
            dataclasses.replace(
                first,
                approach="frozen" if number else "end-to-end",
                backbone=f"b{number}",
                head="svm" if number else None,
                predictions=predictions,
                scores=evaluate(predictions, labels, intervals=50),
            )
        )
    return tuple(made)


def test_a_report_of_many_candidates_folds_figures_and_names_what_lies_off_the_axis(
    tmp_path: Path,
) -> None:
    votes = labelled(200)
    labels = dataclasses.replace(votes, soft=None)
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    made = many_candidates(labels, split)
    one = Report(
        name="many",
        candidates=made,
        comparison=compare(made, labels, resamples=50),
        labels=labels,
        split=split,
        provenance={},
    )
    last = ranking_rows(one)[-1]
    assert (last["title"], last["outside"], last["place"][2]) == ("b0", "‹ lower", None)
    assert all(not row["outside"] for row in ranking_rows(one)[:4])
    with undrawn():
        page = html_page.render(one, drawings.draw(one), None, View(size=8), (), "map.html")
    assert "<summary>Ranks 7 to 9</summary>" in page
    assert '<a href="map.html">' in page and "‹ lower" in page
    # nobody voted on these labels
    assert "label: <b>" in page and "volunteers: <b>" not in page
