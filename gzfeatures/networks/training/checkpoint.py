"""Write the state of a training, to resume from, and the checkpoint folder of a trained network."""

from __future__ import annotations

import json
import os
import platform
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from safetensors.torch import save
from torch import nn

from gzfeatures import fingerprint, outputs
from gzfeatures.errors import parsing
from gzfeatures.features.backbones import CHECKPOINT_FORMAT, RECORD, TENSORS, Backbone
from gzfeatures.files import written_whole
from gzfeatures.networks.models.load import AUXILIARY
from gzfeatures.networks.training.learner import Learner

STATE = "training.ckpt"
FILES = (
    *(STATE, TENSORS, RECORD, "history.json", "curves.png"),
    *("errors.html", "errors.json", "predicted.png"),
)
"""Files that a training writes into its folder.

`errors.*` are the gallery of the worst errors; `predicted.png` shows predicted and true numbers.
"""
Watch: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], None]
"""Function that receives the metrics of all epochs so far, one mapping per epoch."""


class WholeFiles(CheckpointIO):
    """Write Lightning's checkpoints whole or not at all; read them without running code in them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; on a full disk the earlier file stays unchanged."""
        write_state(Path(path), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; refuse a file with anything but tensors and plain values."""
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file of an outdated checkpoint."""
        outputs.remove(Path(path))


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state of a training to a file, whole or not at all."""
    with written_whole(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            # PyTorch reports a full disk as RuntimeError, which users would take for a bug: raise
            # the usual OSError instead
            raise OSError("not all of the file could be written") from error


def read_state(path: Path) -> dict[str, Any]:
    """Read the state of a training from its file, with all tensors on the CPU.

    Raises
    ------
    InputError
        The file is damaged, or holds more than tensors and plain values.
    """
    with parsing(
        "state of the training cannot be read", path, remedy="train anew, without resuming"
    ):
        # verify the checksums in the file: PyTorch does not, and would train on damaged weights
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():
                raise zipfile.BadZipFile(f"{damaged} is damaged")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def machine_now() -> dict[str, Any]:
    """Return CPU, thread count and PyTorch version, which change a training's last digits."""
    kind = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores"
    return {"threads": torch.get_num_threads(), "kind": kind, "torch": str(torch.__version__)}


class EveryEpoch(Checkpoint):
    """Write the state of the training, to resume from, at the end of every epoch.

    Parameters
    ----------
    path : Path
        File to replace.
    settings : dict
        Settings that decide the result of the training; saved with the state, so that a training
        with other settings does not resume from it.
    watch : callable, optional
        Called with the metrics of all epochs so far, in the first process, after the state is
        written.
    """

    def __init__(self, path: Path, settings: dict[str, Any], watch: Watch | None = None) -> None:
        self.path, self.settings, self.watch = path, settings, watch

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the training's settings and a description of the machine to the checkpoint."""
        checkpoint["settings"], checkpoint["machine"] = self.settings, machine_now()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the state of the training; Lightning needs this call in each of its processes."""
        trainer.save_checkpoint(self.path, weights_only=False)
        if self.watch is not None and trainer.is_global_zero and isinstance(pl_module, Learner):
            self.watch(pl_module.history)


def write_folder(
    folder: Path, backbone: Backbone, network: nn.Module, record: dict[str, Any]
) -> Path:
    """Write a trained network as `model.safetensors` and `backbone.json`, and return the folder.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoint, created if missing; an older checkpoint in it is replaced.
    backbone : Backbone
        The network as a backbone; the function that later reads the folder fills in the path of the
        weights and their sha256.
    network : nn.Module
        Network with its trained weights; auxiliary classifiers are left out.
    record : dict
        More JSON fields: classes, scheme, metrics, …

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    # leave out auxiliary classifiers: only training uses them, `load` builds networks without them
    tensors = {name: value for name, value in tensors.items() if not name.startswith(AUXILIARY)}
    return write_tensors(folder, backbone, tensors, record)


def write_tensors(
    folder: Path, backbone: Backbone, tensors: dict[str, torch.Tensor], record: dict[str, Any]
) -> Path:
    """Write a backbone's weights and a JSON file about them into a folder; return the folder.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    # remove the old JSON file first: if writing stops, it must not stand beside new weights
    outputs.remove(folder / RECORD)
    with written_whole(folder / TENSORS) as temporary:
        temporary.write_bytes(save(tensors))
    # write the JSON file last, with the sha256 of the weights: a folder without it is incomplete
    digest = fingerprint.of_file(folder / TENSORS)
    sidecar = {
        "format": CHECKPOINT_FORMAT,
        "backbone": backbone.asdict(),
        "weights_sha256": digest,
        **record,
    }
    with written_whole(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(sidecar, indent=1), "utf-8")
    return folder
