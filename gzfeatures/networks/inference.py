"""Probabilities of galaxies from a trained network, and its validation metrics; one road for both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.features.backbones import RECORD, backbone, classes_of
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.ids import Ids
from gzfeatures.galaxies.labels import Labels
from gzfeatures.images.imageset import ImageSet
from gzfeatures.networks.augment import dihedral_views
from gzfeatures.networks.hardware import choose
from gzfeatures.networks.load import load
from gzfeatures.networks.pixelcache import PixelCache
from gzfeatures.networks.targets import TARGETS, Target
from gzfeatures.networks.temperature import tempered
from gzfeatures.results.conformal import Conformal
from gzfeatures.results.metrics import evaluate
from gzfeatures.results.predictions import Predictions

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def normalised(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Pixels in [0, 1] → network input, band by band, channels last in memory."""
    shape = (1, -1, 1, 1)
    images = (pixels - pixels.new_tensor(mean).view(shape)) / pixels.new_tensor(std).view(shape)
    return images.contiguous(memory_format=torch.channels_last)


@dataclasses.dataclass(frozen=True, eq=False)
class Inference:
    """How logits of unaugmented galaxies are computed.

    Parameters
    ----------
    cache : PixelCache
        Pixels under the network's own view.
    target : Target
        Turns logits into probabilities.
    classes : tuple of str
        Their names.
    mean, std : tuple of float
        Normalisation of each band.
    batch_size : int
        Galaxies at a time.
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the network.
    dihedral : bool
        Average probabilities over the 8 symmetries of the square.
    temperature : float
        What logits are divided by (see `temperature.tempered`); of an average, its logarithm.
    """

    cache: PixelCache
    target: Target
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int = 256
    precision: str = "float32"
    dihedral: bool = False
    temperature: float = 1.0

    def probabilities(self, network: nn.Module, ids: Ids) -> npt.NDArray[np.float64]:
        """Shape (n, k), in the order of `ids`; the network is put in eval mode and left in it."""
        network.eval()
        device = next(network.parameters()).device
        rows = self.cache.rows(ids)
        parts: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(rows), self.batch_size):
                pixels = self.cache.batch(rows[start : start + self.batch_size]).to(device).float().div_(255)
                views = dihedral_views(pixels) if self.dihedral else [pixels]
                parts.append(torch.stack([self._of(network, view) for view in views]).mean(0).cpu())
        if not parts:
            return np.empty((0, len(self.classes)))
        found: npt.NDArray[np.float64] = torch.cat(parts).numpy()
        return tempered(found, self.temperature, self.target.kind)

    def _of(self, network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        images = normalised(pixels, self.mean, self.std)
        half = HALF.get(self.precision)
        with torch.autocast(images.device.type, half or torch.bfloat16, enabled=half is not None):
            logits = network(images)
        return self.target.probabilities(logits.double())

    def predictions(self, network: nn.Module, ids: Ids) -> Predictions:
        """Predictions of some galaxies."""
        return Predictions(ids, self.probabilities(network, ids), self.classes, self.target.kind)


def classify(images: ImageSet, checkpoint: str | Path, *, device: str = "auto", progress: bool = True) -> Predictions:
    """Predict galaxies by a network that was trained end to end, as its training predicted the test galaxies.

    Parameters
    ----------
    images : ImageSet
        Galaxies; a bad image is an error.
    checkpoint : str or Path
        Folder written by `finetune.train`.
    device : {"auto", "cpu", "cuda"}
        Where to compute.
    progress : bool
        Show a bar.

    Returns
    -------
    Predictions
        In the order of the images; `seen` marks the galaxies that the network was trained on; `sets` are there where
        the checkpoint promises any.

    Raises
    ------
    MissingFileError, InputError
        The folder is no checkpoint, or lacks what was predicted; an image is bad.
    """
    spec, classes = backbone(str(checkpoint)), classes_of(checkpoint)
    record = Path(checkpoint) / RECORD
    note = json.loads(record.read_text("utf-8"))
    target = TARGETS.get(note.get("settings", {}).get("target"))
    if target is None:
        raise InputError("checkpoint does not say what its outputs mean", where=record, rule="name a target")
    network = load(spec).to(choose(device, "float32").device)
    with TemporaryDirectory() as scratch:
        cache = PixelCache.of(images, spec.view, Path(scratch), progress=progress)
        inference = Inference(
            cache,
            target,
            classes,
            spec.mean,
            spec.std,
            dihedral=note.get("dihedral", False),
            temperature=float(note.get("temperature") or 1.0),
        )
        said = inference.predictions(network, images.ids)
    seen = None if spec.trained_on is None else TrainedOn.decode(spec.trained_on).among_images(images)
    sets = Conformal.fromdict(note["sets"]).sets(said) if note.get("sets") else None
    return dataclasses.replace(said, seen=seen, sets=sets)


@dataclasses.dataclass(frozen=True, eq=False)
class Validation:
    """Metrics on the validation galaxies; processes of one training share the work and know all of the result.

    Parameters
    ----------
    inference : Inference
    labels : Labels
        Truth of the validation galaxies.
    """

    inference: Inference
    labels: Labels

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """The metrics of `results.metrics.evaluate` that have a meaning for the target.

        Raises
        ------
        FloatingPointError
            The network says NaN.
        """
        ids = self.labels.ids
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else (0, 1)
        mine = self.inference.probabilities(network, ids[rank::world])
        found = np.empty((len(ids), len(self.labels.classes)))
        found[rank::world] = mine
        if together:
            shared: list[npt.NDArray[np.float64]] = [mine] * world
            torch.distributed.all_gather_object(shared, mine)
            for other, part in enumerate(shared):
                found[other::world] = part
        if not np.isfinite(found).all():
            raise FloatingPointError("probabilities are NaN")
        predictions = Predictions(ids, found, self.labels.classes, self.inference.target.kind)
        return evaluate(predictions, self.labels, intervals=0).metrics
