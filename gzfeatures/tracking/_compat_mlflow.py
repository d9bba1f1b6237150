"""Use undocumented names of MLflow: database tables, classes that measure load, tags of its UI.

No other module uses undocumented names. If an MLflow release lacks one, `test_compat_mlflow.py`
fails, and gzfeatures uses a replacement: MLflow's command line creates the tables (slower, equal
tables), and psutil and NVIDIA's library measure the machine. A tag that the UI no longer knows has
no effect.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gzfeatures.errors import OutputError

NOTE = "mlflow.note.content"
"""Tag whose Markdown text MLflow's web UI shows as description of a run or experiment."""

VIEW = "mlflow.sharedViewState.ranking"
"""Tag of an experiment that stores columns and order of the list of runs in MLflow's web UI."""

VIEW_QUERY = "workflowType=machine_learning&viewStateShareKey=ranking"
"""End of the web address at which MLflow's UI lists the runs with these columns and order."""

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Tags that make MLflow's UI show training runs instead of traces of language models."""

DATASET_CONTEXT = "mlflow.data.context"
"""Tag of a run's dataset that says what the dataset was used for, such as "test"."""

ARTIFACT_COLUMNS = (
    ("runs", "run_uuid", "artifact_uri"),
    ("logged_models", "model_id", "artifact_location"),
    ("model_versions", "rowid", "source"),
    ("model_versions", "rowid", "storage_location"),
)
"""Table, its key, and its column, for each column of MLflow's database with file addresses."""

_STORE = "mlflow.store.db.utils"


def create_tables(address: str) -> None:
    """Create MLflow's tables in an empty SQLite database.

    Parameters
    ----------
    address : str
        Address of the database: `sqlite:///…`

    Raises
    ------
    OutputError
        MLflow's undocumented function no longer exists, and MLflow's command line fails.
    """
    private = _function("_initialize_tables")
    if private is None:
        _command_line(["experiments", "search"], address)
        # nothing more to do: the command `experiments search` has created the tables, as any
        # command of MLflow does
        return
    # do not wait for the disk after each of a thousand statements, which would take seconds. After
    # a crash the incomplete file is useless anyway, and is thrown away
    _with_engine(private, address, ["pragma synchronous = off", "pragma journal_mode = memory"])


def upgrade_tables(address: str) -> None:
    """Upgrade the database of an older MLflow to the tables of the installed version.

    Raises
    ------
    OutputError
        MLflow's undocumented function no longer exists, and MLflow's command line fails.
    """
    private = _function("_upgrade_db")
    if private is None:
        _command_line(["db", "upgrade", address], address)
        return
    # hide MLflow's message "Updating database tables": gzfeatures prints its own message, which
    # names the copy of the old database
    logging.getLogger(_STORE).setLevel(logging.WARNING)
    _with_engine(private, address)


def silence_store() -> None:
    """Stop MLflow from logging the traceback of a database error that it also raises."""
    logging.getLogger(_STORE).setLevel(logging.CRITICAL)


def schemas() -> tuple[str, set[str]]:
    """Return the newest revision of MLflow's tables, and all revisions that MLflow can upgrade.

    Raises
    ------
    OutputError
        The installed MLflow has no upgrade scripts in the known folder.
    """
    from alembic.script import ScriptDirectory

    private = _function("_get_alembic_config")
    if private is not None:
        scripts = ScriptDirectory.from_config(private(""))
    else:
        import mlflow

        folder = Path(str(mlflow.__file__)).parent / "store" / "db_migrations"
        if not folder.is_dir():
            raise OutputError(
                "schema of the database cannot be judged",
                where=f"MLflow {version('mlflow')}",
                rule="keep its migrations in store/db_migrations",
                remedy="pip install 'mlflow<4'",
            )
        scripts = ScriptDirectory(str(folder))
    revisions = {script.revision for script in scripts.walk_revisions()}
    return str(scripts.get_current_head()), revisions


