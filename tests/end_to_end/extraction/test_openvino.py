from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored import compute_table

from gzfeatures import user_folders
from gzfeatures.errors import InputError, MissingExtraError
from gzfeatures.features.store import Store
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks import hardware
from gzfeatures.networks.encoders.soundness import directions_and_neighbours
from gzfeatures.networks.extraction import openvino
from gzfeatures.networks.extraction.spec import Extraction
from gzfeatures.synthetic.survey import draw_survey

needs_openvino = pytest.mark.skipif(not find_spec("openvino"), reason="needs openvino")
needs_nncf = pytest.mark.skipif(
    not (find_spec("openvino") and find_spec("nncf")), reason="needs openvino and nncf"
)
"""Looked for, not imported: OpenVINO loads a library of which a process holds one."""
PLAIN = Extraction("resnet18", "none", view=View(size=64), precision="float32", progress=False)
VINO = dataclasses.replace(PLAIN, runtime="openvino")


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return ImageSet.of(draw_survey(tmp_path, 11, seed=5, size=80, progress=False).images)


@needs_openvino
def test_openvino_gives_the_same_vectors_under_a_key_of_its_own_and_converts_once(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, table = compute_table(images, PLAIN), compute_table(images.select(images.ids[:9]), VINO)
    assert (
        table.extractor.engine == "openvino"
        and table.extractor.fingerprint != plain.extractor.fingerprint
    )
    np.testing.assert_allclose(table.matrix, plain.matrix[:9], rtol=1e-3, atol=1e-4)

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("gzfeatures.networks.models.load.load", refuse)
    again = compute_table(images, VINO)
    assert again.made.computed == 2
    np.testing.assert_allclose(again.matrix, plain.matrix, rtol=1e-3, atol=1e-4)


@needs_openvino
def test_a_converted_network_that_this_user_did_not_store_is_converted_again(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compute_table(images.select(images.ids[:9]), VINO)
    (blob,) = user_folders.compiled().glob("*/*.blob")
    assert not list(Store.default().root.rglob("*.blob"))
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    imported: list[object] = []
    monkeypatch.setattr(
        "openvino.Core.import_model", lambda self, *arguments: imported.append(arguments)
    )
    table = compute_table(images, VINO)
    assert not imported, "what was not stored by this user does not reach OpenVINO"
    np.testing.assert_allclose(table.matrix[:9], first.matrix, rtol=1e-3, atol=1e-4)


@needs_openvino
def test_without_a_private_place_it_is_converted_each_time_and_that_is_said(
    images: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GZFEATURES_COMPILED", str(tmp_path / "file"))
    assert compute_table(images, dataclasses.replace(VINO, progress=True)).made.computed == len(
        images
    )
    assert "the converted network is not kept: " in capsys.readouterr().err


@needs_openvino
def test_dihedral_means_agree(images: ImageSet) -> None:
    a, b = (
        compute_table(images, dataclasses.replace(each, dihedral=True)).matrix
        for each in (PLAIN, VINO)
    )
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@needs_nncf
def test_int8_keeps_directions_and_neighbours_and_says_what_it_loses(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import nncf

    batches = []
    quantise = nncf.quantize

    def watched(model: Any, *arguments: Any, **options: Any) -> Any:
        batches.append([str(side) for side in model.input(0).partial_shape])
        return quantise(model, *arguments, **options)

    monkeypatch.setattr(nncf, "quantize", watched)
    monkeypatch.setattr(openvino, "CALIBRATION", 12)
    monkeypatch.setattr(openvino, "JUDGED", 8)
    int8 = compute_table(images, dataclasses.replace(PLAIN, precision="int8", progress=True))
    assert (int8.extractor.precision, int8.extractor.engine) == ("int8", "openvino")
    # an open batch would be calibrated with wrong biases where the graph holds a Range
    assert batches == [["1", "64", "64", "3"]]
    plain = compute_table(images, PLAIN).matrix
    cosine, shared = directions_and_neighbours(plain, int8.matrix)
    # random weights give all galaxies nearly one vector, which rounding shifts more than others;
    # calibrated on black images, the cosine would be near 0, and half the neighbours are chance
    assert cosine > 0.8 and shared > 0.8
    assert not np.allclose(int8.matrix, plain, rtol=1e-3)
    told = " ".join(capsys.readouterr().err.split())
    assert "calibrated int8 on 12 synthetic galaxies" in told
    assert "int8 against float32 on 8 other synthetic galaxies: centred cosine 0." in told


def test_vectors_that_lose_directions_or_neighbours_to_int8_are_told_with_a_remedy() -> None:
    rng = np.random.default_rng(0)
    # two clumps far apart: a direction is that to the clump, whoever the neighbours in it are
    clumps = np.repeat([[30.0], [-30.0]], 24, axis=0)
    exact, scrambled = ((clumps + rng.normal(size=(48, 6))).astype(np.float32) for _ in range(2))
    cosine, shared = directions_and_neighbours(exact, scrambled)
    assert cosine > 0.99 and shared < 0.5
    assert "--precision bfloat16 keeps more" in openvino._loss(exact, scrambled)
    shifted = exact + rng.normal(0, 20, (48, 1)).astype(np.float32)
    assert "--precision bfloat16 keeps more" in openvino._loss(exact, shifted)
    rounded = (exact + rng.normal(0, 0.05, exact.shape)).astype(np.float32)
    assert openvino._loss(exact, rounded).endswith("of 5 nearest neighbours")


def test_int8_is_not_calibrated_for_bands() -> None:
    with pytest.raises(InputError, match="int8 is calibrated on pictures; must see no bands"):
        openvino._galaxies(View(bands=("g", "r", "i")), 1)


def test_what_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_has_cuda", lambda: True)
    chosen = hardware.choose("auto", "int8")
    assert (chosen.device, chosen.precision, chosen.runtime) == ("cpu", "int8", "openvino")
    with pytest.raises(InputError, match="openvino and int8 are for CPUs"):
        hardware.choose("cuda", "auto", "openvino")
    with pytest.raises(InputError, match="int8 runs in OpenVINO only"):
        hardware.choose("auto", "int8", "torch")


def test_without_openvino_the_install_line_is_named(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[openvino\]'"):
        compute_table(images, VINO)


@needs_openvino
def test_support_vector_machines_are_accelerated_after_openvino_too() -> None:
    pytest.importorskip("sklearnex")
    words = (
        "from gzfeatures.networks.hardware import load_newest_tbb; load_newest_tbb(); "
        "import openvino; openvino.Core(); "
        "from gzfeatures.heads.estimators.machines import library as chosen; "
        "print(chosen('svm', True).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout.strip() == "sklearnex.svm", done.stderr
