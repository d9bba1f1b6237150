"""Compute class probabilities of galaxies with a trained network, and its validation metrics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.evaluation.metrics import CALIBRATED, Scores, evaluate, jsonable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.metric_sums import (
    metrics_of,
    shares_of,
    sufficient_statistics,
)
from gzfeatures.features.backbones import RECORD, backbone, classes_of
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.network_crops import dihedral_views
from gzfeatures.networks.hardware import choose
from gzfeatures.networks.inference.output_calibration import Matrix, calibration_of
from gzfeatures.networks.inference.temperature import temperature_of, tempered
from gzfeatures.networks.models.architectures import output_layers
from gzfeatures.networks.models.load import load
from gzfeatures.networks.setup.number_target import target_of_settings
from gzfeatures.networks.setup.pixel_cache import PixelCache
from gzfeatures.networks.setup.targets import Target
from gzfeatures.progress import Progress
from gzfeatures.unlabelled.familiarity import LEVEL
from gzfeatures.unlabelled.shift import TableSample

SYMMETRIES = 8
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def normalised(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalise pixels in [0, 1] band by band to network input, channels last in memory."""
    shape = (1, -1, 1, 1)
    images = (pixels - pixels.new_tensor(mean).view(shape)) / pixels.new_tensor(std).view(shape)
    return images.contiguous(memory_format=torch.channels_last)