def require_columns(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that lacks a column in which MLflow is known to store file addresses.

    Raises
    ------
    OutputError
        A table lacks such a column.
    """
    for table, key, column in ARTIFACT_COLUMNS:
        columns = {row[1] for row in database.execute(f"pragma table_info({table})")}
        if column not in columns or key not in columns | {"rowid"}:
            raise OutputError(
                "runs of a copied database cannot be led to its artifacts",
                where=path,
                rule=f"have the column {table}.{column}",
                found=f"MLflow {version('mlflow')}",
                remedy="work at the old place, or install the MLflow that wrote it",
            )


def monitors() -> list[Any]:
    """Return objects that measure the load of this machine's processors, memory and GPUs.

    NVIDIA GPUs are measured if there are any and `nvidia-ml-py` is installed.
    """
    package = "mlflow.system_metrics.metrics"
    kinds: list[Callable[[], Any]] = []
    for module, name, instead in (
        ("cpu_monitor", "CPUMonitor", Processors),
        ("gpu_monitor", "GPUMonitor", Gpus),
    ):
        # a newer MLflow may have moved its class for this measurement: then use the class of this
        # module (`instead`), which measures the same quantities under the same names
        try:
            kinds.append(getattr(import_module(f"{package}.{module}"), name))
        except (ImportError, AttributeError):
            kinds.append(instead)
    working = []
    for kind in kinds:
        # skip a monitor that cannot start: the machine has no GPU, or no library that reads it
        with suppress(ImportError, RuntimeError):
            working.append(kind())
    return working


class Processors:
    """Measure the load of processors and memory; give each number the name that MLflow uses."""

    def __init__(self) -> None:
        self._numbers: dict[str, float] = {}

    def clear_metrics(self) -> None:
        """Delete the last measured load of processors and memory."""
        self._numbers = {}

    def collect_metrics(self) -> None:
        """Measure the load of processors and memory now."""
        import psutil

        memory = psutil.virtual_memory()
        self._numbers["cpu_utilization_percentage"] = psutil.cpu_percent()
        self._numbers["system_memory_usage_megabytes"] = memory.used / 1e6
        self._numbers["system_memory_usage_percentage"] = memory.used / memory.total * 100

    def aggregate_metrics(self) -> dict[str, float]:
        """Return metric name → last measured number, rounded to one decimal as in MLflow."""
        return {name: round(number, 1) for name, number in self._numbers.items()}


class Gpus(Processors):
    """Measure the load of NVIDIA GPUs; give each number the name that MLflow uses.

    Raises
    ------
    ImportError, RuntimeError
        `nvidia-ml-py` is not installed; or the machine has no GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self._library: Any = import_module("pynvml")
        try:
            self._library.nvmlInit()
        except self._library.NVMLError as error:
            raise RuntimeError(str(error)) from None
        count = self._library.nvmlDeviceGetCount()
        self._devices = [
            self._library.nvmlDeviceGetHandleByIndex(number) for number in range(count)
        ]

    def collect_metrics(self) -> None:
        """Measure each GPU now; leave out values that a GPU does not report."""
        ask = self._library
        for number, device in enumerate(self._devices):
            with suppress(ask.NVMLError):
                memory = ask.nvmlDeviceGetMemoryInfo(device)
                self._numbers[f"gpu_{number}_memory_usage_percentage"] = (
                    memory.used / memory.total * 100
                )
                self._numbers[f"gpu_{number}_memory_usage_megabytes"] = memory.used / 1e6
            with suppress(ask.NVMLError):
                rates = ask.nvmlDeviceGetUtilizationRates(device)
                self._numbers[f"gpu_{number}_utilization_percentage"] = rates.gpu
            with suppress(ask.NVMLError):
                watts = ask.nvmlDeviceGetPowerUsage(device) / 1000
                most = ask.nvmlDeviceGetEnforcedPowerLimit(device) / 1000
                self._numbers[f"gpu_{number}_power_usage_watts"] = watts
                self._numbers[f"gpu_{number}_power_usage_percentage"] = watts / most * 100


def _function(name: str) -> Callable[..., Any] | None:
    """Return an undocumented function of MLflow's database module; None if it no longer exists."""
    try:
        return getattr(import_module(_STORE), name, None)
    except ImportError:
        return None


def _command_line(arguments: list[str], address: str) -> None:
    """Run an MLflow command on the database at an address, in a separate process."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": address}
    command = [sys.executable, "-m", "mlflow", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise OutputError("database cannot be made", where=f"mlflow {arguments[0]}", found=last)


def _with_engine(act: Callable[..., Any], address: str, statements: Sequence[str] = ()) -> None:
    """Call an MLflow function on a database; each new connection first runs SQL `statements`."""
    from sqlalchemy import create_engine, event

    # hide the many messages that MLflow before 3.10 logs while it creates its tables
    logging.getLogger("alembic").setLevel(logging.WARNING)
    engine = create_engine(address)

    def begin(connection: sqlite3.Connection, _: object) -> None:
        for statement in statements:
            connection.execute(statement)

    event.listen(engine, "connect", begin)
    try:
        act(engine)
    finally:
        engine.dispose()
