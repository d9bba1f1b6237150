"""Registered models: a head or a network that MLflow gives back, or serves over HTTP, answers as it
did here."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pandas as pd
import pytest
from reports import labelled, pairings, pictures
from server import Server, free_port

import gzfeatures
from gzfeatures.errors import InputError
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import BACKBONES
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import Head, fit
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.networks.inference.output_calibration import OutputCalibration
from gzfeatures.networks.inference.probabilities import classify
from gzfeatures.tracking import Tracking, models
from gzfeatures.tracking.wheel import write_wheel
from gzfeatures.unlabelled.familiarity import Familiarity
from gzfeatures.unlabelled.shift import TableSample


@dataclasses.dataclass(frozen=True)
class Registered:
    """A head on vectors of a small random network: as it is, and as MLflow gives it back."""

    head: Head
    table: EmbeddingTable
    images: ImageSet
    model: Any
    uri: str
    root: Path


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    import mlflow
    import torch
    from mlflow import MlflowClient
    from torchvision.models import mobilenet_v2

    from gzfeatures.networks.training.checkpoint import write_folder

    root = tmp_path_factory.mktemp("models")
    labels = labelled(60)
    images = pictures(root / "images", labels)
    torch.manual_seed(0)
    spec = dataclasses.replace(
        BACKBONES["mobilenet-v2"],
        name="mine",
        classes=5,
        view=View(size=32),
        weights=None,
        url=None,
        sha256="",
    )
    checkpoint = write_folder(
        root / "checkpoint", spec, mobilenet_v2(num_classes=5), {"classes": labels.classes}
    )
    table = extract(
        images, checkpoint, precision="float32", store=Store(root / "store"), progress=False
    )
    split = Split.draw(labels)
    head = fit(table, labels, "logistic", split=split)
    train, kept_out = (table.select(side).matrix for side in (split.train, split.validation))
    head = dataclasses.replace(head, familiarity=Familiarity.of(train, kept_out))
    validation = table.select(split.validation)
    sets = Conformal.of(head.predict(validation).without_seen(), labels.select(split.validation))
    head = dataclasses.replace(head, sets=sets)
    path = head.write(root / "logistic.skops")
    tracking = Tracking(root=root)
    run = tracking.record_candidate(
        "gz2: zhu/5 'classes'", pairings(labels, split)[1], [path, checkpoint]
    )
    (known,) = MlflowClient(tracking.uri, tracking.uri).search_registered_models()
    assert known.name == "gz2- zhu-5 -classes- mobilenet-v2 logistic frozen"
    (version,) = known.latest_versions
    assert version.run_id == run
    with pytest.MonkeyPatch.context() as patch:  # MLflow itself would leave it in the environment
        patch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
        model = mlflow.pyfunc.load_model(uri := f"models:/{known.name}/{version.version}")
    return Registered(head, table, images, model, uri, root)


def test_a_registered_head_answers_an_embedding_table_as_the_head_does(
    registered: Registered,
) -> None:
    path = registered.table.write(registered.root / "table.parquet")
    answer = registered.model.predict(pd.read_parquet(path))
    expected = registered.head.predict(registered.table)
    assert answer["galaxy_id"].tolist() == expected.ids.tolist()
    np.testing.assert_allclose(
        answer[list(expected.classes)], expected.probabilities, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_array_equal(answer["familiarity_p"], expected.familiarity)
    names = registered.model.metadata.get_output_schema().input_names()
    assert {"familiarity_p", "predicted_class", "class_set", "empty_because"} <= set(names)
    # the same words as the file that `predict` writes
    written = pd.read_parquet(expected.write(registered.root / "expected.parquet"))
    assert answer["class_set"].tolist() == written["class_set"].tolist()
    assert answer["predicted_class"].tolist() == written["predicted_class"].tolist()
    assert answer["empty_because"].tolist() == expected.empty_because.tolist()
    assert expected.sets.sum() > len(expected)  # some sets hold several classes


def test_a_model_has_an_example_that_it_answers_and_a_card(registered: Registered) -> None:
    example = registered.model.input_example
    answer = registered.model.predict(example)
    assert answer["galaxy_id"].tolist() == ["example"]
    assert answer[list(registered.head.classes)].sum(axis=1).iloc[0] == pytest.approx(1)
    tracking = Tracking(root=registered.root)
    with tracking.writing() as client:
        (known,) = client.search_registered_models("name LIKE 'gz2%logistic%'")
        card = known.latest_versions[0].description
    assert "| accuracy | 0." in card and " to 0." in card
    assert "another survey" in card
    assert all(name in card for name in registered.head.classes)


def test_a_registered_head_with_its_checkpoint_reads_images(registered: Registered) -> None:
    rows = pd.DataFrame({"image": [registered.images.read(row) for row in range(4)]})
    expected = registered.head.predict(registered.table.select(registered.images.ids[:4]))
    answer = registered.model.predict(rows)
    np.testing.assert_allclose(
        answer[list(expected.classes)], expected.probabilities, rtol=1e-3, atol=1e-4
    )
    assert answer["round"].nunique() > 1


def test_a_head_on_random_weights_reads_images_with_the_same_random_weights(
    registered: Registered, tmp_path: Path
) -> None:
    table = extract(
        registered.images,
        "resnet18",
        weights="none",
        view=View(size=32),
        precision="float32",
        store=Store(tmp_path / "store"),
    )
    labels = labelled(60)
    head = fit(table, labels, "logistic", split=Split.draw(labels))
    rows = pd.DataFrame({"image": [registered.images.read(row) for row in range(4)]})
    answer = models._Model(head, None).predict(rows)
    expected = head.predict(table.select(registered.images.ids[:4]))
    np.testing.assert_allclose(
        answer[list(expected.classes)], expected.probabilities, rtol=1e-3, atol=1e-4
    )


def test_rows_without_ids_are_counted(registered: Registered) -> None:
    answer = registered.model.predict(
        pd.DataFrame({"embedding": list(registered.table.matrix[:3])})
    )
    assert answer["galaxy_id"].tolist() == ["0", "1", "2"]


def test_a_model_refuses_rows_with_nothing_to_predict_from(registered: Registered) -> None:
    with pytest.raises(
        InputError, match="nothing to predict from; must have columns embedding, or image"
    ):
        registered.model.predict(pd.DataFrame({"galaxy_id": ["1"]}))


def test_a_model_refuses_vectors_of_another_length(registered: Registered) -> None:
    with pytest.raises(InputError, match="vector length; must be 1280, found 3"):
        registered.model.predict(pd.DataFrame({"embedding": [[1.0, 2.0, 3.0]]}))


def test_a_network_is_a_model_too(registered: Registered, tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient
    from mlflow.pyfunc import scoring_server

    labels = labelled(60)
    split = Split.draw(labels)
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(registered.root / "checkpoint", checkpoint)
    note = json.loads((checkpoint / "backbone.json").read_text())
    vectors = registered.table.matrix  # of the layer that enters the output layer
    rough = Predictions(labels.ids, np.eye(5)[labels.codes] * 0.6 + 0.08, labels.classes)
    familiarity = Familiarity.of(vectors[:50], vectors[50:])
    kept = OutputCalibration(sets=Conformal.of(rough, labels), familiarity=familiarity).asdict()
    note |= {"settings": {"target": "classes"}} | kept
    (checkpoint / "backbone.json").write_text(json.dumps(note))
    tracking = Tracking(root=tmp_path)
    tracking.record_candidate("networks", pairings(labels, split)[0], [checkpoint])
    (known,) = MlflowClient(tracking.uri, tracking.uri).search_registered_models()
    assert known.name == "networks resnet18 end-to-end"
    model = mlflow.pyfunc.load_model(known.latest_versions[0].source)
    files = [registered.images.read(row) for row in range(3)]
    sample = TableSample(familiarity)
    expected = classify(
        registered.images.select(registered.images.ids[:3]),
        checkpoint,
        progress=False,
        sample=sample,
    )
    assert len(sample.coordinates) == 3  # met for the comparison with galaxies kept out
    answer = model.predict(pd.DataFrame({"image": files, "galaxy_id": ["a", "b", "c"]}))
    assert answer["galaxy_id"].tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(answer[list(expected.classes)], expected.probabilities, atol=1e-6)
    rows = json.dumps(
        {"dataframe_records": [{"image": base64.b64encode(data).decode()} for data in files]}
    )
    served = scoring_server.invocations(
        rows, "application/json", model, model.metadata.get_input_schema()
    )
    assert served.status == 200, served.response
    said = pd.DataFrame(json.loads(served.response)["predictions"])
    np.testing.assert_allclose(said[list(expected.classes)], expected.probabilities, atol=1e-6)
    assert expected.familiarity is not None
    np.testing.assert_allclose(
        answer["familiarity_p"], expected.familiarity, atol=0.1
    )  # one rank of ten
    np.testing.assert_array_equal(said["familiarity_p"], answer["familiarity_p"])
    assert said["class_set"].tolist() == expected.class_sets.tolist()
    assert said["predicted_class"].tolist() == expected.names.tolist()
    assert {"class_set", "empty_because"} <= set(model.metadata.get_output_schema().input_names())
    with pytest.raises(
        InputError, match="nothing to predict from; must have a column image, found galaxy_id"
    ):
        model.predict(answer[["galaxy_id"]])


def requirements(root: Path) -> Path:
    """The file of requirements of the registered model."""
    (found,) = (path for path in (root / "artifacts").rglob("requirements.txt"))
    return found


def test_a_model_carries_the_wheel_of_the_package_that_made_it(
    registered: Registered, tmp_path: Path
) -> None:
    file = requirements(registered.root)
    (own,) = (line for line in file.read_text().splitlines() if "gzfeatures" in line)
    wheel = file.parent / own
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        here = Path(gzfeatures.__file__).parent
        wanted = {f"gzfeatures/{p.relative_to(here).as_posix()}" for p in here.rglob("*.py")}
        assert wanted <= set(names) and not [name for name in names if "__pycache__" in name]
        for name in ("gzfeatures/tracking/wheel.py", "gzfeatures/py.typed"):
            assert archive.read(name) == (here.parent / name).read_bytes()
        notes = next(name for name in names if name.endswith("METADATA"))
        assert b"Requires-Dist: torch" in archive.read(notes)
    (kept,) = (registered.root / "artifacts" / "wheels").rglob("*.whl")
    assert kept.samefile(wheel), "one copy per database"
    assert write_wheel(registered.root / "artifacts" / "wheels") == kept
    assert write_wheel(tmp_path).read_bytes() == kept.read_bytes(), "the same files, the same wheel"


def test_a_checkout_as_working_folder_gives_the_wheel_that_pip_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "checkout" / "gzfeatures.egg-info"
    notes.mkdir(parents=True)
    (notes / "PKG-INFO").write_text(
        f"Metadata-Version: 2.4\nName: gzfeatures\nVersion: {gzfeatures.__version__}\n"
    )
    expected = write_wheel(tmp_path / "one").read_bytes()
    monkeypatch.syspath_prepend(notes.parent)
    wheel = write_wheel(tmp_path / "two")
    assert wheel.read_bytes() == expected
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]


def test_pip_can_install_what_a_model_asks_for(registered: Registered) -> None:
    file = requirements(registered.root)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-index",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*command, "-r", file.name], cwd=file.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"gzfeatures-{gzfeatures.__version__}" in done.stdout, (
        "the wheel, whatever an index may have of that name"
    )


@pytest.mark.environment
def test_a_model_is_served_in_an_environment_that_mlflow_makes(
    registered: Registered, tmp_path: Path
) -> None:
    port, mlflow = free_port(), Path(sys.executable).with_name("mlflow")
    command = [mlflow, "models", "serve", "-m", registered.uri, "-h", "127.0.0.1", "-p", port]
    more = {
        "MLFLOW_TRACKING_URI": Tracking(root=registered.root).uri,
        "MLFLOW_ENV_ROOT": str(tmp_path / "environments"),
        "PATH": f"{mlflow.parent}{os.pathsep}{os.environ['PATH']}",
    }
    server = Server(
        [str(word) for word in command], port, "/ping", tmp_path / "server.log", more, seconds=3600
    )
    try:
        expected = registered.head.predict(registered.table)
        rows = [
            {"galaxy_id": i, "embedding": v.tolist()}
            for i, v in zip(expected.ids, registered.table.matrix, strict=True)
        ]
        said = answered(server, rows)
        np.testing.assert_allclose(
            said[list(expected.classes)], expected.probabilities, rtol=1e-4, atol=1e-6
        )
    finally:
        server.close()


def test_a_model_is_kept_without_pickle(registered: Registered) -> None:
    kept = {path.name for path in (registered.root / "artifacts").rglob("*") if path.is_file()}
    assert "head.skops" in kept
    assert not {
        name for name in kept if name.endswith((".pkl", ".pickle", ".joblib", ".cloudpickle"))
    }


# over HTTP


@pytest.fixture(scope="module")
def served(registered: Registered) -> Iterator[Server]:
    """The registered head behind MLflow's own server."""
    port, mlflow = free_port(), Path(sys.executable).with_name("mlflow")
    command = [
        mlflow,
        "models",
        "serve",
        "-m",
        registered.uri,
        "--env-manager",
        "local",
        "-h",
        "127.0.0.1",
        "-p",
        port,
    ]
    tracking = {"MLFLOW_TRACKING_URI": Tracking(root=registered.root).uri}
    path = {"PATH": f"{mlflow.parent}{os.pathsep}{os.environ['PATH']}"}
    server = Server(
        [str(word) for word in command],
        port,
        "/ping",
        registered.root / "server.log",
        tracking | path,
    )
    yield server
    server.close()