@dataclasses.dataclass(frozen=True, eq=False)
class Inference:
    """Predict classes or numbers of galaxies with a network, from images without augmentation.

    Parameters
    ----------
    cache : PixelCache
        Pixels of the galaxies, cropped and resized as the network needs them.
    target : Target
        Turns logits into probabilities.
    classes : tuple of str
        Names of the classes.
    mean, std : tuple of float
        Normalisation of each band.
    batch_size : int
        Galaxies at a time.
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the network.
    dihedral : bool
        Average probabilities over the 8 symmetries of the square.
    """

    cache: PixelCache
    target: Target
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int = 256
    precision: str = "float32"
    dihedral: bool = False

    def probabilities(self, network: nn.Module, ids: Ids) -> npt.NDArray[np.float64]:
        """Return the class probabilities of galaxies, shape (n, k), in the order of the ids."""
        network.eval()
        device = next(network.parameters()).device
        rows = self.cache.rows(ids)
        parts: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(rows), self.batch_size):
                pixels = (
                    self.cache.batch(rows[start : start + self.batch_size])
                    .to(device)
                    .float()
                    .div_(255)
                )
                views = dihedral_views(pixels) if self.dihedral else [pixels]
                parts.append(torch.stack([self._of(network, view) for view in views]).mean(0).cpu())
        return torch.cat(parts).numpy() if parts else np.empty((0, len(self.classes)))

    def _of(self, network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        images = normalised(pixels, self.mean, self.std)
        half = HALF.get(self.precision)
        with torch.autocast(images.device.type, half or torch.bfloat16, enabled=half is not None):
            logits = network(images)
        return self.target.probabilities(logits.double())

    def outputs(self, network: nn.Module, ids: Ids) -> tuple[Predictions, Matrix]:
        """Return predictions and the features that enter the output layer, from one forward pass.

        Returns
        -------
        Predictions
            As `probabilities` gives them.
        ndarray of float32
            Features, shape (n, dim): averaged over the symmetries with `dihedral`, and over the
            pixels of a map if the output layer is a convolution. The features of an ensemble's
            members stand side by side.
        """
        views = SYMMETRIES if self.dihedral else 1
        # each member of an ensemble has its own output layer: collect the features that enter each
        # one
        features = {name: _Features(views) for name in output_layers(network)}
        hooks = [
            network.get_submodule(name).register_forward_pre_hook(each)
            for name, each in features.items()
        ]
        try:
            # run the network uncompiled: a compiled network ignores hooks that are added after
            # compilation
            with torch.compiler.set_stance("force_eager"):
                probabilities = self.probabilities(network, ids)
        finally:
            for hook in hooks:
                hook.remove()
        matrix = np.concatenate([each.matrix for each in features.values()], axis=1)
        return Predictions(ids, probabilities, self.classes, self.target.kind), matrix


class _Features:
    """Collect the features that enter an output layer, as a mean over turned copies of an image."""

    def __init__(self, views: int) -> None:
        self._views, self._calls = views, 0
        self._parts: list[torch.Tensor] = []

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        entering = inputs[0].float()
        part = (entering.mean((2, 3)) if entering.ndim == 4 else entering).cpu() / self._views
        if self._calls % self._views:
            self._parts[-1] += part
        else:
            self._parts.append(part)
        self._calls += 1

    @property
    def matrix(self) -> Matrix:
        """Return the collected features that enter the output layer, shape (n galaxies, dim)."""
        return torch.cat(self._parts).numpy() if self._parts else np.empty((0, 0), dtype=np.float32)


def classify(
    images: ImageSet,
    checkpoint: str | Path,
    *,
    device: str = "auto",
    progress: Progress | bool = False,
    unfamiliar: float = LEVEL,
    coverage: float | None = None,
    noted: Callable[[str, str], None] | None = None,
    sample: TableSample | None = None,
) -> Predictions:
    """Predict classes or numbers of galaxies with the trained network in a checkpoint folder.

    The network predicts, and is calibrated, as it was for the test galaxies after its training.

    Parameters
    ----------
    images : ImageSet
        Galaxies; a bad image is an error.
    checkpoint : str or Path
        Folder written by `train.train`.
    device : {"auto", "cpu", "cuda"}
        Where to compute.
    progress : Progress or bool
        Shows a progress bar; none by default. True: in the terminal.
    unfamiliar : float
        Galaxies with a smaller p value of familiarity get an empty class set, in [0, 1].
    coverage : float, optional
        Share of galaxies whose class set or interval shall contain the truth, in (0, 1); default
        the checkpoint's own.
    noted : callable, optional
        Called with id and reason for each image that shows no galaxy, before the network predicts.
    sample : TableSample, optional
        Collects features of the galaxies, to compare them with galaxies kept out of training.

    Returns
    -------
    Predictions
        In the order of the images; `seen` marks the galaxies that the network was trained on.
        `sets` and `familiarity` are present if the checkpoint was calibrated for them.

    Raises
    ------
    MissingFileError, InputError
        The folder is no checkpoint, does not say what its outputs mean, or has neither class sets
        nor intervals for `coverage`; an image is bad.
    """
    spec, classes = backbone(str(checkpoint)), classes_of(checkpoint)
    record = Path(checkpoint) / RECORD
    fields = json.loads(record.read_text("utf-8"))
    target = target_of_settings(fields.get("settings", {}))
    if target is None:
        raise InputError(
            "checkpoint does not say what its outputs mean", where=record, rule="name a target"
        )
    calibration = calibration_of(checkpoint)
    if coverage is not None:
        calibration = calibration.promising(coverage)
    # refuse before the images are read what the class sets cannot promise
    calibration = calibration.emptying(unfamiliar)
    network = load(spec).to(choose(device, "float32").device)
    with TemporaryDirectory() as scratch:
        cache = PixelCache.of(images, spec.view, Path(scratch), progress=progress, noted=noted)
        inference = Inference(
            cache, target, classes, spec.mean, spec.std, dihedral=fields.get("dihedral", False)
        )
        bare, features = inference.outputs(network, images.ids)
    predictions = calibration.applied(bare, features, unfamiliar=unfamiliar)
    seen = (
        None if spec.trained_on is None else TrainedOn.decode(spec.trained_on).among_images(images)
    )
    if sample is not None:
        sample.add(images.ids, features, seen)
    return dataclasses.replace(predictions, seen=seen)


@dataclasses.dataclass(frozen=True, eq=False)
class Validation:
    """Compute validation metrics, with the galaxies shared out among all processes of a training.

    Parameters
    ----------
    inference : Inference
    labels : Labels
        True labels of the validation galaxies.
    monitor : str
        Metric by which epochs are compared.
    """

    inference: Inference
    labels: Labels
    monitor: str

    def __call__(self, network: nn.Module) -> dict[str, Any]:
        """Predict the validation galaxies with a network, and return metrics of its predictions.

        Returns
        -------
        dict
            Metric → float; `per_class`, a list with name, support and metrics of each class; and if
            each galaxy has one class, `confusion`: numbers of galaxies by true class (rows) and
            predicted class (columns). An undefined number, such as the precision of a class that is
            never predicted, is None. `shares`, shape (n,), is what each galaxy adds to the
            monitored metric; absent if the metric is not made of sums over galaxies. If the log
            loss is monitored, `calibrated_log_loss` and the shares are those of the probabilities
            with the temperature that fits these galaxies best, as the trained network will have
            one.

        Raises
        ------
        FloatingPointError
            A probability is NaN.
        """
        ids = self.labels.ids
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if together else 0
        world = torch.distributed.get_world_size() if together else 1
        # each process predicts a share of the galaxies, but needs the metrics of all galaxies: all
        # processes must stop the training at the same epoch
        share = self.inference.probabilities(network, ids[rank::world])
        probabilities = np.empty((len(ids), len(self.labels.classes)))
        probabilities[rank::world] = share
        if together:
            shared: list[npt.NDArray[np.float64]] = [share] * world
            torch.distributed.all_gather_object(shared, share)
            for number, part in enumerate(shared):
                probabilities[number::world] = part
        if not np.isfinite(probabilities).all():
            raise FloatingPointError("probabilities are NaN")
        predictions = Predictions(
            ids, probabilities, self.labels.classes, self.inference.target.kind
        )
        figures = epoch_figures(evaluate(predictions, self.labels, intervals=0))
        if self.monitor == "log_loss":
            # a network of few galaxies becomes too certain long before it becomes less right, which
            # its temperature mends: compare epochs as they would be calibrated
            temperature = temperature_of(predictions, self.labels)
            calibrated = tempered(probabilities, temperature, predictions.kind)
            predictions = dataclasses.replace(predictions, probabilities=calibrated)
        columns, k = sufficient_statistics(predictions, self.labels), len(self.labels.classes)
        if self.monitor in metrics_of(columns.sum(0), len(ids), predictions.kind, k):
            figures["shares"] = shares_of(columns, self.monitor, predictions.kind, k)
            if self.monitor == "log_loss":
                figures[f"{CALIBRATED}log_loss"] = float(figures["shares"].mean())
        return figures


def epoch_figures(scores: Scores) -> dict[str, Any]:
    """Return an epoch's scores as JSON values: metrics, scores per class, confusion matrix.

    Examples
    --------
    >>> epoch_figures(Scores("classes", 2, ("disk", "smooth"), 0.9, accuracy=0.5))
    {'accuracy': 0.5}
    """
    figures: dict[str, Any] = dict(scores.metrics)
    if scores.per_class:
        # leave out confidence intervals: they were not computed, because that would take longer
        # than an epoch
        rows = [{k: v for k, v in row.items() if k != "intervals"} for row in scores.per_class]
        figures["per_class"] = [{**jsonable(row), "support": int(row["support"])} for row in rows]
    if scores.confusion is not None:
        figures["confusion"] = scores.confusion.tolist()
    return figures
