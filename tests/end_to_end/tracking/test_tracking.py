"""Tracking: what a run holds, and who may write at once."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image
from reports import labelled, pairings, report
from sqlalchemy import Engine, text

from gzfeatures.errors import MissingFileError, OutputError
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.report.report import Report
from gzfeatures.tracking import Tracking, run_contents
from gzfeatures.tracking import live as live_module
from gzfeatures.tracking.connection import PROCESS
from gzfeatures.tracking.database import make_database
from gzfeatures.tracking.latest import name_champion
from gzfeatures.tracking.records import ComparisonRecord

EXPERIMENT = "gz2: zhu/5 'classes'"


@pytest.fixture(scope="module")
def made() -> Report:
    return report(name=EXPERIMENT)


@pytest.fixture(scope="module")
def recorded(
    made: Report, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tracking, dict[str, str]]:
    """Every pairing of a report and their comparison, recorded; run ids by name."""
    root = tmp_path_factory.mktemp("mlruns")
    tracking = Tracking(root=root)
    history = root / "history.json"
    epochs = [
        {"epoch": e, "train_loss": 1 / (e + 1), "val_accuracy": float("nan") if e == 1 else 0.5}
        for e in range(4)
    ]
    history.write_text(json.dumps(epochs))
    runs = {
        p.name: tracking.record_candidate(EXPERIMENT, p, [history] if p.head is None else [])
        for p in made.candidates
    }
    made.write(root / "report")
    runs["comparison"] = tracking.comparison(EXPERIMENT, made, root / "report")
    return tracking, runs


def client_of(tracking: Tracking):
    from mlflow import MlflowClient

    return MlflowClient(tracking.uri, tracking.uri)


def test_runs_are_flat_finished_and_tagged(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, runs = recorded
    client = client_of(tracking)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == set(runs.values())
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert not any("mlflow.parentRunId" in run.data.tags for run in found.values())
    tags = found[runs["mobilenet-v2 + svm"]].data.tags
    wanted = {
        "kind": "pairing",
        "road": "frozen",
        "backbone": "mobilenet-v2",
        "head": "svm",
        "scheme": "zhu-5class",
        "split": made.split.fingerprint,
        "experiment": EXPERIMENT,
        "fair": "yes",
    }
    assert {name: tags[name] for name in wanted} == wanted
    assert found[runs["resnet18"]].data.tags["head"] == "none"


def test_metrics_are_the_scores_with_intervals_and_seconds(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, runs = recorded
    client = client_of(tracking)
    for pairing in made.candidates:
        logged = client.get_run(runs[pairing.name]).data.metrics
        scores = pairing.scores
        for name, value in scores.metrics.items():
            # four digits, which the UI shows; pairing.json holds all of them
            assert logged[name] == pytest.approx(value, rel=1e-3)
        for name, (low, high) in scores.intervals.items():
            assert (logged[f"{name}_low"], logged[f"{name}_high"]) == pytest.approx(
                (low, high), rel=1e-3
            )
        assert logged["recall/edge-on"] == pytest.approx(scores.per_class[3]["recall"], rel=1e-3)
        for step, seconds in pairing.seconds.items():
            assert logged[f"{step}_seconds"] == seconds
        whole = sum(pairing.seconds.values())
        assert logged["end_to_end_seconds"] == pytest.approx(whole, rel=1e-3)


def test_curves_of_a_training_grow_while_it_is_on(made: Report, tmp_path: Path) -> None:
    tracking = Tracking(root=tmp_path)
    client = client_of(tracking)
    history = [{"epoch": e + 1, "training_loss": 1 / (e + 1)} for e in range(4)]
    (tmp_path / "history.json").write_text(json.dumps(history))

    def steps(run: str | None) -> list[int]:
        return [point.step for point in client.get_metric_history(str(run), "epochs/training_loss")]

    with pytest.raises(KeyboardInterrupt), tracking.training(EXPERIMENT, "resnet18") as torn:
        assert torn.run is None
        torn(history[:1])
        assert steps(torn.run) == [1] and client.get_run(torn.run).info.status == "RUNNING"
        torn(history[:2])
        raise KeyboardInterrupt
    assert steps(torn.run) == [1, 2] and client.get_run(torn.run).info.status == "FAILED"
    with tracking.training(EXPERIMENT, "resnet18") as live:
        live(history[:3])  # resumed: the run is new, its curves are whole
    network = next(p for p in made.candidates if p.head is None)
    run = tracking.record_candidate(EXPERIMENT, network, [tmp_path / "history.json"], live)
    assert run == live.run and steps(run) == [1, 2, 3, 4]
    # a training that is only read again opens a run of the same name
    with tracking.training(EXPERIMENT, "as the folder is called") as unread:
        pass
    again = tracking.record_candidate(EXPERIMENT, network, [tmp_path / "history.json"], unread)
    assert client.get_run(again).info.run_name == "as the folder is called"
    (memory,) = client.get_metric_history(run, "system/system_memory_usage_megabytes")
    (busy,) = client.get_metric_history(run, "system/cpu_utilization_percentage")
    assert memory.value > 100 and memory.step == busy.step == 3 and 0 <= busy.value <= 100
    kept = client.get_run(run)
    assert kept.info.status == "FINISHED" and kept.data.tags["kind"] == "pairing"
    assert kept.data.metrics["accuracy"] == pytest.approx(network.scores.accuracy, rel=1e-3)


def test_a_training_whose_record_is_killed_is_no_finished_run(
    made: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    tracking = Tracking(root=tmp_path)
    client = client_of(tracking)
    network = next(p for p in made.candidates if p.head is None)
    with tracking.training(EXPERIMENT, "resnet18") as live:
        live([{"epoch": 1, "training_loss": 1.0}])
    assert client.get_run(live.run).info.status == "FINISHED"
    seen = []

    def killed(_client: object, run: str, *_: object) -> None:
        seen.append(client.get_run(run).info.status)
        raise Killed

    monkeypatch.setattr("gzfeatures.tracking.run_contents.log", killed)
    with pytest.raises(Killed):
        tracking.record_candidate(EXPERIMENT, network, [], live)
    assert seen == ["RUNNING"]  # a process that dies here leaves no run that looks whole


def test_a_record_that_is_lost_on_the_way_never_stops_the_training_and_is_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking, lines = Tracking(root=tmp_path), []
    history = [{"epoch": e + 1, "training_loss": 1 / (e + 1)} for e in range(5)]
    monkeypatch.setattr(live_module, "RETRY_SECONDS", 0.0)
    live = live_module.Live(tracking, EXPERIMENT, "resnet18", lines.append)
    with live:
        live(history[:1])
        database, gone = tmp_path / "mlflow.db", tmp_path / "away"
        database.rename(gone)
        database.write_text("no database")
        live(history[:2])
        live(history[:3])  # said once, not after each epoch
        assert [line.partition(":")[0] for line in lines] == [
            "the training goes on without its record"
        ]
        gone.replace(database)
        live(history[:4])
    assert lines[1].startswith("recorded again in") and len(lines) == 2
    curve = client_of(tracking).get_metric_history(live.run, "epochs/training_loss")
    assert [point.step for point in curve] == [1, 2, 3, 4]


def test_a_run_whose_process_was_killed_is_marked_by_the_next(made: Report, tmp_path: Path) -> None:
    tracking = Tracking(root=tmp_path)
    client = client_of(tracking)
    words = (
        "from gzfeatures.tracking.machine import this_process; print(this_process(), "
        "flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", words], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as child:
        other = child.stdout.readline().decode().strip()
        runs = []
        for process in (
            other,
            f"elsewhere {other.partition(' ')[2]}",
            other.rpartition(" ")[0] + " 5",
        ):
            live = tracking.training(EXPERIMENT, "resnet18")
            live([])
            client.set_tag(live.run, PROCESS, process)
            runs.append(live.run)
        tracking.record_candidate(EXPERIMENT, made.candidates[0], [])
        assert [client.get_run(run).info.status for run in runs] == ["RUNNING", "RUNNING", "KILLED"]
        child.kill()
    tracking.record_candidate(EXPERIMENT, made.candidates[0], [])
    assert [client.get_run(run).info.status for run in runs] == ["KILLED", "RUNNING", "KILLED"]


def test_scores_are_named_alike_on_every_road(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, runs = recorded
    client = client_of(tracking)
    names = [
        {
            n
            for n in client.get_run(runs[p.name]).data.metrics
            if not n.endswith("_seconds") and "epochs/" not in n
        }
        for p in made.candidates
    ]
    assert names[0] == names[1] == names[2] == names[3]


def test_a_run_keeps_parameters_picture_record_and_dataset(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, runs = recorded
    client = client_of(tracking)
    run = client.get_run(runs["mobilenet-v2 + svm"])
    assert run.data.params["C"] == "1.0"
    assert run.data.params["kernel-name"] == "rbf"
    assert run.data.params["kernel-gamma"] == "null"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        "confusion.png",
        "pairing.json",
    }
    with Image.open(client.download_artifacts(run.info.run_id, "confusion.png")) as image:
        image.verify()
    record = json.loads(
        Path(client.download_artifacts(run.info.run_id, "pairing.json")).read_text("utf-8")
    )
    assert record["parameters"]["kernel"] == {"name": "rbf", "gamma": None}
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.name == "zhu-5class test"
    assert made.split.fingerprint.startswith(entry.dataset.digest)
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "test")]
    assert (
        f"accuracy {made.candidates[2].scores.accuracy:.3f}" in run.data.tags["mlflow.note.content"]
    )


def test_epochs_become_curves_and_what_is_no_number_is_left_out(
    recorded: tuple[Tracking, dict[str, str]],
) -> None:
    tracking, runs = recorded
    client = client_of(tracking)
    curve = client.get_metric_history(runs["resnet18"], "epochs/train_loss")
    assert [(m.step, m.value) for m in curve] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert [m.step for m in client.get_metric_history(runs["resnet18"], "epochs/val_accuracy")] == [
        1,
        3,
        4,
    ]


def test_the_comparison_describes_itself_and_the_experiment(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, runs = recorded
    client = client_of(tracking)
    run = client.get_run(runs["comparison"])
    assert run.data.tags["kind"] == "comparison"
    assert f"# {run.data.tags['mlflow.note.content']}" == made.markdown()
    assert run.data.params["git-commit"] == "abc"
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept == {"report.html", "report.md", "report.json", "figures"}
    tags = client.get_experiment_by_name(EXPERIMENT).tags
    assert tags["mlflow.note.content"].startswith(f"{made.ranked[0][1].name} comes first")
    view = json.loads(json.loads(tags["mlflow.sharedViewState.ranking"])["state"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`accuracy`", False)


def test_only_the_runs_of_the_last_comparison_are_its_latest(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, runs = recorded
    folder = Path(tracking.uri.removeprefix("sqlite:///")).parent / "report"
    client = client_of(tracking)
    old = tracking.record_candidate("again", made.candidates[0], [])
    tracking.comparison("again", made, folder)
    new = [tracking.record_candidate("again", pairing, []) for pairing in made.candidates]
    new.append(tracking.comparison("again", made, folder))
    assert {client.get_run(run).data.tags["latest"] for run in new} == {"yes"}
    assert client.get_run(old).data.tags["latest"] == "no"
    assert client.get_run(runs["comparison"]).data.tags["latest"] == "yes"
    # the comparison has no score, or the UI would place it among the candidates
    assert set(client.get_run(runs["comparison"]).data.metrics) == {"pairings"}
    tied = [client.get_run(run).data.tags.get("tied") for run in new]
    assert tied.count("first") == 1 and tied[-1] is None
    # the view's columns hold the same, under names that stand in the order of reading
    for run in new[:-1]:
        tags = client.get_run(run).data.tags
        assert tags["2 tied"] == tags["tied"] and tags["4 backbone"] == tags["backbone"]
        assert tags["1 interval"] == tags["interval"].replace(" to ", "–").replace("0.", ".")
        assert float(tags["3 seconds"].replace(",", "")) >= 0
    # a network of one seed is told apart as this training, not as a method
    apart = [row for row in made.comparison.ranking[1:] if not row.tied]
    single = sum(row.compares == "trainings" for row in apart)
    assert tied.count("no, one seed") == single
    assert tied.count("no") == len(apart) - single


def test_the_model_that_came_first_is_the_champion_and_no_other(made: Report) -> None:
    first, second = (run_contents.model_name("gz2", row) for row, _ in made.ranked[:2])

    class Client:
        """Registered models of two candidates, of which the second was the champion before."""

        aliases: ClassVar[dict[str, dict[str, str]]] = {first: {}, second: {"champion": "3"}}

        def search_registered_models(self, wanted: str) -> list[SimpleNamespace]:
            return [
                SimpleNamespace(aliases=dict(self.aliases[name]))
                for name in self.aliases
                if wanted == f"name = '{name}'"
            ]

        def search_model_versions(self, wanted: str) -> list[SimpleNamespace]:
            runs = ("older", "run") if wanted == f"name = '{first}'" else ("other",)
            return [
                SimpleNamespace(run_id=run, version=str(n)) for n, run in enumerate(runs, start=1)
            ]

        def delete_registered_model_alias(self, name: str, alias: str) -> None:
            del self.aliases[name][alias]

        def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
            self.aliases[name][alias] = version

    client: Any = Client()
    row = made.ranked[0][0]
    key = (row.approach, row.backbone, row.head or "none", str(row.seed))
    name_champion(client, ComparisonRecord.of("gz2", made), {key: "run"})
    assert client.aliases == {first: {"champion": "2"}, second: {}}


def test_pages_lead_to_the_ranked_runs(recorded: tuple[Tracking, dict[str, str]]) -> None:
    tracking, _ = recorded
    number = client_of(tracking).get_experiment_by_name(EXPERIMENT).experiment_id
    address = (
        f"http://127.0.0.1:5001/#/experiments/{number}/runs?workflowType=machine_learning&"
        "viewStateShareKey=ranking"
    )
    assert tracking.pages(5001)[EXPERIMENT] == address


def test_the_ui_tells_its_pages_to_the_caller_and_prints_nothing(
    recorded: tuple[Tracking, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tracking, _ = recorded
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "execve", lambda *words: started.append(words))
    lines: list[str] = []
    tracking.ui(5001, lines.append)
    assert lines == [f"{name}: {page}" for name, page in tracking.pages(5001).items()] != []
    assert len(started) == 1 and capfd.readouterr() == ("", "")


def test_everything_lies_under_the_root(recorded: tuple[Tracking, dict[str, str]]) -> None:
    tracking, runs = recorded
    root = Path(tracking.uri.removeprefix("sqlite:///")).parent
    assert {path.name for path in root.iterdir()} >= {"mlflow.db", "artifacts"}
    assert list((root / "artifacts").rglob(f"{runs['comparison']}/artifacts/report.html"))


def test_more_than_one_batch_and_long_values_are_kept(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, _ = recorded
    given = {f"p{i}": i for i in range(230)} | {"long": "x" * 9000, "bad: é/°\n": 1}
    run = tracking.record_candidate(
        "many", dataclasses.replace(made.candidates[1], parameters=given), []
    )
    logged = client_of(tracking).get_run(run).data.params
    assert {name: logged[name] for name in given if name.startswith("p")} == {
        f"p{i}": str(i) for i in range(230)
    }
    assert logged["long"] == "x" * 5999 + "…"
    assert logged["bad- é"] == "1"


def test_no_usage_statistics_are_sent(recorded: tuple[Tracking, dict[str, str]]) -> None:
    from mlflow.telemetry.client import get_telemetry_client
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert os.environ["DO_NOT_TRACK"] == os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert is_telemetry_disabled()
    assert get_telemetry_client() is None


# what goes wrong


def test_a_run_that_cannot_be_finished_is_marked_as_failed(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    tracking, _ = recorded
    with pytest.raises(MissingFileError, match="artifact not found"):
        tracking.record_candidate("failing", made.candidates[0], [Path("nothing.png")])
    client = client_of(tracking)
    (run,) = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    assert run.info.status == "FAILED"


def test_an_error_of_the_database_is_one_line_and_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracking = Tracking(root=tmp_path)
    with pytest.raises(OutputError, match="cannot be recorded"), tracking.writing() as client:
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            database.execute("drop table runs")
        client.search_runs(["0"])
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, " * 100)
    with pytest.raises(
        OutputError, match=r"mlflow.db: cannot be recorded, found .*file is not a database"
    ):
        Tracking(root=tmp_path)


def test_a_database_that_could_not_be_made_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(text("create table experiments (experiment_id integer)"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mlflow.store.db.utils._initialize_tables", half)
        patch.setattr("gzfeatures.tracking.connection.make_database", make_database)
        Tracking(root=tmp_path)
    assert not (tmp_path / "mlflow.db").exists()
    assert Tracking(root=tmp_path).pages(5000) == {}


def test_a_server_that_is_not_there_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(OutputError, match=r"http://me:…@127.0.0.1:9: cannot be recorded") as caught:
        Tracking("http://me:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)


def test_a_database_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        OutputError,
        match=r"postgresql://me:…@host/db: .*psycopg.*; pip install 'psycopg\[binary\]'",
    ):
        Tracking("postgresql://me:secret@host/db")


def test_an_empty_experiment_name_is_refused(
    recorded: tuple[Tracking, dict[str, str]], made: Report
) -> None:
    with pytest.raises(OutputError, match="Invalid experiment name"):
        recorded[0].record_candidate("", made.candidates[0], [])


def place_of(tracking: Tracking, run: str) -> Path:
    """Folder of the artifacts of a run."""
    return Path(unquote(urlsplit(client_of(tracking).get_run(run).info.artifact_uri).path))


# databases of other versions, other places, and other addresses


def older(path: Path) -> str:
    """A database as an older MLflow left it, with an experiment; returns its schema."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    newest = ScriptDirectory.from_config(config).get_current_head()
    before = ScriptDirectory.from_config(config).get_revision(newest).down_revision
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, before)
        connection.execute(
            text(
                "insert into experiments (experiment_id, name, lifecycle_stage) values (7, "
                "'old', 'active')"
            )
        )
    engine.dispose()
    return str(before)


