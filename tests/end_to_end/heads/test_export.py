"""An exported file says of pixels and vectors what the head says, and is read back as that head."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from blobs import draw, labels_of
from portable_heads import head as drawn_head
from portable_heads import labels as drawn_labels
from portable_heads import split as drawn_split
from portable_heads import table as drawn_table

import gzfeatures as gz
from gzfeatures.errors import InputError, OutputError, WeightsError
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.features.store import Store
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.heads.trees import BoostedTrees
from gzfeatures.portable.agreement import _parts
from gzfeatures.portable.model_file import CARD, KEY
from gzfeatures.portable.portable_head import PortableHead
from gzfeatures.unlabelled.familiarity import LEVEL, Familiarity
from gzfeatures.unlabelled.shift import Shares

onnx = pytest.importorskip("onnx", reason="onnx, of the extra onnx, is not installed")
pytest.importorskip("onnxscript", reason="onnxscript, of the extra onnx, writes the files")
runtime = pytest.importorskip("onnxruntime", reason="of the extra onnx")
VIEW = gz.View(size=32, crop=0.8)


@dataclasses.dataclass(frozen=True)
class Desk:
    folder: Path
    images: gz.ImageSet
    table: gz.EmbeddingTable
    head: gz.Head
    written: Any

    @property
    def file(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Pictures, a head on a network of random weights, and both in one file."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "images").mkdir()
    images = gz.ImageSet.of(draw(folder / "images"))
    how: dict[str, Any] = {"weights": "none", "view": VIEW, "precision": "float32"}
    table = gz.extract(images, "resnet18", store=Store(folder / "store"), **how)
    labels = labels_of(images)
    split = gz.Split.draw(labels, (0.5, 0.4, 0.1), seed=0)
    head = gz.fit(table, labels, "logistic", split=split)
    kept_out = table.select(split.validation)
    known = Familiarity.of(table.select(split.train).matrix, kept_out.matrix)
    unfamiliar = known.p_values_of_calibration(kept_out.matrix) < LEVEL
    predicted = dataclasses.replace(head.predict(kept_out), unfamiliar=unfamiliar)
    sets, shares = Conformal.of(predicted, labels), Shares.of(predicted.probabilities)
    head = dataclasses.replace(head, familiarity=known, sets=sets, shares=shares)
    head.write(folder / "head.skops")
    written = gz.export(head, folder / "model.onnx", check_on=images)
    return Desk(folder, images, table, head, written)


def test_a_file_is_compared_in_every_runtime_and_batch_and_says_so_inside(desk: Desk) -> None:
    pytest.importorskip("openvino")
    found = {(each.runtime.split()[0], each.batch) for each in desk.written.agreements}
    assert found == {(name, batch) for name in ("onnxruntime", "openvino") for batch in (1, 7, 32)}
    for each in desk.written.agreements:
        assert each.largest <= 1e-4 and each.same_class == 1 and each.familiarity <= 0.05
    assert max(each.galaxies for each in desk.written.agreements) == 120
    properties = {each.key: each.value for each in onnx.load(str(desk.file)).metadata_props}
    record = json.loads(properties[KEY])
    assert record["view"]["crop"] == 0.8 and record["classes"] == ["round", "long"]
    assert record["checked"]["galaxies"] == 120
    summary = properties[CARD]
    assert summary == desk.written.summary
    assert "the central 0.8 of the shorter side, resampled to 32 px" in summary
    assert "120 galaxies of the images given" in summary and "| openvino" in summary


def test_the_graph_itself_gives_class_set_and_familiarity_of_pixels(desk: Desk) -> None:
    session = runtime.InferenceSession(str(desk.file))
    names = [each.name for each in session.get_outputs()]
    assert names == ["vectors", "probabilities", "familiarity_p", "class", "class_set"]
    pixels = np.stack([desk.images.pixels(row, VIEW) for row in range(9)])
    answer = dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
    predicted = gz.predict(desk.file, desk.images, store=desk.store).select(desk.images.ids[:9])
    # torch and Pillow resample to within one grey level
    assert np.abs(answer["probabilities"] - predicted.probabilities).max() < 0.02
    assert (answer["class"] == predicted.codes).all()
    assert (answer["class_set"] == predicted.sets).mean() > 0.9


def test_a_file_predicts_images_and_tables_with_the_columns_of_the_head(desk: Desk) -> None:
    by_head = gz.predict(desk.head, desk.table)
    for galaxies in (desk.images, desk.table):
        by_file = gz.predict(desk.file, galaxies, store=desk.store)
        by_head.write(desk.folder / "head.csv")
        by_file.write(desk.folder / "file.csv")
        one, other = (pd.read_csv(desk.folder / f"{name}.csv") for name in ("head", "file"))
        assert list(one.columns) == list(other.columns)
        assert {"class_set", "familiarity_p", "trained_on"} <= set(one.columns)
        for name in ("galaxy_id", "predicted_class", "class_set", "trained_on"):
            assert one[name].equals(other[name]), name
        assert np.abs(one["long"] - other["long"]).max() <= 1e-4
        assert np.abs(one["familiarity_p"] - other["familiarity_p"]).max() <= 0.05
    assert repr(PortableHead.open(desk.file)) == repr(desk.head)


def test_class_sets_of_another_coverage_come_from_the_record_in_the_file(desk: Desk) -> None:
    wide = gz.predict(desk.file, desk.table, coverage=0.99).sets.sum()
    narrow = gz.predict(desk.file, desk.table, coverage=0.5).sets.sum()
    assert wide > narrow
    head = desk.head.promising(0.5)
    assert narrow == head.predict(desk.table).sets.sum()


def test_a_head_is_exported_alone_and_takes_vectors_only(tmp_path: Path) -> None:
    file = tmp_path / "vectors.onnx"
    written = gz.export(drawn_head("svm"), file, from_="vectors", check_on=drawn_table())
    assert {each.galaxies for each in written.agreements} == {500}
    predicted, expected = gz.predict(file, drawn_table()), drawn_head("svm").predict(drawn_table())
    assert np.abs(predicted.probabilities - expected.probabilities).max() <= 1e-4
    assert np.allclose(predicted.probabilities.sum(1), 1)
    with pytest.raises(InputError, match="another program made those of the head"):
        gz.predict(file, draw_one(tmp_path))
    with pytest.raises(InputError, match="be a network of PyTorch that is known here"):
        gz.export(drawn_head("svm"), tmp_path / "pixels.onnx")
    assert not (tmp_path / "pixels.onnx").exists()


def draw_one(folder: Path) -> Path:
    (folder / "images").mkdir()
    return draw(folder / "images", n=1)


@pytest.mark.parametrize(
    ("name", "how"), [("xgboost", {"rounds": 20}), ("logistic", {"calibration": "isotonic"})]
)
def test_of_trees_and_isotonic_steps_every_galaxy_keeps_its_class(
    name: str, how: Any, tmp_path: Path
) -> None:
    head = gz.fit(drawn_table(), drawn_labels(), name, split=drawn_split(), **how)
    file = tmp_path / "model.onnx"
    written = gz.export(head, file, from_="vectors", check_on=drawn_table())
    assert {each.same_class for each in written.agreements} == {1.0}


def test_a_graph_that_says_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = drawn_head("logistic", calibration="platt")
    scale = head.estimator.scale_
    file = tmp_path / "model.onnx"
    file.write_bytes(b"of an earlier export")
    from gzfeatures.portable import export

    def wrong(right: gz.Head) -> Any:
        other = dataclasses.replace(right, estimator=_scaled(right.estimator, 1.01 * scale))
        return original(other)

    original = export.head_graph
    monkeypatch.setattr(export, "head_graph", wrong)
    with pytest.raises(InputError, match=r"differ by 0.0001 at most"):
        gz.export(head, file, from_="vectors", check_on=drawn_table())
    assert file.read_bytes() == b"of an earlier export"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]


def test_a_head_with_steps_is_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding moves a few galaxies across a threshold; a wrong operator moves nearly all."""
    from gzfeatures.portable import export

    kinds = (
        drawn_head("xgboost", rounds=20),
        drawn_head("logistic", calibration="isotonic"),
        drawn_head("logistic", "multi-label", calibration="isotonic"),
        drawn_head("xgboost-regression", "fractions", rounds=20, pca=8),
        drawn_head("xgboost-regression", "value", rounds=20, pca=8),
    )
    original = export.head_graph
    for number, head in enumerate(kinds):
        file = tmp_path / f"{number}.onnx"
        written = gz.export(head, file, from_="vectors", check_on=drawn_table())
        assert min(each.within for each in written.agreements) >= 0.99
    monkeypatch.setattr(export, "head_graph", lambda head: original(_nudged(head)))
    for head in kinds:
        with pytest.raises(InputError, match=r"have 95% of the values within 0.0001"):
            gz.export(head, tmp_path / "other.onnx", from_="vectors", check_on=drawn_table())


