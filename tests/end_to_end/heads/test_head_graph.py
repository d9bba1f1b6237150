"""A head's graph says in onnxruntime and OpenVINO what the head says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from portable_heads import CLASSES, head, table

from gzfeatures.errors import InputError
from gzfeatures.heads.head import Head
from gzfeatures.portable.head_graph import head_graph, main_output

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("svm", "classes", {}),
    ("svm", "classes", {"calibration": "isotonic", "class_weight": "balanced"}),
    ("logistic", "classes", {}),
    ("logistic", "classes", {"calibration": "platt", "pca": 8, "whiten": True, "impute": True}),
    ("logistic", "classes", {"calibration": "isotonic", "method": "raps"}),
    ("logistic", "classes", {"calibration": "none"}),
    ("linear-svm", "classes", {"class_weight": "macro-f1"}),
    ("xgboost", "classes", {"rounds": 30, "pca": 12}),
    ("lda", "classes", {"pca": 12}),
    ("mlp", "classes", {"pca": 12, "hidden": 16, "epochs": 3}),
    ("prototype", "classes", {"pca": 12}),
    ("ensemble", "classes", {"members": ("logistic", "lda")}),
    ("ensemble", "classes", {"members": ("logistic", "lda"), "combine": "stack"}),
    ("logistic", "multi-label", {}),
    ("ridge", "fractions", {}),
    ("xgboost-regression", "fractions", {"rounds": 10, "pca": 12}),
    ("svr", "value", {}),
    ("ridge", "value", {}),
]


def in_onnxruntime(model: Any, vectors: np.ndarray) -> dict[str, np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString())
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {"vectors": vectors}), strict=True))


def in_openvino(model: Any, vectors: np.ndarray) -> dict[str, np.ndarray]:
    vino = pytest.importorskip("openvino")
    read = vino.Core().read_model(model.SerializeToString())
    compiled = vino.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled([vectors])
    names = [each.name for each in model.graph.output]
    return {name: answer[compiled.output(name)] for name in names}


@pytest.mark.parametrize(("name", "target", "how"), CASES)
@pytest.mark.parametrize("run", [in_onnxruntime, in_openvino])
def test_a_graph_says_what_the_head_says(name: str, target: str, how: Any, run: Any) -> None:
    fitted: Head = head(name, target, **how)
    vectors = table().matrix.copy()
    # a few vectors unlike all others, which have an empty class set
    vectors[:5] = -vectors[:5]
    predicted = fitted.probabilities(vectors)
    answer = run(head_graph(fitted), vectors)
    values = answer[main_output(fitted)]
    scale = np.abs(predicted).max() if target == "value" else 1
    near = np.abs(values - predicted).max(1) <= 1e-4 * scale
    # a galaxy that lies on a threshold of a tree may fall to either side
    assert near.mean() >= (0.998 if "xgboost" in name else 1)
    p = fitted.familiarity.p_values(vectors)
    assert np.abs(answer["familiarity_p"] - p).max() <= 1.5 / (
        len(fitted.familiarity.distances) + 1
    )
    assert (answer["familiarity_p"][:5] < 0.01).all()
    if target == "classes":
        assert (answer["class"] == predicted.argmax(1)).all()
        sets = answer["class_set"].astype(bool)
        assert not sets[:5].any() and sets[5:].any(1).mean() > 0.95
        assert (sets == expected_sets(fitted, vectors)).mean() > 0.999


def expected_sets(fitted: Head, vectors: np.ndarray) -> np.ndarray:
    import dataclasses

    return fitted.predict(dataclasses.replace(table(), matrix=vectors)).sets


def test_a_machine_of_low_rank_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gzfeatures.heads.estimators.machines.EXACT_UP_TO", 100)
    fitted = head("svm", "classes", C=1.0)
    answer = in_onnxruntime(head_graph(fitted), table().matrix)
    predicted = fitted.probabilities(table().matrix)
    assert np.abs(answer["probabilities"] - predicted).max() <= 1e-4


def test_a_class_that_no_training_galaxy_has_gets_probability_0() -> None:
    import dataclasses

    fitted = head()
    wider = dataclasses.replace(
        fitted, classes=(*CLASSES, "ring"), sets=None, estimator=fitted.estimator
    )
    answer = in_onnxruntime(head_graph(wider), table().matrix[:4])
    assert answer["probabilities"].shape == (4, 5)
    assert (answer["probabilities"][:, 4] == 0).all()


def test_heads_without_a_form_in_onnx_are_refused() -> None:
    import dataclasses

    with pytest.raises(InputError, match=r"head cannot be exported.*svm, logistic"):
        head_graph(head("knn", "classes", pca=12))
    with pytest.raises(InputError, match="read one table and no catalog columns"):
        head_graph(dataclasses.replace(head(), columns=("redshift",)))
