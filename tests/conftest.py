"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import SHARED, TESTS
from shortcuts.unsynced import unsynced, with_a_template

# Workers share the cores: a thread more in each would wait for the others. Said before anything
# imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a terminal's width reaches the workers, and with it every verb that they call would break lines
os.environ.pop("COLUMNS", None)

LONGEST_FIRST = ("end_to_end", "faults", "browser", "claims", "doors", "hostile", "gpu", "unit")
"""Rooms in the order in which workers take their files: no long file is begun when all else is
done."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than cores, at most eight, for a third of the time is waiting, but for units,
    which hardly wait; where files or tests are named, none: they are over before it had started."""
    folders = all(Path(argument).is_dir() for argument in config.args)
    units = all(Path(argument).resolve().is_relative_to(TESTS / "unit") for argument in config.args)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(cores + (not units), 8) if folders and cores > 1 else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Sizes of the suites of faults and of fuzzing; with them, their tables of figures are
    written."""
    parser.addoption(
        "--moments",
        nargs=2,
        type=int,
        metavar=("KILLS", "OTHERS"),
        help="per step; writes tests/faults/README.md",
    )
    parser.addoption(
        "--environment",
        action="store_true",
        help="Also serve a model in MLflow's default environment.",
    )
    parser.addoption(
        "--rewrite-printed",
        action="store_true",
        help="Write what verbs print into tests/end_to_end/printed/golden.",
    )
    parser.addoption("--cases", type=int, help="per reader; writes tests/hostile/README.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The folder of a test is its marker; tests that fill an environment from an index run only
    where that is said."""
    for item in items:
        item.add_marker(_room(item))
        if item.get_closest_marker("environment") and not config.getoption("--environment"):
            item.add_marker(
                pytest.mark.skip(
                    "fills an environment from an index: pytest "
                    "tests/end_to_end/tracking/test_models.py --environment"
                )
            )
    items.sort(key=lambda item: LONGEST_FIRST.index(_room(item)))


IMPORTED = 200
"""Modules more than at the last time, after which the collector of cycles is told again."""
_told = 0


def pytest_runtest_logstart() -> None:
    """What was imported stays: the collector of cycles need not look at its million objects at each
    extraction, which takes half as long without."""
    global _told
    if len(sys.modules) > _told + IMPORTED:
        _told = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    """Libraries complain at the end of what is not collected."""
    gc.unfreeze()


def _room(item: pytest.Item) -> str:
    """The folder below tests/ in which a test lies."""
    return item.path.relative_to(TESTS).parts[0]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real galaxies beside the checkout; tests that need them skip where they are absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real galaxies of ../shared/data are absent")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the user's own record of what was written, nor what PyTorch's compiler
    reuses; all workers share one folder of the compiler, which tries the processor out but once."""
    base = tmp_path_factory.getbasetemp()
    common = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(common / "inductor"))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test waits for the disk; MLflow's tables are made once."""
    with pytest.MonkeyPatch.context() as patch:
        unsynced(patch)
        with_a_template(patch, tmp_path_factory.mktemp("mlflow"))
        yield


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """No test leaves an address in the environment: MLflow keeps its tracking address there."""
    before = dict(os.environ)
    yield
    changed = {
        name
        for name in before.keys() | os.environ.keys()
        if before.get(name) != os.environ.get(name)
    }
    if connection := sys.modules.get(
        "gzfeatures.tracking.connection"
    ):  # MLflow's settings, the same from its first use on
        changed -= connection.ENVIRONMENT.keys() | connection.DEFAULTS.keys()
    left = {name for name in changed if name.startswith(("MLFLOW_", "GZFEATURES_", "XDG_"))}
    for name in left:
        os.environ.pop(name, None)
        os.environ.update({name: before[name]} if name in before else {})
    assert not left, "left in the environment"


@pytest.fixture
def drawn() -> None:
    """The figures of this test are drawn, where its file draws none (`undrawn.py`)."""


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """No test leaves a handler of SIGTERM: Ray installs one, by which forked workers do not end."""
    yield
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own store, nor runs the user's compiled networks."""
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path_factory.mktemp("store")))
    monkeypatch.setenv("GZFEATURES_COMPILED", str(tmp_path_factory.mktemp("compiled")))
