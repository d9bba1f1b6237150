"""An experiment on a number: every approach ranked by RMSE, read again by compare, and served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shortcuts.undrawn import undrawn
from verbs import called, gz

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.config import load
from gzfeatures.experiment.folder import read_candidates
from gzfeatures.experiment.run import Run, run
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.target_column import UNKNOWN
from gzfeatures.maps.columns import columns
from gzfeatures.synthetic.survey import draw_survey
from gzfeatures.tracking import Tracking

TOML = """
name = "numbers"
[galaxies]
catalog = "{catalog}"
images = "{images}"
target = "z_of_mine"
redshift = true
split = [0.6, 0.2, 0.2]
[[backbones]]
name = "resnet18"
weights = "none"
view = "size=32"
[[networks]]
name = "tiny"
view = "size=16"
epochs = 2
as_backbone = false
[[heads]]
name = "ridge"
[[heads]]
name = "svr"
"""
N = 150


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("numbers")
    survey = draw_survey(folder / "survey", n=N, seed=5, size=48, progress=False)
    ids = sorted(path.stem for path in Path(survey.images).iterdir())
    rng = np.random.default_rng(0)
    z = rng.gamma(3, 0.05, len(ids))
    z[:4] = np.nan
    catalog = folder / "sample.csv"
    pd.DataFrame({"galaxy_id": ids, "z_of_mine": z}).to_csv(catalog, index=False)
    toml = folder / "numbers.toml"
    toml.write_text(TOML.format(catalog=catalog, images=survey.images))
    with undrawn():
        return run(load(toml), folder=folder / "run", tracker=Tracking(root=folder / "mlruns"))


def test_every_approach_is_ranked_by_the_error_of_its_numbers(finished: Run) -> None:
    comparison = finished.report.comparison
    assert comparison.metric == "rmse"
    values = [row.metrics["rmse"] for row in comparison.ranking]
    assert values == sorted(values) and len(values) == 3
    assert {row.approach for row in comparison.ranking} == {"frozen", "end-to-end"}
    for candidate in finished.report.candidates:
        assert candidate.predictions.kind == "redshift"
        assert set(candidate.scores.baselines) == {"median", "mean"}
    assert len(finished.report.labels) == N - 4
    assert finished.report.provenance["left_out"] == {UNKNOWN: 4}
    text = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="numbers"' in text and "σ_NMAD" in text
    assert "median for every galaxy has an RMSE of" in text
    assert "the number z_of_mine, errors in units of 1 + z" in text
    assert (finished.folder / "figures" / "numbers-01.png").exists()
    # .1234 is shown with three digits of the error at least
    assert f"{values[0]:.{finished.report.digits}f}" in text


def test_compare_reads_the_numbers_of_a_run_again(finished: Run) -> None:
    candidates, labels, split = read_candidates(finished.folder)
    assert labels.target == "redshift" and labels.classes == ("z_of_mine",)
    assert split.fingerprint == finished.report.split.fingerprint
    by_name = {candidate.name: candidate for candidate in candidates}
    for candidate in finished.report.candidates:
        again = by_name[candidate.name].scores
        assert again.metrics == pytest.approx(candidate.scores.metrics)
        assert again.baselines["median"] == pytest.approx(candidate.scores.baselines["median"])
    ranked = gz("compare", finished.folder)["ranking"]
    assert [row["rmse"] for row in ranked] == pytest.approx(
        [row.metrics["rmse"] for row in finished.report.comparison.ranking]
    )
    bias = called("compare", finished.folder, "--metric", "bias")
    assert bias.returncode == 1 and "metric; must be one of rmse, found bias" in bias.stderr


def test_a_served_model_answers_with_the_number_and_its_interval(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    assert finished.tracking_uri is not None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.tracking_uri)
    mlflow.set_tracking_uri(finished.tracking_uri)
    client = mlflow.MlflowClient()
    name = next(model.name for model in client.search_registered_models() if "ridge" in model.name)
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    table = EmbeddingTable.read(finished.folder / "tables" / "00-resnet18.parquet")
    frame = pd.DataFrame({"galaxy_id": table.ids[:5], "embedding": list(table.matrix[:5])})
    answer = model.predict(frame)
    columns = [column.name for column in model.metadata.signature.outputs]
    assert list(answer.columns) == columns
    assert columns[:2] == ["galaxy_id", "predicted_z_of_mine"]
    assert ("lower" in columns) == ("upper" in columns)
    if "lower" in columns:
        assert (answer["lower"] <= answer["predicted_z_of_mine"]).all()


def test_a_number_is_not_explained_as_a_class(finished: Run, tmp_path: Path) -> None:
    network = next((finished.folder / "networks").iterdir())
    answer = called(
        *(
            "explain",
            network,
            finished.report.labels.ids[0],
            "--images",
            finished.folder.parent / "survey" / "images",
        ),
        *("-o", tmp_path / "why.html"),
    )
    assert answer.returncode == 1 and "network predicts a number" in answer.stderr


def test_a_map_has_the_number_and_its_residual(finished: Run) -> None:
    labels = finished.report.labels
    predictions = finished.report.candidates[0].predictions
    drawn = {
        column.name: column.values
        for column in columns(labels.ids, labels=labels, predictions={"best": predictions})
    }
    assert "confidence, best" not in drawn
    known = np.isfinite(drawn["residual, best"])
    assert known.sum() == len(predictions)
    true = labels.values[:, 0][known]
    wanted = (drawn["predicted z_of_mine, best"][known] - true) / (1 + true)
    np.testing.assert_allclose(drawn["residual, best"][known], wanted, atol=1e-6)


def test_a_target_takes_the_place_of_a_scheme(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(
        'name = "e"\n[galaxies]\ncatalog = "c.csv"\nimages = "i"\nredshift = true\n'
    )
    with pytest.raises(InputError, match="belong to a target"):
        load(tmp_path / "e.toml")
    (tmp_path / "e.toml").write_text(
        'name = "e"\n[galaxies]\ncatalog = "c.csv"\nimages = "i"\ntarget = "z"\nothers = "class"\n'
    )
    with pytest.raises(InputError, match="whose place a target takes"):
        load(tmp_path / "e.toml")


def test_predictions_of_a_run_say_in_its_record_whether_they_are_redshifts(finished: Run) -> None:
    notes = json.loads((finished.folder / "pairings.json").read_text())
    assert {note["target"] for note in notes} == {"redshift"}
    # the name of the column would not tell it
    assert Predictions.read(finished.folder / notes[0]["predictions"]).kind == "value"
