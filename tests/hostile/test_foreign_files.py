"""Files of strangers in places where a model, a head, labels, an experiment or a run is expected.

Each is a stand-in that would touch a file named `sprung`, and harms nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from PIL import Image
from tables_of import table_of
from test_malicious import CODE, GALAXIES, PICKLE, Trap
from verbs import called

import gzfeatures
from gzfeatures.errors import GzError, OutputError
from gzfeatures.experiment import config
from gzfeatures.features.backbones import backbone
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.networks.models import architectures

LIMIT = 30
"""Seconds after which a verb counts as hanging, on a machine with other work."""


def _zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"{path.stem}/{name}", data)


def _program(path: Path) -> None:
    """A program exported by torch.export, whose constants are pickled."""
    _zip(
        path,
        {
            "archive_format": b"pt2",
            "version": b"3",
            "models/model.json": b"{}",
            "data/constants/model_constants_config.json": b"{}",
            "data/weights/weight_0": PICKLE,
            "data/constants/custom_obj_0": PICKLE,
            "data.pkl": PICKLE,
        },
    )


def _script(path: Path) -> None:
    """A TorchScript archive with code."""
    code = b"def forward(self, x):\n  return __import__('pathlib').Path('sprung').touch()\n"
    _zip(
        path,
        {"constants.pkl": PICKLE, "data.pkl": PICKLE, "version": b"3", "code/__torch__.py": code},
    )


def _onnx(path: Path) -> None:
    """A model whose weights lie in a file elsewhere, as ONNX allows."""
    text = b"\x08\x07\x12\x04evil:\x20\x0a\x08location\x12\x14../../../etc/passwd"
    path.write_bytes(text + PICKLE)


def _keras(path: Path) -> None:
    with h5py.File(path, "w") as file:
        layer = {"class_name": "Lambda", "config": {"function": [CODE, None, None]}}
        file.attrs["model_config"] = json.dumps({"config": {"layers": [layer]}})


def _lightning(path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": Trap(), "callbacks": Trap()}, path)


MODELS: dict[str, Callable[[Path], object]] = {
    "pickle.pkl": lambda path: path.write_bytes(PICKLE),
    "joblib.joblib": lambda path: joblib.dump(Trap(), path),
    "joblib.pkl.gz": lambda path: joblib.dump(Trap(), path, compress=True),
    "torch.pth": lambda path: torch.save({"fc.weight": Trap()}, path),
    "torch.pt": _script,
    "program.pt2": _program,
    "model.onnx": _onnx,
    "pickle.safetensors": lambda path: path.write_bytes(PICKLE),
    "array.npy": lambda path: np.save(path, np.asarray([Trap()], dtype=object), allow_pickle=True),
    "function.skops": lambda path: skops.io.dump({"estimator": os.system}, path),
    "model.h5": _keras,
    "state.ckpt": _lightning,
    "script.py": lambda path: path.write_text(CODE),
    "pipe.pth": os.mkfifo,
    "empty.safetensors": lambda path: path.touch(),
}
"""Models of strangers by file name, and how they are made."""


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Turn a hang into a failure."""

    rang: list[int] = []

    def late(*_: object) -> None:
        rang.append(seconds)
        raise TimeoutError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        # a reader that turns every error into one line turns this one, too
        assert not rang, f"not done within {seconds} s"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with images and a table."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    table_of(np.zeros((3, 4))).write(tmp_path / "table.parquet")
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(desk: Path, *words: str) -> str:
    """The one line with which a verb refuses; nothing ran, and nothing was written."""
    with no_longer_than(LIMIT):
        done = called(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert not list(desk.rglob("sprung"))
    assert not [path for path in desk.glob("out.*") if path.is_file()]
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr, done.stderr
    lines = done.stderr.strip().splitlines()
    # how far it came may stand before
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_a_stranger_is_no_weights(name: str, desk: Path) -> None:
    MODELS[name](desk / name)
    how = ("--backbone", "resnet18", "--weights", name, "-o", "out.parquet")
    assert name in refused(desk, "extract", "images", *how)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_a_stranger_is_no_head(name: str, desk: Path) -> None:
    MODELS[name](desk / name)
    assert name in refused(desk, "predict", name, "table.parquet", "-o", "out.csv")


@pytest.mark.parametrize("name", ["torch.pth", "pickle.safetensors", "state.ckpt"])
def test_a_model_of_a_stranger_is_no_checkpoint(name: str, desk: Path) -> None:
    (desk / "network").mkdir()
    MODELS[name](desk / "network" / name)
    assert "network" in refused(desk, "predict", "network", "images", "-o", "out.csv")


WORDS = ("evil:run", "evil.run", "evil", "os:system", CODE, "!!python/object/apply:evil.run []")
"""What other programs would import, evaluate or call."""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that Python would find, and that touches `sprung` when it is imported."""
    (tmp_path / "evil.py").write_text(f"{CODE}\ndef run(*_, **__): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "sprung"


def test_the_module_is_sharp(evil: Path) -> None:
    __import__("evil")
    del sys.modules["evil"]
    assert evil.exists()


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths to every text of an experiment."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))
    elif isinstance(value, str):
        yield path


EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_no_text_of_an_experiment_is_imported_evaluated_or_called(
    path: Path, tmp_path: Path, evil: Path
) -> None:
    settings = tomllib.loads(path.read_text("utf-8"))
    found = list(places(settings))
    assert found
    for place in found:
        for word in WORDS:
            changed = json.loads(json.dumps(settings))
            inner = changed
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = word
            file = tmp_path / "experiment.json"
            file.write_text(json.dumps(changed))
            try:
                config.load(file)
            except GzError as error:
                assert len(str(error).splitlines()) == 1
    assert not evil.exists()


def test_an_experiment_that_names_code_is_one_line(desk: Path, evil: Path) -> None:
    """It is refused by its name; what was noted of the experiment itself stays."""
    text = f'name = "out"\n{GALAXIES}[[backbones]]\nname = "evil:run"\n[[heads]]\nname = "svm"\n'
    (desk / "e.toml").write_text(text)
    line = refused(desk, "run", "e.toml", "-o", "out.d")
    assert "unknown backbone" in line
    assert {path.name for path in (desk / "out.d").iterdir()} <= {".lock", "experiment.json"}


def test_names_are_looked_up_and_never_imported(evil: Path) -> None:
    for word in WORDS:
        for look_up in (backbone, scheme, lambda name: architectures.build(name, 2, 3)):
            with pytest.raises(GzError):
                look_up(word)
    assert not evil.exists()


def _a_run(folder: Path, **changed: object) -> Path:
    """A finished run of a stranger, with one thing changed."""
    folder.mkdir()
    (folder / "labels.csv").write_text(
        "galaxy_id,label,split\na,x,train\nb,y,validation\nc,x,test\n"
    )
    candidate = {"road": "frozen", "backbone": "b", "head": "h", "predictions": "p.parquet"}
    (folder / "pairings.json").write_text(json.dumps([candidate | changed]))
    pd.DataFrame({"galaxy_id": ["c"]}).to_parquet(folder / "p.parquet")
    return folder


RUNS: dict[str, Callable[[Path], object]] = {
    "leads outside": lambda run: _a_run(run, predictions="../table.parquet"),
    "leads anywhere": lambda run: _a_run(run, predictions="/etc/hostname"),
    "names a device": lambda run: _a_run(run, predictions="/dev/zero"),
    "is of another shape": lambda run: _a_run(run, predictions=["p.parquet"]),
    "has fields of its own": lambda run: _a_run(run, __class__="os:system"),
    "pickled predictions": lambda run: (_a_run(run) / "p.parquet").write_bytes(PICKLE),
    "pickled candidates": lambda run: (_a_run(run) / "pairings.json").write_bytes(PICKLE),
    "pickled labels": lambda run: (_a_run(run) / "labels.csv").write_bytes(PICKLE),
    "pipe for labels": lambda run: (
        (_a_run(run) / "labels.csv").unlink() or os.mkfifo(run / "labels.csv")
    ),
    "link to a secret": lambda run: (
        (_a_run(run) / "p.parquet").unlink() or (run / "p.parquet").symlink_to("/etc/hostname")
    ),
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_folder_of_a_stranger_is_one_line(case: str, desk: Path) -> None:
    RUNS[case](desk / "run")
    line = refused(desk, "compare", "run", "run")
    assert "root:" not in line


def test_a_column_of_a_colleague_decides_nothing(tmp_path: Path) -> None:
    plain = pd.DataFrame(
        {"galaxy_id": ["1", "2", "3", "4"], "label": ["x", "y", "x", "y"], "split": ["train"] * 4}
    )
    plain.to_csv(tmp_path / "plain.csv", index=False)
    forged = plain.assign(
        asked=["never", "=cmd|' /C calc'!A0", "", "99999"],
        asked_by="somebody else",
        seen=True,
        __class__="os:system",
        weight=["nan", "-1", "inf", CODE],
    )
    forged.to_csv(tmp_path / "forged.csv", index=False)
    (labels, split), (others, other_split) = (
        read_labels(tmp_path / f"{name}.csv") for name in ("plain", "forged")
    )
    assert others.ids.tolist() == labels.ids.tolist()
    assert others.classes == labels.classes and others.values.tolist() == labels.values.tolist()
    assert split is not None and other_split is not None
    assert other_split.train.tolist() == split.train.tolist()


FORMULAS = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1+1",
    "＠SUM(A1)",
)


def test_formulas_of_a_colleague_leave_every_csv_as_text(desk: Path) -> None:
    """Ids, texts and names of columns that are formulas."""
    from gzfeatures.tablefiles.tables import guarded, read_table, unguarded, write_csv

    frame = pd.DataFrame({"galaxy_id": FORMULAS, **dict.fromkeys(FORMULAS, FORMULAS)})
    write_csv(frame, desk / "out.csv")
    cells = pd.read_csv(desk / "out.csv", header=None, dtype=str, keep_default_na=False).to_numpy()
    starts = tuple("=+-@\t\r\n＝＋－＠")
    assert not [cell for cell in cells.ravel() if cell.startswith(starts)]
    assert [unguarded(guarded(text)) for text in FORMULAS] == list(FORMULAS)
    assert read_table(desk / "out.csv")["galaxy_id"].tolist() == list(FORMULAS)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of MLflow's database with an experiment `evil`."""
    from gzfeatures.tracking import Tracking

    folder = tmp_path_factory.mktemp("database") / "mlruns"
    Tracking(root=folder).require("evil")
    return folder


def _changed(database: Path, folder: Path, statement: str) -> Path:
    """A copy of a database, changed by a stranger."""
    shutil.copytree(database, folder)
    with closing(sqlite3.connect(folder / "mlflow.db")) as opened:
        opened.execute(statement)
        opened.commit()
    return folder


ELSEWHERE = "update experiments set artifact_location = '{}' where name = 'evil'"
DATABASES = {
    "a bucket": ("s3://stranger/in", "would be written elsewhere"),
    "a server": ("http://127.0.0.1:9/in", "would be written elsewhere"),
    "another host's disk": ("file://stranger/in", "would be written elsewhere"),
    "a folder of the user": ("file:///etc/victim", "would be written elsewhere"),
    "a way out": ("file://{folder}/artifacts/../../victim", "would be written elsewhere"),
    "a path": ("{parent}/victim", "would be written elsewhere"),
}


@pytest.mark.parametrize("case", DATABASES)
def test_a_database_of_a_stranger_sends_nothing_elsewhere(
    case: str, tmp_path: Path, database: Path
) -> None:
    from gzfeatures.tracking import Tracking

    address, words = DATABASES[case]
    folder = tmp_path / "mlruns"
    place = address.format(folder=folder, parent=tmp_path)
    _changed(database, folder, ELSEWHERE.format(place))
    tracking = Tracking(root=folder)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=words) as caught:
        tracking.require("evil")
    assert len(str(caught.value).splitlines()) == 1
    assert set(tmp_path.rglob("*")) == before
    tracking.require("another")


