"""MLflow's unstable parts: there, and where they are not, the same tables and numbers without
them."""

from __future__ import annotations

import _sqlite3
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from sqlalchemy import Engine, text
from test_tracking import older

from gzfeatures.errors import OutputError
from gzfeatures.tracking import _compat_mlflow as compat
from gzfeatures.tracking.database import make_database
from gzfeatures.tracking.runs import Tracking

VERSION = f"MLflow {version('mlflow')}"
PRIVATE = ("_initialize_tables", "_upgrade_db", "_get_alembic_config")


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns of each table; the constraints come in another order each time."""
    with closing(sqlite3.connect(path)) as database:
        names = [
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table'")
        ]
        return {name: database.execute(f"pragma table_info({name})").fetchall() for name in names}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("database")
    Tracking(root=folder)
    return folder / "mlflow.db"


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the functions, to us: MLflow itself would call what it has put in their place."""
    monkeypatch.setattr(compat, "_STORE", "mlflow.of_another_version")


@pytest.mark.parametrize("name", PRIVATE)
def test_canary_mlflow_has_its_functions_of_the_schema(name: str) -> None:
    assert compat._function(name) is not None, VERSION


def test_tables_are_made_without_waiting_for_the_disk_and_upgraded_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def asked(engine: Engine) -> None:
        with engine.connect() as connection:
            waits.append(connection.execute(text("pragma synchronous")).scalar_one())

    # other databases of tests never wait
    monkeypatch.setattr(sqlite3.dbapi2, "connect", _sqlite3.connect)
    monkeypatch.setattr(compat, "_function", lambda name: asked)
    compat.create_tables(f"sqlite:///{tmp_path / 'made.db'}")
    compat.upgrade_tables(f"sqlite:///{tmp_path / 'upgraded.db'}")
    assert waits == [0, 2]


def test_a_function_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("mlflow.store.db.utils._upgrade_db")
    assert compat._function("_upgrade_db") is None


def test_canary_mlflow_keeps_addresses_of_artifacts_in_known_columns(database: Path) -> None:
    with closing(sqlite3.connect(database)) as opened:
        compat.require_columns(opened, database)
        addresses = {
            (table, column)
            for table in tables(database)
            for _, column, *_ in opened.execute(f"pragma table_info({table})")
            if column in {"artifact_uri", "artifact_location", "storage_location", "source"}
        }
    known = {(table, column) for table, _, column in compat.ARTIFACT_COLUMNS} | {
        ("experiments", "artifact_location")
    }
    assert known <= addresses, VERSION


@pytest.mark.parametrize("tag", [compat.NOTE, compat.VIEW.rpartition(".")[0], "viewStateShareKey"])
def test_canary_the_ui_reads_the_tags(tag: str) -> None:
    import mlflow

    pages = Path(mlflow.__file__).parent / "server" / "js" / "build"
    assert any(tag in path.read_text(errors="replace") for path in pages.rglob("*.js")), VERSION


def test_canary_mlflow_measures_the_machine_under_the_names_of_the_fallback() -> None:
    (theirs, *_), ours = compat.monitors(), compat.Processors()
    assert type(theirs).__module__.startswith("mlflow."), VERSION
    for monitor in (theirs, ours):
        monitor.collect_metrics()
    assert theirs.aggregate_metrics().keys() == ours.aggregate_metrics().keys(), VERSION


def test_without_mlflow_s_functions_a_database_has_the_same_tables(
    gone: None, database: Path, tmp_path: Path
) -> None:
    make_database(tmp_path / "mlflow.db")
    assert tables(tmp_path / "mlflow.db") == tables(database)
    assert Tracking(root=tmp_path).notes == []


def test_without_mlflow_s_functions_an_older_database_is_upgraded(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = older(tmp_path / "mlflow.db")  # made with the functions that are gone from here on
    monkeypatch.setattr(compat, "_STORE", "mlflow.of_another_version")
    with pytest.raises(OutputError, match=rf"of an older MLflow; .*found {schema}"):
        Tracking(root=tmp_path)
    assert schema in Tracking(root=tmp_path, upgrade=True).notes[0]
    assert tables(tmp_path / "mlflow.db").keys() == tables(database).keys()


def test_without_mlflow_s_migrations_a_schema_is_not_judged(
    gone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(
        OutputError, match=rf"{VERSION}: schema of the database cannot be judged; .*; pip install"
    ) as e:
        compat.schemas()
    assert "\n" not in str(e.value)


def test_a_command_line_that_fails_is_told_in_one_line(gone: None) -> None:
    with pytest.raises(OutputError, match=r"mlflow db: database cannot be made, found ") as caught:
        compat.upgrade_tables("sqlite:////dev/null/mlflow.db")
    assert "\n" not in str(caught.value)


def test_a_column_that_mlflow_no_longer_has_is_named(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as opened:
        opened.execute("create table runs (run_uuid text)")
        with pytest.raises(
            OutputError, match=rf"have the column runs\.artifact_uri, found {VERSION}"
        ):
            compat.require_columns(opened, tmp_path / "mlflow.db")


class NoAnswer(Exception):
    """As of NVIDIA's library."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """NVIDIA's library with one GPU, whose power it does not tell the second time."""
    library = ModuleType("pynvml")
    answers = {
        "NVMLError": NoAnswer,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetMemoryInfo": lambda device: SimpleNamespace(used=3e9, total=8e9),
        "nvmlDeviceGetUtilizationRates": lambda device: SimpleNamespace(gpu=41),
        "nvmlDeviceGetPowerUsage": lambda device: 123_456,
        "nvmlDeviceGetEnforcedPowerLimit": lambda device: 300_000,
    }
    for name, answer in answers.items():
        setattr(library, name, answer)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    yield library


def test_gpus_are_measured_the_same_without_mlflow_s_monitor(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.system_metrics.metrics.gpu_monitor.pynvml", gpu, raising=False)
    theirs = compat.monitors()[-1]
    monkeypatch.delattr("mlflow.system_metrics.metrics.gpu_monitor.GPUMonitor")
    monkeypatch.delattr("mlflow.system_metrics.metrics.cpu_monitor.CPUMonitor")
    processors, ours = compat.monitors()
    assert (type(processors), type(ours)) == (compat.Processors, compat.Gpus)
    for monitor in (theirs, ours):
        monitor.clear_metrics()
        monitor.collect_metrics()
    assert (
        ours.aggregate_metrics() == theirs.aggregate_metrics()
        and len(ours.aggregate_metrics()) == 5
    )


def test_a_gpu_that_does_not_tell_its_power_tells_the_rest(gpu: ModuleType) -> None:
    def silent(device: int) -> int:
        raise NoAnswer

    gpu.nvmlDeviceGetPowerUsage = silent
    ours = compat.Gpus()
    ours.collect_metrics()
    assert ours.aggregate_metrics() == {
        "gpu_0_memory_usage_percentage": 37.5,
        "gpu_0_memory_usage_megabytes": 3000.0,
        "gpu_0_utilization_percentage": 41,
    }
