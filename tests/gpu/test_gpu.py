"""Training on a CUDA device: `pytest -m gpu`. GZFEATURES_TEST_DEVICE=cpu runs what a CPU can do of
it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blobs
import numpy as np
import pytest
import torch
from places import EXPERIMENTS

from gzfeatures.errors import InputError
from gzfeatures.experiment.config import load as load_experiment
from gzfeatures.experiment.run import run as run_experiment
from gzfeatures.features.backbones import backbone
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.models.load import load
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.train import train
from gzfeatures.synthetic.survey import draw_survey

DEVICE = os.environ.get("GZFEATURES_TEST_DEVICE", "cuda")
CUDA = DEVICE == "cuda"
SETTINGS = sorted(EXPERIMENTS.glob("gpu_*.toml"))

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(CUDA and not torch.cuda.is_available(), reason="no CUDA device"),
]
needs_cuda = pytest.mark.skipif(not CUDA, reason="a CPU has no such memory or rate")

Run = Callable[..., Training]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.draw(tmp_path_factory.mktemp("toy"), n=240)


@pytest.fixture(scope="module")
def images(pictures: Path) -> ImageSet:
    return ImageSet.of(pictures)


@pytest.fixture
def run(images: ImageSet, tmp_path: Path) -> Run:
    labels = blobs.labels_of(images)
    split = Split.draw(labels, blobs.SHARES, seed=0)

    def call(name: str, **options: Any) -> Training:
        settings = {
            "epochs": 12,
            "batch_size": 24,
            "view": View(size=32, crop=0.75),
            "device": DEVICE,
        } | options
        return train(
            images, labels, split, "resnet18", folder=tmp_path / name, progress=False, **settings
        )

    return call


def accuracy(training: Training, images: ImageSet) -> float:
    labels = blobs.labels_of(images)
    ids = Split.draw(labels, blobs.SHARES, seed=0).test
    return float((training.predictions.select(ids).codes == labels.select(ids).codes).mean())


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_cuda)])
def test_bfloat16_learns_what_float32_learns(compiled: bool, run: Run, images: ImageSet) -> None:
    half, full = (
        run(name, precision=name, ema=0.9, compiled=compiled) for name in ("bfloat16", "float32")
    )
    assert accuracy(half, images) >= 0.9 and accuracy(full, images) >= 0.9
    assert np.abs(half.predictions.probabilities - full.predictions.probabilities).mean() < 0.1
    assert all(
        value.device.type == "cpu"
        for value in load(backbone(full.checkpoint)).state_dict().values()
    )


def test_a_training_goes_on_where_it_was_torn(run: Run) -> None:
    class Torn(Exception):
        pass

    def watch(history: Any) -> None:
        if len(history) == 5:
            raise Torn

    with pytest.raises(Torn):
        run("torn", watch=watch)
    resumed, whole = run("torn", resume=True), run("whole")
    assert resumed.epochs == whole.epochs == 12
    assert [row["epoch"] for row in resumed.history] == list(range(1, 13))
    assert np.abs(resumed.predictions.probabilities - whole.predictions.probabilities).mean() < (
        0.1 if CUDA else 1e-7
    )


@needs_cuda
def test_it_trains_several_times_as_fast_as_the_cpu(run: Run) -> None:
    options = {"epochs": 3, "batch_size": 72, "view": View(size=128, crop=0.75)}
    gpu, cpu = (
        run(device, **options, device=device).history[-1]["seconds"] for device in ("cuda", "cpu")
    )
    print(f"epoch of 144 galaxies at 128 px: {gpu:.2f} s on the GPU, {cpu:.2f} s on the CPU")
    assert gpu < cpu / 3


@needs_cuda
def test_memory_of_the_device_stays_small(run: Run) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run("memory", epochs=2, batch_size=64, view=View(size=128, crop=0.75), ema=0.9)
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"ResNet-18, 64 galaxies of 128 px: {peak:.2f} GiB")
    assert peak < 2.5


@needs_cuda
def test_too_little_memory_says_the_batch_size_to_try(run: Run) -> None:
    torch.cuda.empty_cache()
    held, whole = torch.cuda.memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((held + 300 * 2**20) / whole)
    try:
        with pytest.raises(
            InputError, match="batch_size 128: GPU memory does not suffice; try batch_size=64"
        ):
            run("large", epochs=1, batch_size=128, view=View(size=256, crop=0.75))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(CUDA and torch.cuda.device_count() < 2, reason="one CUDA device")
def test_processes_on_several_devices_train_together(pictures: Path, tmp_path: Path) -> None:
    options = {
        "epochs": 2,
        "devices": 2,
        "strategy": "ddp",
        "device": DEVICE,
        "precision": "bfloat16",
    }
    blobs.finished(blobs.started(pictures, tmp_path / "out", **options))
    assert backbone(tmp_path / "out").dim == 64


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_the_experiments_run(path: Path, tmp_path: Path) -> None:
    survey = draw_survey(tmp_path / "survey", n=120, seed=2, size=64, progress=False)
    settings = [
        f"device={DEVICE}",
        f"galaxies.catalog={survey.catalog}",
        f"galaxies.images={survey.images}",
    ]
    settings += ["galaxies.training_only=[]", "map=false"]
    experiment = load_experiment(path, settings)
    for number in range(len(experiment.networks)):
        network = f"networks.{number}"
        settings += [
            f"{network}.epochs=1",
            f"{network}.view=size=32",
            f"{network}.options.batch_size=16",
        ]
        settings += [f"{network}.options.compiled={str(CUDA).lower()}"]
    if experiment.galaxies.also is not None:
        settings.append(f"galaxies.also.catalog={survey.catalog}")
    report = run_experiment(load_experiment(path, settings), folder=tmp_path / "run").report
    assert {pairing.approach for pairing in report.candidates} == {"end-to-end", "fine-tuned"}
    assert len(report.candidates) == sum(len(n.seeds) or 1 for n in experiment.networks) * (
        1 + len(experiment.heads)
    )
