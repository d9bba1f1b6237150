"""The command line as scripts see it: exit codes, stdout, stderr."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from processes import Forks
from verbs import called as gz

from gzfeatures.synthetic.survey import MockSurvey, draw_survey


def process(*words: object) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own, as a shell starts it."""
    command = [sys.executable, "-m", "gzfeatures", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> MockSurvey:
    return draw_survey(tmp_path_factory.mktemp("survey"), n=60, seed=3, progress=False)


def test_json_is_one_object_and_nothing_else(survey: MockSurvey) -> None:
    result = process("check", survey.catalog, "--images", survey.images, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["rows"] == 60 and found["problems"] == []
    assert found["images"]["found"] == 60 and found["images"]["broken"] == []


def test_an_error_is_one_line_and_exit_code_one(tmp_path: Path) -> None:
    result = process("label", tmp_path / "absent.csv", "--scheme", "zhu-5class")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    assert "absent.csv: catalog not found; check the path" in result.stderr


def test_debug_shows_where(tmp_path: Path) -> None:
    result = process("label", tmp_path / "absent.csv", "--scheme", "zhu-5class", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_wrong_usage_is_exit_code_two(survey: MockSurvey) -> None:
    for words in (
        ["label", survey.catalog],
        ["nothing"],
        ["sample", survey.catalog, "--scheme", "zhu-5class", "-o", "x.csv", "--split", "1/2"],
    ):
        result = process(*words)
        assert result.returncode == 2, words
        assert "Traceback" not in result.stderr


def test_version_is_said() -> None:
    assert process("--version").stdout.startswith("gzfeatures 0.")


def test_unknown_names_list_the_legal_ones(survey: MockSurvey) -> None:
    result = gz("label", survey.catalog, "--scheme", "zhu-5clas")
    assert result.returncode == 1
    assert "tuning-fork" in result.stderr and "did you mean 'zhu-5class'?" in result.stderr


@pytest.mark.parametrize("kind", ["backbones", "heads", "schemes", "networks"])
def test_list_gives_names_and_sources(kind: str) -> None:
    items = json.loads(gz("list", kind, "--json").stdout)["items"]
    assert len(items) >= 5 and all(item["name"] and item["source"] for item in items)


def test_sample_writes_labels_with_a_split(survey: MockSurvey, tmp_path: Path) -> None:
    output = tmp_path / "sample.csv"
    result = gz(
        "sample",
        survey.catalog,
        "--scheme",
        "smooth-featured",
        "--per-class",
        10,
        "--split",
        "3/1/1",
        "-o",
        output,
        "--json",
    )
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)["counts"]
    assert {part: sum(classes.values()) for part, classes in counts.items()} == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }
    assert set(pd.read_csv(output).columns) >= {"galaxy_id", "label", "split"}


def test_an_output_that_cannot_be_written_is_said(survey: MockSurvey, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result = gz("label", survey.catalog, "--scheme", "zhu-5class", "-o", blocked / "labels.csv")
    assert result.returncode == 1
    assert "labels.csv: cannot be written" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_that_never_returns_does_not_outlive_an_interruption(
    number: int, tmp_path: Path, forks: Forks
) -> None:
    for k in range(4):
        Image.fromarray(np.full((9, 9), k, np.uint8)).save(tmp_path / f"{k}.png")
    code = """if True:
        import sys, time
        from gzfeatures import cli
        from gzfeatures.images.decode import Decoder
        def endless(*_):
            print("reading", file=sys.stderr, flush=True)
            while True:
                time.sleep(0.01)
        cli.signals.GRACE = float(sys.argv.pop())
        Decoder.see = endless
        Decoder.picture = property(endless)
        sys.argv = ["gzfeatures", *sys.argv[1:]]
        cli.main()
    """
    verb = [
        "extract",
        str(tmp_path),
        "-o",
        str(tmp_path / "t.parquet"),
        "--backbone",
        "resnet18",
        "--weights",
        "none",
    ]
    verb += ["--view", "size=32", "--on-bad", "skip", "1"]
    store = {"GZFEATURES_STORE": str(tmp_path / "store")}
    reading = forks.start(code, verb, tmp_path / "said", store)
    try:
        while (line := reading.stderr.readline()) and "reading" not in line:
            pass
        reading.send_signal(number)
        said = reading.rest(30)
    finally:
        reading.kill()
    assert reading.returncode == 128 + number
    assert (
        "interrupted; what was finished is kept" in said and not (tmp_path / "t.parquet").exists()
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_is_128_and_the_signal(
    survey: MockSurvey, tmp_path: Path, number: signal.Signals
) -> None:
    words = [
        "-m",
        "gzfeatures",
        "extract",
        survey.images,
        "--backbone",
        "resnet18",
        "--weights",
        "none",
        "-o",
        "t.parquet",
    ]
    with subprocess.Popen(
        [sys.executable, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        time.sleep(1.5)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert "interrupted; what was finished is kept" in stderr and "Traceback" not in stderr


def test_join_puts_columns_side_by_side(survey: MockSurvey, tmp_path: Path) -> None:
    output = tmp_path / "joined.parquet"
    result = gz(
        "join", survey.catalog, survey.hart, "--on", "GalaxyID=asset_id", "-o", output, "--json"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["matched"] == 60
    assert {"Class1.1", "gz2_class", "PETROR90_R"} <= set(pd.read_parquet(output).columns)


def test_a_table_is_fitted_mapped_and_searched(survey: MockSurvey, tmp_path: Path) -> None:
    labels, table = tmp_path / "labels.csv", tmp_path / "table.parquet"
    assert gz("label", survey.catalog, "--scheme", "smooth-featured", "-o", labels).returncode == 0
    words = [
        "extract",
        survey.images,
        "--backbone",
        "resnet18",
        "--weights",
        "none",
        "--view",
        "size=32",
        "-o",
        table,
    ]
    first, second = (json.loads(gz(*words, "--json").stdout) for _ in range(2))
    assert (
        first["rows"] == second["rows"] == 60 and second["computed"] == 0 and second["reused"] == 60
    )
    fitted = gz(
        "fit", table, "--labels", labels, "--head", "prototype", "-o", tmp_path / "heads", "--json"
    )
    (head,) = json.loads(fitted.stdout)["heads"]
    assert {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
        "ece",
        "fit_seconds",
        "predict_seconds",
    } <= set(head)
    assert "has no split" in fitted.stderr
    assert gz("predict", head["path"], table, "-o", tmp_path / "p.csv").returncode == 0
    assert len(pd.read_csv(tmp_path / "p.csv")) == 60
    drawn = json.loads(
        gz(
            "map",
            table,
            "--labels",
            labels,
            "--images",
            survey.images,
            "-o",
            tmp_path / "m.html",
            "--json",
        ).stdout
    )
    assert (
        drawn["rows"] == 60
        and 0 < drawn["trustworthiness"] <= 1
        and Path(drawn["coordinates"]).exists()
    )
    for verb in (
        ["similar", table, "10000001"],
        ["odd", table],
        ["duplicates", table],
        ["doubt", table, "--labels", labels, "-H", "prototype"],
    ):
        result = gz(*verb, "-o", tmp_path / f"{verb[0]}.csv", "--json")
        assert result.returncode == 0, result.stderr
        assert "rows" in json.loads(result.stdout) and (tmp_path / f"{verb[0]}.csv").exists()


def test_heads_read_tables_and_columns_side_by_side(survey: MockSurvey, tmp_path: Path) -> None:
    labels, tables = tmp_path / "labels.csv", [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    assert (
        gz(
            "sample",
            survey.catalog,
            "--scheme",
            "smooth-featured",
            "--strategy",
            "random",
            "-o",
            labels,
        ).returncode
        == 0
    )
    for table, size in zip(tables, (32, 48), strict=True):
        words = [
            "--backbone",
            "resnet18",
            "--weights",
            "none",
            "--view",
            f"size={size}",
            "-o",
            table,
        ]
        assert gz("extract", survey.images, *words).returncode == 0
    beside = ["--with", tables[1], "--catalog", survey.catalog]
    words = [
        "-H",
        "logistic",
        "--column",
        "Class9.1",
        "--set",
        "C=0.5",
        "--set",
        "class_weight.smooth=3",
    ]
    fitted = gz(
        "fit", tables[0], "--labels", labels, *words, *beside, "-o", tmp_path / "heads", "--json"
    )
    assert fitted.returncode == 0, fitted.stderr
    (head,) = json.loads(fitted.stdout)["heads"]
    assert head["params"]["C"] == 0.5 and head["params"]["class_weight"] == {"smooth": 3}
    done = gz("predict", head["path"], tables[0], *beside, "-o", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    said = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
    assert (
        set("|".join(said["class_set"]).split("|")) <= {"smooth", "featured", ""}
        and len(said) == 60
    )
    alone = gz("predict", head["path"], tables[0], "-o", tmp_path / "p.csv")
    assert alone.returncode == 1 and "catalog columns without a catalog" in alone.stderr


def test_a_head_refuses_the_table_of_another_extractor(survey: MockSurvey, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    gz("label", survey.catalog, "--scheme", "smooth-featured", "-o", labels)
    for size in (32, 40):
        view = f"size={size}"
        words = [
            "extract",
            survey.images,
            "--backbone",
            "resnet18",
            "--weights",
            "none",
            "--view",
            view,
        ]
        assert gz(*words, "-o", tmp_path / f"{size}.parquet").returncode == 0
    gz(
        "fit",
        tmp_path / "32.parquet",
        "--labels",
        labels,
        "--head",
        "prototype",
        "-o",
        tmp_path / "heads",
    )
    result = gz(
        "predict",
        tmp_path / "heads" / "prototype.skops",
        tmp_path / "40.parquet",
        "-o",
        tmp_path / "p.csv",
    )
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "p.csv").exists()
