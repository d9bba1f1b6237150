"""A run whose record fails goes on, is whole, and is recorded later as if at once."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from reports import finished, report
from shortcuts.undrawn import undrawn
from verbs import called
from web_server import WebServer

from gzfeatures import record
from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.progress import Progress
from gzfeatures.report.report import UNRECORDED, Report
from gzfeatures.synthetic.survey import draw_survey
from gzfeatures.tracking import Tracking, connection
from gzfeatures.tracking.database import NotRecorded
from gzfeatures.tracking.later.recorder import Recorder
from gzfeatures.tracking.later.waiting import WaitingRun
from gzfeatures.tracking.records import KEY, MADE

EXPERIMENT = "later"


class Lines(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module", autouse=True)
def _undrawn() -> Iterator[None]:
    """That a picture is recorded is the promise, not what it shows."""
    with undrawn():
        yield


@pytest.fixture(scope="module")
def made() -> Report:
    return report(name=EXPERIMENT)


@pytest.fixture(scope="module")
def written(made: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with what its record needs."""
    place = tmp_path_factory.mktemp("written") / "run"
    made.write(place)
    finished(place, made)
    epochs = [{"epoch": e, "training_loss": 1 / (e + 1)} for e in range(3)]
    (place / "history.json").write_text(json.dumps(epochs))
    return place


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of that folder, in which nothing waits."""
    return Path(shutil.copytree(written, tmp_path / "run"))


def handed_to(recorder: Recorder, made: Report, folder: Path) -> None:
    """Everything that a run hands to its tracker."""
    for candidate in made.candidates:
        files = [folder / "history.json"] if candidate.head is None else []
        recorder.record_candidate(EXPERIMENT, candidate, files)
    recorder.comparison(EXPERIMENT, made, folder)


def contents(address: str) -> dict[str, Any]:
    """What MLflow holds of every run that is not deleted, by name; times and ids left out."""
    from mlflow import MlflowClient

    client = MlflowClient(address, address)
    home = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([home.experiment_id])
    found: dict[str, Any] = {}
    for run in runs:
        name = f"{run.data.tags['mlflow.runName']} {run.data.tags.get('seed', '')}"
        assert name not in found, "recorded twice"
        curve = client.get_metric_history(run.info.run_id, "epochs/training_loss")
        own = {KEY, MADE, connection.PROCESS}
        found[name] = {
            "status": run.info.status,
            "tags": {k: v for k, v in run.data.tags.items() if k not in own},
            "metrics": run.data.metrics,
            "parameters": run.data.params,
            "files": sorted(f.path for f in client.list_artifacts(run.info.run_id)),
            "curve": [(point.step, point.value) for point in curve],
            "data": [each.dataset.digest for each in run.inputs.dataset_inputs],
        }
    tags = {k: v for k, v in home.tags.items() if k != "mlflow.sharedViewState.ranking"}
    return {"runs": found, "experiment": tags}


def address_at(place: Path) -> str:
    return f"sqlite:///{place}/mlflow.db"


def test_a_run_that_is_recorded_later_is_recorded_as_if_at_once_and_once_only(
    made: Report, folder: Path, tmp_path: Path
) -> None:
    told = Lines()
    handed_to(Recorder.at(address_at(tmp_path / "a"), EXPERIMENT, progress=told), made, folder)
    assert not (folder / UNRECORDED).exists() and len(told.lines) == 1
    handed_to(Recorder(None), made, folder)
    late = address_at(tmp_path / "b")
    assert record(folder, late)["recorded"] == len(made.candidates) + 1
    assert contents(late) == contents(address_at(tmp_path / "a"))
    # a second time, and with what the folder knows of it lost
    assert record(folder, late)["recorded"] == 0
    handed_over = json.loads((folder / UNRECORDED).read_text())
    for each in (*handed_over["candidates"], handed_over["comparison"]):
        each["run"] = None
    (folder / UNRECORDED).write_text(json.dumps(handed_over))
    record(folder, late)
    assert contents(late) == contents(address_at(tmp_path / "a"))
    # elsewhere it is no record yet
    assert record(folder, address_at(tmp_path / "c"))["recorded"] == len(made.candidates) + 1


def test_what_was_recorded_in_a_database_that_is_new_since_is_recorded_again(
    made: Report, folder: Path, tmp_path: Path
) -> None:
    handed_to(Recorder(None), made, folder)
    before, now = address_at(tmp_path / "before"), address_at(tmp_path / "now")
    record(folder, before)
    # the folder says that its runs are in a database, which is empty
    kept = json.loads((folder / UNRECORDED).read_text())
    (folder / UNRECORDED).write_text(json.dumps(kept | {"uri": now}))
    assert record(folder, now)["recorded"] == len(made.candidates) + 1
    assert contents(now) == contents(before)


def test_a_database_that_is_lost_on_the_way_gets_only_what_it_lacks(
    made: Report, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, told = address_at(tmp_path / "a"), Lines()
    recorder = Recorder.at(address, EXPERIMENT, progress=told)
    first, *others = made.candidates
    recorder.record_candidate(EXPERIMENT, first, [folder / "history.json"])

    def lost(*arguments: Any) -> None:
        raise NotRecorded("cannot be recorded", where=address, found="lost")

    with monkeypatch.context() as patch:
        # half of the second is there when the database goes
        patch.setattr("gzfeatures.tracking.run_contents.log_dataset", lost)
        for candidate in others:
            assert recorder.record_candidate(EXPERIMENT, candidate, []) is None
        recorder.comparison(EXPERIMENT, made, folder)
    assert recorder.uri is None and len(told.lines) == 2
    assert "cannot be recorded" in told.lines[1] and f"gzfeatures record {folder}" in told.lines[1]
    answer = record(folder, address)
    assert answer["recorded"] == len(others) + 1 and answer["runs"] == len(others) + 2
    runs = contents(address)["runs"]
    assert len(runs) == len(made.candidates) + 1
    assert {run["status"] for run in runs.values()} == {"FINISHED"}


def test_a_comparison_that_is_recorded_late_leaves_a_newer_one_its_place(
    made: Report, folder: Path, tmp_path: Path
) -> None:
    handed_to(Recorder(None), made, folder)
    address = address_at(tmp_path / "a")
    tracking = Tracking(address)
    newer = tracking.comparison(EXPERIMENT, made, folder)
    record(folder, address)
    with tracking.writing() as client:
        home = client.get_experiment_by_name(EXPERIMENT).experiment_id
        latest = client.search_runs([home], "tags.kind = 'comparison' and tags.latest = 'yes'")
    assert [run.info.run_id for run in latest] == [newer]


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts every connection and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def failing_server() -> Iterator[str]:
    """Answers every request with 500."""
    server = WebServer()

    class Failing(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return lambda handler: handler.answer(b"{}", "application/json", 500)

    server.paths = Failing()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def refusing_server() -> Iterator[str]:
    yield "http://127.0.0.1:9"


@pytest.mark.parametrize("server", [refusing_server, silent_server, failing_server])
def test_a_server_that_refuses_hangs_or_fails_is_left_after_two_questions(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*connection.DEFAULTS, *connection.IMPATIENT):
        monkeypatch.delenv(name, raising=False)
    assert longest(connection.IMPATIENT) <= 20
    short = connection.IMPATIENT | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    monkeypatch.setattr(connection, "IMPATIENT", short)
    told = Lines()
    with server() as address:
        recorder = Recorder.at(address, EXPERIMENT, progress=told, remedy="gzfeatures record r/")
    assert recorder.uri is None
    (line,) = told.lines
    assert "goes on without its record" in line and address in line
    assert line.endswith("'gzfeatures record r/'")


class StoppingServer(ThreadingHTTPServer):
    """Answers as MLflow does until it is told to stop; then it accepts, reads and says nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StoppingHandler)
        self.stop_at: str | None = None
        self.unanswered: list[str] = []
        self.over = threading.Event()


class StoppingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StoppingServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        action = self.path.partition("?")[0].partition("/mlflow/")[2]
        if self.server.stop_at is not None and (
            self.server.unanswered or action.startswith(self.server.stop_at)
        ):
            self.server.unanswered.append(action)
            self.server.over.wait(60)
            self.close_connection = True
            return
        info = {"run_id": "1" * 32, "experiment_id": "1", "status": "RUNNING"}
        answers: dict[str, Any] = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": EXPERIMENT}},
            "runs/create": {"run": {"info": info, "data": {}}},
        }
        body = json.dumps(answers.get(action, {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


@pytest.fixture
def stopping() -> Iterator[StoppingServer]:
    server = StoppingServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def longest(*limits: Mapping[str, str]) -> int:
    """Seconds that a server which says nothing holds a run up, all questions together."""
    return sum(
        (1 + int(each["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]))
        * int(each["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        for each in limits
    )


def test_a_server_that_stops_answering_in_the_middle_is_left_within_a_minute(
    stopping: StoppingServer, made: Report, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last question is asked twice, the mark on the run that failed once, and no other."""
    for name in (*connection.DEFAULTS, *connection.IMPATIENT):
        monkeypatch.delenv(name, raising=False)
    assert longest(connection.DEFAULTS, connection.BRIEF) <= 60
    for name in ("DEFAULTS", "IMPATIENT", "BRIEF"):
        limits = dict(getattr(connection, name)) | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
        monkeypatch.setattr(connection, name, limits)
    told = Lines()
    recorder = Recorder.at(
        f"http://127.0.0.1:{stopping.server_port}", EXPERIMENT, progress=told, remedy=""
    )
    assert recorder.uri is not None
    stopping.stop_at = "runs/log-batch"
    handed_to(recorder, made, folder)
    assert stopping.unanswered[:2] == ["runs/log-batch"] * 2 and len(stopping.unanswered) == 3
    (said,) = [line for line in told.lines if "not its record" in line]
    assert f"gzfeatures record {folder}" in said and "log-batch" in said
    assert WaitingRun.read(folder).number == len(made.candidates) + 1


def test_limits_that_the_user_gives_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    seen: list[str] = []

    def asked(self: Any) -> Any:
        import os

        seen.append(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        raise OSError("no")

    monkeypatch.setattr(connection.Connection, "_client", asked)
    Recorder.at("http://127.0.0.1:9", EXPERIMENT)
    assert seen == ["3"]


@pytest.mark.parametrize("address", ["sqlite:////proc/none/mlflow.db", "postgresql://h/db"])
def test_a_database_that_cannot_be_written_or_reached_never_stops_a_run(address: str) -> None:
    told = Lines()
    assert Recorder.at(address, EXPERIMENT, progress=told).uri is None
    assert len(told.lines) == 1


def test_without_mlflow_a_run_says_what_to_install_and_is_recorded_later(
    made: Report, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Lines()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        recorder = Recorder.at(address_at(tmp_path / "a"), EXPERIMENT, progress=told)
        handed_to(recorder, made, folder)
        with pytest.raises(NotRecorded, match="pip install mlflow"):
            record(folder, address_at(tmp_path / "a"))
    assert len(told.lines) == 1 and "pip install mlflow" in told.lines[0]
    assert record(folder, address_at(tmp_path / "a"))["recorded"] == len(made.candidates) + 1


def test_what_waits_names_no_file_outside_the_run_folder(made: Report, folder: Path) -> None:
    handed_to(Recorder(None), made, folder)
    noted = json.loads((folder / UNRECORDED).read_text())
    noted["candidates"][0]["artifacts"] = ["../../secret.txt"]
    (folder / UNRECORDED).write_text(json.dumps(noted))
    with pytest.raises(InputError):
        WaitingRun.read(folder)
    noted["candidates"][0] |= {"artifacts": [], "key": "x' or '1"}
    (folder / UNRECORDED).write_text(json.dumps(noted))
    with pytest.raises(InputError, match="key of a record"):
        WaitingRun.read(folder)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="candidates of a finished run"):
        record(tmp_path)


def test_the_verb_run_ends_well_without_a_server_and_record_makes_up_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    survey = draw_survey(tmp_path / "survey", n=100, seed=5, size=32)
    (tmp_path / "e.toml").write_text(
        f'name = "later"\nexplain = 0\nmap = false\n[galaxies]\ncatalog = "{survey.catalog}"\n'
        f'images = "{survey.images}"\nscheme = "q1-3class"\n[[backbones]]\nname = "resnet18"\n'
        'weights = "none"\nview = "size=32"\n[[heads]]\nname = "prototype"\n'
    )
    words = ["run", tmp_path / "e.toml", "-o", tmp_path / "r", "--json", "--tracking-uri"]
    done = called(*words, "http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tracking_uri"] is None
    assert done.stderr.count("cannot be recorded") == 1
    assert (tmp_path / "r" / "report.html").exists()
    address = address_at(tmp_path / "m")
    late = called("record", tmp_path / "r", "--tracking-uri", address, "--json")
    assert late.returncode == 0, late.stderr
    assert json.loads(late.stdout)["recorded"] == 2
    # the run may go on in its folder, and what it records itself no longer waits
    again = called(*words, address)
    assert again.returncode == 0, again.stderr
    assert not (tmp_path / "r" / UNRECORDED).exists()
