"""The README is run: every block, in order, in one folder with the files it names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from places import ROOT, TESTS
from verbs import called

from gzfeatures.synthetic.survey import draw_survey

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"(<!-- \w+ command -->\n)?```(bash|python|toml)\n(.*?)```", README, flags=re.DOTALL
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a survey under the names of the files of Kaggle, of Galaxy Zoo 2, and of one's
    own."""
    folder = tmp_path_factory.mktemp("desk")
    survey = draw_survey(folder / "survey", n=150, seed=1, size=96, progress=False)
    survey.catalog.rename(folder / "training_solutions_rev1.csv")
    for name in ("images_training_rev1", "images_gz2"):
        shutil.make_archive(str(folder / name), "zip", survey.images)
    hart = pd.read_csv(survey.hart)
    objects = hart["asset_id"].map(lambda number: 587_722_981_000_000_000 + number)
    hart.assign(dr7objid=objects).drop(columns="asset_id").to_csv(
        folder / "gz2_hart16.csv.gz", index=False
    )
    names = pd.DataFrame({"objid": objects, "sample": "original", "asset_id": hart["asset_id"]})
    names.to_csv(folder / "gz2_filename_mapping.csv", index=False)
    survey.images.rename(folder / "my-images")
    mine = pd.DataFrame(
        {"galaxy_id": hart["asset_id"], "label": np.where(hart["asset_id"] % 3, "plain", "pretty")}
    )
    mine[:110].to_csv(folder / "my-labels.csv", index=False)
    return folder


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
        results = [
            subprocess.run(
                [sys.executable, "-c", code], cwd=desk, capture_output=True, text=True, check=False
            )
        ]
    else:
        results = [called(*words[1:], cwd=desk) for words in commands(code)]
    for result in results:
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


def test_no_two_blocks_write_one_file_so_that_the_readme_can_be_run_twice_in_one_folder() -> None:
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


def test_the_figures_of_the_suites_are_those_of_their_tables() -> None:
    runs, lost, wrong, recovered = (
        sum(int(row[column]) for row in rows_of("faults")) for column in range(2, 6)
    )
    assert f"caused {runs} faults:\n{lost} lost, {wrong} wrong, {recovered} recovered" in README
    fuzz = rows_of("hostile")
    cases = [int(cells[1]) for cells in fuzz]
    met = (
        f"{len(fuzz)} readers met {min(cases):,} to {max(cases):,} damaged files each without "
        "a traceback"
    )
    assert met in README
    assert min(cases) >= 1000 and all(cells[2] == "0" for cells in fuzz)
