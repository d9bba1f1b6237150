"""Blobs, and trainings on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blobs
import pytest
from shortcuts.undrawn import undrawn
from trainings import NETWORK, TINY, VIEW

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.models import architectures
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.train import train


@contextlib.contextmanager
def _tiny_known() -> Iterator[None]:
    """A small network has a name in this block only: other tests list the names of all networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architectures.NETWORKS, NETWORK, TINY)
        yield


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with _tiny_known():
        yield


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest) -> Iterator[None]:
    """A training is a second, its pictures another: they are drawn where a test looks at them."""
    with contextlib.nullcontext() if "drawn" in request.fixturenames else undrawn():
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs.draw(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def images(folder: Path) -> ImageSet:
    return ImageSet.of(folder)


@pytest.fixture(scope="session")
def labels(images: ImageSet) -> Labels:
    return blobs.labels_of(images)


@pytest.fixture(scope="session")
def split(labels: Labels) -> Split:
    return Split.draw(labels, blobs.SHARES, seed=0)


@pytest.fixture(scope="session")
def trained_in(images: ImageSet, labels: Labels, split: Split) -> Callable[..., Training]:
    """Trains on the blobs, in a folder; every argument of `train` can be given in place of ours."""

    def call(folder: Path, **options: Any) -> Training:
        settings: dict[str, Any] = {
            "batch_size": 24,
            "view": VIEW,
            "progress": False,
            "precision": "float32",
        }
        settings |= {"labels": labels, "split": split, "network": NETWORK} | options
        known, parts, network = (settings.pop(name) for name in ("labels", "split", "network"))
        return train(images, known, parts, network, folder=folder, **settings)

    return call


@pytest.fixture
def run(trained_in: Callable[..., Training], tmp_path: Path) -> Callable[..., Training]:
    """The same, in a folder of this test."""
    return lambda folder="out", **options: trained_in(tmp_path / folder, **options)


@pytest.fixture(scope="session")
def trained(
    trained_in: Callable[..., Training], tmp_path_factory: pytest.TempPathFactory
) -> Training:
    """A network that knows the blobs; it is read, and never trained on."""
    with _tiny_known():
        return trained_in(tmp_path_factory.mktemp("trained") / "trained", epochs=12, lr=3e-3)
