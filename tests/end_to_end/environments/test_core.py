"""What works without PyTorch, Lightning and MLflow, and what says that it needs them."""

from __future__ import annotations

import configparser
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from core_verbs import ABSENT
from places import ROOT

from gzfeatures.errors import BEYOND_CORE, MissingExtraError, require_packages

SCRIPT = ROOT / "tests" / "end_to_end" / "environments" / "core_verbs.py"
INSTEAD = {"xgboost-cpu": "xgboost"}
"""Packages of the core that stand for another of setup.cfg."""
BEYOND = {*BEYOND_CORE.values(), "scikit-learn-intelex"}


def required() -> dict[str, str]:
    """Line of each package that setup.cfg requires."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options"]["install_requires"].split("\n")
    return {line.split(">=")[0]: line for line in lines if line}


def core() -> list[str]:
    lines = (ROOT / "requirements-core.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_verbs_on_tables_work_without_torch_and_the_others_say_what_they_lack(
    tmp_path: Path,
) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--blocked"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    assert {words[0] for words, _, _ in ended["worked"]} >= {
        *("check", "label", "join", "sample", "fit", "predict", "map"),
        *("similar", "odd", "duplicates", "doubt", "find", "table"),
    }
    # one line, with the packages to install
    for _, _, said in ended["refused"]:
        assert "not installed; pip install" in said


def test_the_core_lists_what_setup_cfg_requires_with_the_same_floors() -> None:
    lines, wanted = core(), required()
    named = {INSTEAD.get(line.split(">=")[0], line.split(">=")[0]): line for line in lines}
    assert set(named) == set(wanted) - (BEYOND - {"xgboost"})
    for name, line in named.items():
        assert line.split(">=")[1] == wanted[name].split(";")[0].split(">=")[1].strip()


def test_what_the_core_does_without_is_what_messages_name() -> None:
    assert set(BEYOND_CORE) - {"xgboost"} <= set(ABSENT)


def test_a_job_is_refused_with_the_packages_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages("counting", "captum")
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingExtraError, match=r"^counting needs captum.*; pip install captum$"):
        require_packages("counting", "captum")


def test_looking_for_a_package_does_not_import_it() -> None:
    assert importlib.util.find_spec("mlflow") is not None
    code = (
        "from gzfeatures.errors import require_packages; require_packages('x', 'mlflow', 'torch')\n"
        "import sys; assert not {'mlflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_asking_an_old_module_for_any_name_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from gzfeatures._moved import names_of

    # whichmodule of pickle and skops asks every module that is loaded
    monkeypatch.setitem(sys.modules, "gzfeatures.networks.inference.probabilities", None)
    with pytest.raises(AttributeError, match="no attribute 'Ellipsis'"):
        names_of("networks.inference")("Ellipsis")