def test_a_database_of_an_older_mlflow_is_upgraded_where_that_is_said_after_a_copy(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mlflow.db"
    schema = older(path)
    before = path.read_bytes()
    with pytest.raises(
        OutputError, match=rf"database is of an older MLflow; .*found {schema}; say --upgrade"
    ) as caught:
        Tracking(root=tmp_path)
    assert "\n" not in str(caught.value) and path.read_bytes() == before
    tracking = Tracking(root=tmp_path, upgrade=True)
    kept = tmp_path / f"mlflow-{schema}.db"
    assert str(kept) in tracking.notes[0]
    assert client_of(tracking).get_experiment("7").name == "old"
    with sqlite3.connect(kept) as database:
        assert database.execute("select version_num from alembic_version").fetchone() == (schema,)
    database.close()
    assert Tracking(root=tmp_path).notes == []
    assert {each.name for each in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock", kept.name}


def test_an_upgrade_that_is_killed_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(engine: Engine) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "mlflow.db"
    older(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mlflow.store.db.utils._upgrade_db", killed)
        Tracking(root=tmp_path, upgrade=True)
    assert path.read_bytes() == before
    assert client_of(Tracking(root=tmp_path, upgrade=True)).get_experiment("7").name == "old"


def test_a_database_of_a_newer_mlflow_is_refused(tmp_path: Path) -> None:
    Tracking(root=tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    database.close()
    before = (tmp_path / "mlflow.db").read_bytes()
    for upgrade in (False, True):
        with pytest.raises(
            OutputError, match=r"database is of a newer MLflow; .*found ffffffffffff; pip install"
        ):
            Tracking(root=tmp_path, upgrade=upgrade)
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_deleted_experiment_of_the_same_name_is_said_before_any_work(
    made: Report, tmp_path: Path
) -> None:
    tracking = Tracking(root=tmp_path)
    tracking.require(EXPERIMENT)
    client = client_of(tracking)
    number = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.delete_experiment(number)
    with pytest.raises(
        OutputError, match=rf"was deleted here; .*mlflow experiments restore -x {number}"
    ):
        tracking.require(EXPERIMENT)
    client.restore_experiment(number)
    tracking.require(EXPERIMENT)


@pytest.mark.parametrize("name", ["what?", "100%20", "50%", "a b#c", "größer"])
def test_a_folder_of_any_name_holds_its_own_database(
    name: str, made: Report, tmp_path: Path
) -> None:
    tracking = Tracking(root=tmp_path / name)
    run = tracking.record_candidate(EXPERIMENT, made.candidates[0], [])
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert list((tmp_path / name / "artifacts").rglob(f"{run}/artifacts/pairing.json"))
    assert client_of(Tracking(root=tmp_path / name)).get_run(run).info.status == "FINISHED"
    assert [each.name for each in tmp_path.iterdir() if each.name == name] == [name]


def test_a_project_that_is_copied_works_in_the_copy_and_touches_nothing_of_the_original(
    made: Report, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two%20"
    run = Tracking(root=one / "mlruns").record_candidate(EXPERIMENT, made.candidates[0], [])
    shutil.copytree(one, two)
    before = {path: path.stat().st_mtime_ns for path in one.rglob("*")}
    tracking = Tracking(root=two / "mlruns")
    assert (
        "was copied or moved from" in tracking.notes[0] and str(one / "mlruns") in tracking.notes[0]
    )
    new = tracking.record_candidate(EXPERIMENT, made.candidates[1], [])
    for each in (run, new):
        place = place_of(tracking, each)
        assert place.is_relative_to(two) and json.loads((place / "pairing.json").read_text("utf-8"))
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*")} == before
    shutil.rmtree(one)
    assert Tracking(root=two / "mlruns").notes == []
    assert not one.exists()


def test_a_run_whose_files_did_not_come_along_is_still_found(made: Report, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run = Tracking(root=one).record_candidate(EXPERIMENT, made.candidates[0], [])
    two.mkdir()
    shutil.copy(one / "mlflow.db", two)
    tracking = Tracking(root=two)
    assert (place_of(tracking, run) / "pairing.json").exists() and place_of(
        tracking, run
    ).is_relative_to(one)
    new = tracking.record_candidate(EXPERIMENT, made.candidates[0], [])
    assert (place_of(tracking, new) / "pairing.json").exists() and place_of(
        tracking, new
    ).is_relative_to(two)


def test_the_environment_s_address_counts_where_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'said' / 'runs.db'}")
    assert Tracking().uri.endswith("said/runs.db") and (tmp_path / "said" / "runs.db").exists()
    assert Tracking(root=tmp_path / "here").uri.endswith("here/mlflow.db")
    assert Tracking(f"sqlite:///{tmp_path / 'there.db'}").uri.endswith("there.db")
    assert not (tmp_path / "mlruns").exists()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert Tracking().uri.endswith("mlruns/mlflow.db")


def test_the_first_line_of_a_run_says_where_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner
    from verbs import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    schema = older(tmp_path / "mlruns" / "mlflow.db")
    (tmp_path / "e.toml").write_text(
        'name = "x"\n[galaxies]\ncatalog = "none.csv"\nimages = "none"\n[[networks]]\nname '
        '= "engel"\n'
    )
    refused = CliRunner().invoke(app, ["run", "e.toml"])
    assert schema in str(refused.exception)
    done = CliRunner().invoke(app, ["run", "e.toml", "--upgrade"])
    lines = done.stderr.splitlines()
    assert (
        lines[0] == f"recorded in sqlite:///{tmp_path}/mlruns/mlflow.db"
        and "as it was it is kept in" in lines[1]
    )


# several at once


def write_one(root: Path, number: int) -> str:
    """One of several processes that begin on an empty folder at the same time."""
    labels = labelled(100)
    return Tracking(root=root).record_candidate(
        "parallel", pairings(labels, Split.draw(labels))[number % 4], []
    )


def test_eight_writers_at_once_on_an_empty_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["mlflow.store.tracking.sqlalchemy_store", "matplotlib.figure", "reports"]
    )
    with context.Pool(8) as pool:
        runs = pool.starmap(write_one, [(tmp_path, number) for number in range(8)], chunksize=1)
    assert len(set(runs)) == 8
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute(
            "select count(*) from runs where status = 'FINISHED'"
        ).fetchone() == (8,)
        assert database.execute(
            "select count(*) from experiments where name = 'parallel'"
        ).fetchone() == (1,)
    database.close()
