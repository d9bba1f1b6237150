"""The README is run: every block, in order, in one folder with the files it names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gzfeatures.images.sky import draw_survey

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- \w+ command -->\n)?```(bash|python)\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a survey under the names of the Kaggle files."""
    folder = tmp_path_factory.mktemp("desk")
    survey = draw_survey(folder / "survey", n=240, seed=1, size=96, progress=False)
    survey.catalog.rename(folder / "training_solutions_rev1.csv")
    shutil.make_archive(str(folder / "images_training_rev1"), "zip", survey.images)
    return folder


@pytest.mark.parametrize(
    ("kind", "code"),
    [(kind, code) for set_up, kind, code in BLOCKS if not set_up],
    ids=lambda value: value.split("\n")[0][:40],
)
def test_block_runs(desk: Path, kind: str, code: str) -> None:
    if kind == "bash":
        shim = f'gzfeatures() {{ "{sys.executable}" -m gzfeatures "$@"; }}\nset -e\n'
        command = ["bash", "-c", shim + code]
    else:
        command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


def test_set_up_commands_are_two() -> None:
    assert [marker.split()[1] for marker, _, _ in BLOCKS if marker] == ["demo", "test"]
