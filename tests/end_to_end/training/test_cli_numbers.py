"""A number in place of classes, from the command line: fitted, predicted, measured, and refused
where it is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table
from PIL import Image
from tables_of import table_of
from verbs import called, gz

from gzfeatures.evaluation.predictions import Predictions

N = 500


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding table, a FITS catalog with redshifts (ten masked, one sentinel), and labels."""
    folder = tmp_path_factory.mktemp("survey")
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(N, 8))
    ids = [f"{587739505552785605 + row}" for row in range(N)]
    table_of(matrix, ids=ids).write(folder / "table.parquet")
    z = 0.1 + 0.02 * matrix[:, 0] + 0.004 * rng.normal(size=N)
    masked = np.arange(N) < 10
    z[10] = -9999
    catalog = Table(
        {
            "objid": np.array(ids, dtype=np.int64),
            "redshift": MaskedColumn(z, mask=masked),
            "bar": rng.integers(0, 3, N),
            "same": np.ones(N),
        }
    )
    catalog.write(folder / "sample.fits")
    pd.DataFrame({"galaxy_id": ids, "label": np.where(matrix[:, 1] > 0, "a", "b")}).to_csv(
        folder / "labels.csv", index=False
    )
    return folder


def test_a_redshift_is_fitted_and_predicted(survey: Path, tmp_path: Path, drawn: None) -> None:
    answer = called(
        *("fit", survey / "table.parquet", "--labels", survey / "sample.fits"),
        *("--target", "redshift", "--head", "ridge", "--head", "svr", "-o", tmp_path / "heads"),
        "--overwrite",
    )
    assert answer.returncode == 0, answer.stderr
    assert "11 of 500 galaxies are left out: redshift is unknown" in answer.stderr
    assert "target redshift: a redshift: errors are in units of 1 + z" in answer.stderr
    assert "median of the training galaxies" in answer.stdout
    head = tmp_path / "heads" / "ridge.skops"
    assert (tmp_path / "heads" / "ridge-predicted.png").stat().st_size > 10_000
    written = gz("predict", head, survey / "table.parquet", "-o", tmp_path / "p.csv")
    assert written["rows"] == N and written["value"]["column"] == "redshift"
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == "galaxy_id,predicted_redshift,lower,upper,familiarity_p,trained_on"
    predictions = Predictions.read(tmp_path / "p.csv")
    assert predictions.kind == "redshift" and predictions.bounds is not None
    # more coverage asks for wider intervals, and the labels file measures them
    wide = gz(
        *("predict", head, survey / "table.parquet", "--coverage", 0.95),
        *("--labels", survey / "sample.fits", "-o", tmp_path / "wide.csv"),
    )
    assert wide["width"] > written["width"]
    assert wide["measured"]["rmse"] < 0.01 and wide["measured"]["held"] > 0.85
    assert wide["measured"]["n"] < N - 11  # training galaxies are not scored


def test_the_json_of_a_fit_has_scores_intervals_and_baselines(survey: Path, tmp_path: Path) -> None:
    fitted = gz(
        *("fit", survey / "table.parquet", "--labels", survey / "labels.csv"),
        *("--catalog", survey / "sample.fits", "--target", "redshift", "--column", "redshift"),
        *("--head", "ridge", "-o", tmp_path / "heads"),
    )
    row = fitted["heads"][0]
    for metric in ("rmse", "bias", "sigma_nmad", "outlier_share"):
        low, high = row["intervals"][metric]
        assert low <= row[metric] <= high
        assert set(row["baselines"]) == {"median", "mean"}
        assert metric in row["baselines"]["median"]
    assert row["kind"] == "redshift" and row["target"] == "redshift"
    assert row["prediction_intervals"]["promised"] == 0.9
    # the column to be predicted is among those that the head reads
    assert fitted["warnings"] == ["column redshift is the number to be predicted"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--target", "bar"), 1, "3 different whole numbers: are they class labels?"),
        (("--target", "same"), 1, "have two different known numbers at least, found 1 everywhere"),
        (("--target", "nothing"), 1, "no numeric column for nothing"),
        (("--target", "redshift", "-H", "svm"), 1, "must be one of ridge, svr, xgboost-regression"),
        (("--redshift",), 2, "it goes with --target COLUMN"),
        (("--as-number",), 2, "it goes with --target COLUMN"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(
    survey: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    answer = called(
        *("fit", survey / "table.parquet", "--labels", survey / "sample.fits"),
        *(*(() if "-H" in words else ("-H", "ridge")), *words, "-o", tmp_path / "heads"),
    )
    assert answer.returncode == code
    assert message in " ".join(answer.stderr.replace("│", " ").split())
    assert not list(tmp_path.rglob("*.skops"))


def test_heads_that_do_not_suit_the_labels_are_refused_before_a_split_is_written(
    survey: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_bytes((survey / "labels.csv").read_bytes())
    answer = called(
        *("fit", survey / "table.parquet", "--labels", labels, "-H", "ridge", "-o", tmp_path / "h")
    )
    assert answer.returncode == 1 and "--target" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_a_head_of_another_target_is_not_replaced_unasked(survey: Path, tmp_path: Path) -> None:
    words = ("fit", survey / "table.parquet", "--labels", survey / "sample.fits", "-H", "ridge")
    heads = ("-o", tmp_path / "heads")
    gz(*words, "--target", "redshift", *heads)
    former = (tmp_path / "heads" / "ridge.skops").read_bytes()
    other = called(*words, "--target", "bar", "--as-number", *heads)
    assert other.returncode == 1
    assert "holds a head of another target" in other.stderr and "found redshift" in other.stderr
    assert (tmp_path / "heads" / "ridge.skops").read_bytes() == former
    gz(*words, "--target", "redshift", *heads)
    assert gz(*words, "--target", "bar", "--as-number", *heads, "--overwrite")["heads"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--network", "nosuch"), "nosuch"),
        (("--network", "resnet18", "--members", "2"), "members of an ensemble"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_anything_is_written(
    survey: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "images").mkdir()
    for name in pd.read_csv(survey / "labels.csv", dtype=str).galaxy_id[:8]:
        Image.new("L", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    answer = called(
        *("finetune", survey / "sample.fits", "--images", tmp_path / "images", *words),
        *("--labels", survey / "sample.fits", "--target", "redshift", "-o", tmp_path / "net"),
        *("--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"),
    )
    assert answer.returncode == 1 and message in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_codes_are_numbers_where_the_user_says_so(survey: Path, tmp_path: Path) -> None:
    fitted = gz(
        *("fit", survey / "table.parquet", "--labels", survey / "sample.fits", "-H", "ridge"),
        *("--target", "bar", "--as-number", "--no-redshift", "-o", tmp_path / "heads"),
    )
    assert fitted["heads"][0]["kind"] == "value"


def test_class_verbs_refuse_a_head_on_a_number(survey: Path, tmp_path: Path) -> None:
    gz(
        *("fit", survey / "table.parquet", "--labels", survey / "sample.fits", "-H", "ridge"),
        *("--target", "redshift", "-o", tmp_path / "heads"),
    )
    head = tmp_path / "heads" / "ridge.skops"
    doubt = called(
        *("doubt", survey / "table.parquet", "--labels", survey / "labels.csv", "-H", "ridge")
    )
    assert doubt.returncode == 1 and "head does not predict classes" in doubt.stderr
    priors = called(
        *("predict", head, survey / "table.parquet", "--priors", "unlabelled"),
        *("-o", tmp_path / "p.csv"),
    )
    assert priors.returncode == 1 and "class shares cannot be corrected" in priors.stderr
    assert not (tmp_path / "p.csv").exists()