def test_a_database_that_changes_where_files_are_written_is_refused(
    tmp_path: Path, database: Path
) -> None:
    from gzfeatures.tracking import Tracking

    trigger = (
        "create trigger moved after insert on runs begin "
        "update runs set artifact_uri = 'file:///etc/victim' where run_uuid = new.run_uuid; end"
    )
    folder = _changed(database, tmp_path / "mlruns", trigger)
    with pytest.raises(OutputError, match="must have no trigger that does, found moved"):
        Tracking(root=folder)


@pytest.mark.parametrize("name", ["joblib.joblib", "function.skops", "torch.pth", "program.pt2"])
def test_a_served_model_of_a_stranger_is_refused_where_our_loader_reads_it(
    name: str, desk: Path
) -> None:
    """The loader that MLflow calls for models of ours; a model with another loader is not ours."""
    from gzfeatures.tracking import models

    (desk / "model").mkdir()
    MODELS[name](desk / "model" / models.HEAD)
    with no_longer_than(LIMIT), pytest.raises(GzError) as caught:
        models._load_pyfunc(str(desk / "model"))
    assert len(str(caught.value).splitlines()) == 1
    assert not list(desk.rglob("sprung"))


def test_no_module_of_the_package_loads_a_model_by_mlflow() -> None:
    """MLflow imports what a model names: that is left to people who serve models they made."""
    calls = re.compile(
        r"(?<![.\w])(?:\w+\.)?(load_model|import_module|__import__)\(|(?<![.\w])(eval|exec)\("
    )
    root = Path(gzfeatures.__file__).parent
    found = {
        (str(path.relative_to(root)), match[1] or match[2])
        for path in root.rglob("*.py")
        for match in calls.finditer(path.read_text("utf-8"))
    }
    # names that the package itself says: optional packages, its verbs, its own old names
    own = {"errors", "_moved", "__init__", "cli/__init__", "heads/estimators/machines"}
    own |= {"tracking/_compat_mlflow", "heads/_compat_skops", "notebook"}
    own |= {"features/conversions/table_conversions", "cli/console", "session/teaching_view"}
    assert found <= {(f"{name}.py", "import_module") for name in own}, found
