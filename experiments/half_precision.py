"""Checkpoints in half the bytes, for networks that go into the package."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from gzfeatures.features.backbones import RECORD, TENSORS
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.networks.models.load import read_tensors
from gzfeatures.networks.training.checkpoint import write_tensors


def write_half(checkpoint: Path, folder: Path, name: str) -> Path:
    """Copy a checkpoint folder with its weights in float16, half the bytes, under another name;
    returns the copy.

    Raises
    ------
    MissingFileError, InputError, WeightsError
        The checkpoint lacks a file, or one cannot be read.
    OutputError
        The folder cannot be written, or the disk is full.
    """
    spec = dataclasses.replace(backbone_of(checkpoint), name=name, weights=None, sha256="")
    note = json.loads((checkpoint / RECORD).read_text("utf-8"))
    record = {
        key: value
        for key, value in note.items()
        if key not in ("format", "backbone", "weights_sha256")
    }
    tensors = read_tensors(checkpoint / TENSORS)
    return write_tensors(
        folder,
        spec,
        {key: v.half() if v.is_floating_point() else v for key, v in tensors.items()},
        record,
    )
