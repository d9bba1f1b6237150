"""The README and the pages that go on from it are run: every block, in order, in one folder with
the files they name."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest
from desks.survey_files import laid_out
from places import ROOT, TESTS
from verbs import called

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"
PAGES = [DOCS / "how-to" / f"{name}.md" for name in ("journeys", "predict", "python", "cluster")]
PAGES += [DOCS / "how-to" / "extend.md"]
"""Pages that are run, in this order: a journey makes what later ones read."""
BLOCK = re.compile(
    r"(<!-- \w+ command -->\n)?```(bash|python|toml|console)\n(.*?)```", flags=re.DOTALL
)


def blocks() -> list[tuple[str, str, str]]:
    """Blocks of README and pages; of what a terminal showed, the command that is not in README."""
    found = BLOCK.findall(README)
    readme = "".join(code for _, _, code in found)
    for page in PAGES:
        for set_up, kind, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind != "console":
                found.append((set_up, kind, code))
            elif (line := code.splitlines()[0].removeprefix("$ ")) not in readme:
                found.append((set_up, "bash", line))
    return found


BLOCKS = blocks()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("desk"), n=150, size=96)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(kind, code) for set_up, kind, code in BLOCKS if not set_up],
    ids=lambda value: value.split("\n")[0][:40],
)
def test_block_runs(desk: Path, kind: str, code: str) -> None:
    if kind == "toml":
        (desk / "mine.toml").write_text(code, encoding="utf-8")
        code = "gzfeatures label training_solutions_rev1.csv --scheme mine.toml"
    if kind == "python":
        with contextlib.chdir(desk):
            exec(compile(code, "<block>", "exec"), {"__name__": "__main__"})  # noqa: S102  (our own)
        return
    for words in commands(code):
        result = called(*words[1:], cwd=desk)
        assert result.returncode == 0, result.stderr[-2000:]


def commands(code: str) -> list[list[str]]:
    """The words a shell makes of each line; all have to be our verbs, and nothing in them the
    shell's own business."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    for words in lines:
        assert words[0] == "gzfeatures" and not set("".join(words)) & set("$`|&;<>*?~!(){}[]\"'"), (
            words
        )
    return lines


def test_a_page_with_a_block_of_bash_is_one_that_is_run() -> None:
    """`sh` is for commands with files that only a reader has."""
    held = [page for page in DOCS.rglob("*.md") if "```bash" in page.read_text(encoding="utf-8")]
    # the page of encoders has a test of its own, with files of other libraries
    assert {*held} <= {*PAGES, DOCS / "own-backbone.md"}
    assert sum(code.count("gzfeatures ") for _, kind, code in BLOCKS if kind == "bash") > 15


def test_no_two_blocks_write_one_file_so_that_all_can_be_run_twice_in_one_folder() -> None:
    """What Python wrote under a verb's name is no file of the verb: it would be refused the second
    time."""
    written = [
        {
            *re.findall(r" (?:-o|--gallery) (\S+)", code),
            *re.findall(r"write\w*\(\"([^\"]+)\"", code),
        }
        for set_up, _, code in BLOCKS
        if not set_up
    ]
    names = [name for block in written for name in block]
    assert len(names) > 10 and len(names) == len(set(names)), sorted(names)


def test_set_up_commands_are_two() -> None:
    assert [marker.split()[1] for marker, _, _ in BLOCKS if marker] == ["demo", "test"]


def rows_of(suite: str) -> list[list[str]]:
    """Cells of the last table of a suite's page: its figures."""
    text = (TESTS / suite / "README.md").read_text(encoding="utf-8")
    lines = text.rstrip().rpartition("\n\n")[2].splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ")
    ][1:]


def test_readme_is_short_and_its_links_lead_to_files() -> None:
    assert len(README.splitlines()) < 90 and len(re.findall(r"!\[", README)) == 1
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []
    # every guide of the site can be reached from here, or from the page that the site opens on
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    guides = {page.name for page in DOCS.glob("*/*.md")}
    assert {name for name in guides if f"/{name})" not in README + index} == set()


def test_the_journeys_of_the_readme_are_printed_on_their_page() -> None:
    page = (DOCS / "how-to" / "journeys.md").read_text(encoding="utf-8")
    shown = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", page)
    assert len(shown) == 15 and all(output.strip() for _, output in shown)
    (five,) = (code for set_up, _, code in BLOCK.findall(README) if not set_up)
    assert five.splitlines() == [command for command, _ in shown[:5]]


def test_the_figures_of_the_suites_are_those_of_their_tables() -> None:
    page = (DOCS / "explanation" / "guarantees.md").read_text(encoding="utf-8")
    runs, lost, wrong, recovered = (
        sum(int(row[column]) for row in rows_of("faults")) for column in range(2, 6)
    )
    assert f"caused {runs} faults:\n{lost} lost, {wrong} wrong, {recovered} recovered" in page
    fuzz = rows_of("hostile")
    cases = [int(cells[1]) for cells in fuzz]
    met = (
        f"{len(fuzz)} readers met {min(cases):,} to {max(cases):,} damaged files each without "
        "a traceback"
    )
    assert met in page
    assert min(cases) >= 1000 and all(cells[2] == "0" for cells in fuzz)