def answered(server: Server, rows: list[dict[str, Any]]) -> pd.DataFrame:
    body = json.dumps({"dataframe_records": rows}).encode()
    return pd.DataFrame(json.loads(server.ask("/invocations", body))["predictions"])


def test_a_served_head_answers_vectors_as_the_head_does(
    registered: Registered, served: Server
) -> None:
    expected = registered.head.predict(registered.table)
    vectors = registered.table.matrix.tolist()
    rows = [{"galaxy_id": i, "embedding": v} for i, v in zip(expected.ids, vectors, strict=True)]
    said = answered(served, rows)
    assert said["galaxy_id"].tolist() == expected.ids.tolist()
    np.testing.assert_allclose(
        said[list(expected.classes)], expected.probabilities, rtol=1e-5, atol=1e-7
    )


def test_a_served_head_answers_images_as_the_head_does(
    registered: Registered, served: Server
) -> None:
    ids = registered.images.ids[:3]
    expected = registered.head.predict(registered.table.select(ids))
    said = answered(
        served,
        [{"image": base64.b64encode(registered.images.read(row)).decode()} for row in range(3)],
    )
    np.testing.assert_allclose(
        said[list(expected.classes)], expected.probabilities, rtol=1e-3, atol=1e-4
    )


def test_a_served_head_says_what_it_needs(served: Server) -> None:
    with pytest.raises(HTTPError, match="400") as caught:
        answered(served, [{"galaxy_id": "1"}])
    assert (
        "nothing to predict from; must have columns embedding, or image"
        in caught.value.read().decode()
    )
