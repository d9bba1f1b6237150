"""The wheel as pip builds it: whole, and of use where the checkout is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from places import ROOT

from gzfeatures.synthetic.survey import draw_survey

BUILD = "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])"
READ_AT_RUN_TIME = (
    "py.typed",
    "moved.toml",
    "experiment/demo.toml",
    "paper/references.toml",
    "report/templates/report.html",
    "maps/page/map.html",
    "networks/weights/googlenet-gz2/model.safetensors",
    "networks/weights/googlenet-gz2/trained_on.npz",
    "networks/weights/googlenet-gz2/heads/zhu-5class.skops",
)
"""Some that must be there; all others of the folder have to be, too."""


def files_of_the_package() -> set[str]:
    """Every file below the package that is no by-product of running it."""
    package = ROOT / "gzfeatures"
    names = (path.relative_to(ROOT) for path in package.rglob("*") if path.is_file())
    return {
        name.as_posix()
        for name in names
        if not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip builds it, from a copy: a build leaves folders behind."""
    copy, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    by_products = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "gzfeatures", copy / "gzfeatures", ignore=by_products)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-c", BUILD, str(built)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (path,) = built.glob("*.whl")
    return path


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    wanted = files_of_the_package()
    assert {f"gzfeatures/{name}" for name in READ_AT_RUN_TIME} <= wanted
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    assert wanted - held == set()
    # nothing but the package and what pip notes of it: no tests, no pictures of galaxies
    roots = {PurePosixPath(name).parts[0] for name in held}
    assert roots == {"gzfeatures", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


def test_a_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    environment, desk = tmp_path / "environment", tmp_path / "desk"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    home = Path(
        sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    )
    # what the package requires is that of this Python; a path in a .pth reads no .pth there, so
    # that an editable installation of the checkout is none here
    (home / "requirements.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home)
    survey = draw_survey(desk, n=12, seed=1, size=64, progress=False)

    def said(*words: str | Path) -> str:
        command = [str(python), "-m", "gzfeatures", *map(str, words)]
        done = subprocess.run(
            command, cwd=desk, capture_output=True, text=True, check=False, env=bare(tmp_path)
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    where = subprocess.run(
        [str(python), "-c", "import gzfeatures; print(gzfeatures.__file__)"],
        cwd=desk, capture_output=True, text=True, check=True, env=bare(tmp_path),
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(home)
    assert "googlenet-gz2" in said("list", "backbones")
    said("label", survey.catalog, "--scheme", "zhu-5class", "-o", "labels.csv")
    said("predict", "googlenet-gz2", survey.images, "-o", "classes.csv")
    assert (desk / "classes.csv").read_text(encoding="utf-8").count("\n") == 13


def bare(tmp_path: Path) -> dict[str, str]:
    """Variables of a shell that knows nothing of this checkout."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