def _nudged(head: gz.Head) -> gz.Head:
    """The same head with outputs that are slightly off, but of the same classes."""
    estimator = copy.deepcopy(head.estimator)
    for part in _parts(estimator):
        if isinstance(part, Calibrated) and getattr(part, "steps_", ()):
            part.steps_[0] = part.steps_[0] + np.array([[0.0], [1e-3]])
        elif isinstance(part, Calibrated) and hasattr(part, "scale_"):
            part.scale_ *= 1.003
        elif isinstance(part, BoostedTrees) and hasattr(part, "base_"):
            part.base_ = part.base_ + np.float32(2e-3)
    return dataclasses.replace(head, estimator=estimator)


def test_a_number_that_single_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Days near 59000 that differ by hundredths: the file would round each to 0.004 of a day."""
    number = 59000 + 0.01 * drawn_table().matrix[:, :1].astype(np.float64)
    days = gz.Labels(drawn_table().ids, ("mjd",), number, "value")
    for name, how in (("ridge", {}), ("xgboost-regression", {"rounds": 20, "pca": 8})):
        head = gz.fit(drawn_table(), days, name, split=drawn_split(), **how)
        with pytest.raises(InputError, match=r"fit the head to their difference from it"):
            gz.export(head, tmp_path / "m.onnx", from_="vectors", check_on=drawn_table())
        assert not list(tmp_path.iterdir())


def _scaled(estimator: Any, scale: float) -> Any:
    other = copy.copy(estimator)
    other.scale_ = scale
    return other


def test_eight_bit_integers_fix_the_batch_and_are_judged_by_class(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gzfeatures.portable import export

    monkeypatch.setattr(export, "CALIBRATION", 8)
    monkeypatch.setattr("gzfeatures.portable.agreement.SAME_CLASS_INT8", 0.5)
    file = tmp_path / "int8.onnx"
    written = gz.export(
        desk.head, file, check_on=desk.images.select(desk.images.ids[:40]), int8=True
    )
    graph = onnx.load(str(file)).graph
    operators = {node.op_type for node in graph.node}
    assert "QuantizeLinear" in operators and "Range" not in operators
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert {each.batch for each in written.agreements} == {1}
    predicted = gz.predict(file, desk.images, store=desk.store)
    same = predicted.codes == desk.head.predict(desk.table).codes
    assert same.mean() > 0.5
    # a bar that no quantised graph of random weights reaches
    monkeypatch.setattr("gzfeatures.portable.agreement.SAME_CLASS_INT8", 1.01)
    refused = tmp_path / "refused.onnx"
    with pytest.raises(InputError, match="export without --int8"):
        gz.export(desk.head, refused, check_on=desk.images.select(desk.images.ids[:4]), int8=True)
    assert not refused.exists()


def test_outputs_replace_no_input_and_end_in_onnx(desk: Desk, tmp_path: Path) -> None:
    table = tmp_path / "table.onnx"
    drawn_head().write(table)
    before = table.read_bytes()
    with pytest.raises(OutputError):
        gz.export(table, table, from_="vectors", check_on=drawn_table())
    assert table.read_bytes() == before
    with pytest.raises(OutputError, match=r"end in \.onnx"):
        gz.export(drawn_head(), tmp_path / "model.bin", from_="vectors", check_on=drawn_table())


def test_a_backbone_of_other_weights_is_not_exported(desk: Desk, tmp_path: Path) -> None:
    extractor = dataclasses.replace(desk.head.extractors[0], weights="0" * 64)
    other = dataclasses.replace(desk.head, extractors=(extractor,))
    with pytest.raises(WeightsError, match="other weights than the head was fitted on"):
        gz.export(other, tmp_path / "model.onnx", check_on=desk.images, weights="none")


def changed(desk: Desk, path: Path, change: Any) -> Path:
    model = onnx.load(str(desk.file))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def a_weight(model: Any) -> None:
    tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    tensor.raw_data = b"\x01" + tensor.raw_data[1:]


def no_metadata(model: Any) -> None:
    del model.metadata_props[:]


def a_newer_format(model: Any) -> None:
    for each in model.metadata_props:
        if each.key == KEY:
            each.value = json.dumps(json.loads(each.value) | {"format": 99})


def external(model: Any) -> None:
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../secret")


def sized(model: Any) -> None:
    _with_node(model, "ConstantOfShape", [2**20, 2**20])


def _with_node(model: Any, operator: str, shape: list[int]) -> None:
    name = "how_large"
    sides = onnx.numpy_helper.from_array(np.array(shape), name)
    model.graph.initializer.append(sides)
    model.graph.node.append(onnx.helper.make_node(operator, [name], ["large"]))
    _with_right_digest(model)


def random_numbers(model: Any) -> None:
    node = onnx.helper.make_node("RandomNormal", [], ["noise"], shape=[2])
    model.graph.node.append(node)
    _with_right_digest(model)


def _with_right_digest(model: Any) -> None:
    from gzfeatures.portable.model_file import _digest

    for each in model.metadata_props:
        if each.key == KEY:
            each.value = json.dumps(json.loads(each.value) | {"digest": _digest(model)})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (a_weight, "exported file is damaged"),
        (no_metadata, "ONNX file is no exported head.*--backbone onnx:FILE"),
        (a_newer_format, "format is newer"),
        (external, "external data"),
        (sized, "tensor of an exported file is too large"),
        (random_numbers, "operator of an exported file is refused"),
    ],
)
def test_a_file_that_export_did_not_write_is_refused_in_one_line(
    change: Any, line: str, desk: Desk, tmp_path: Path
) -> None:
    path = changed(desk, tmp_path / "other.onnx", change)
    with pytest.raises(InputError, match=line) as refusal:
        PortableHead.open(path)
    assert "\n" not in str(refusal.value)


def test_an_mlflow_model_of_a_file_takes_images_and_vectors(desk: Desk, tmp_path: Path) -> None:
    from gzfeatures.tracking.exported_model import save_exported

    served = save_exported(desk.file, tmp_path / "served")
    from mlflow import pyfunc

    model = pyfunc.load_model(str(served))
    expected = desk.head.predict(desk.table.select(desk.images.ids[:4]))
    rows = {
        "image": [desk.images.read(row) for row in range(4)],
        "embedding": list(desk.table.matrix[:4].astype(float)),
    }
    for name, column in rows.items():
        answer = model.predict(pd.DataFrame({name: column}))
        assert np.abs(answer["long"] - expected.probabilities[:, 1]).max() <= 1e-4
        assert answer["predicted_class"].tolist() == expected.names.tolist()
        assert np.abs(answer["familiarity_p"] - expected.familiarity).max() <= 0.05
    with pytest.raises(OutputError, match="not exist"):
        save_exported(desk.file, tmp_path / "served")
