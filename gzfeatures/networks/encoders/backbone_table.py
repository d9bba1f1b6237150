"""Read a TOML file about a backbone: its name, architecture, weights, image crop and size."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, parsing, unknown
from gzfeatures.features.backbones import KINDS, PATHS, Backbone, foreign_kind
from gzfeatures.files import require_file
from gzfeatures.images.view import View
from gzfeatures.networks.encoders.view_config import PixelConfig

FIELDS = ("name", "architecture", "weights", "view", "mean", "std")
"""Keys that a table `[[backbones]]` may have; the first two are required."""
Describe = Callable[[str, "str | Path | None", "PixelConfig | None"], Backbone]


def read_entry(path: Path, describe: Describe) -> Backbone:
    """Read a TOML file that defines one backbone (table `[[backbones]]`); return this backbone.

    Parameters
    ----------
    path : Path
        File with one table::

            [[backbones]]
            name = "my-encoder"
            architecture = "timm:resnet18"    # or zoobot:, hf:, torch:, onnx: and a path
            weights = "my-encoder.safetensors"
            view = "size=128,crop=0.5"
            mean = [0.5, 0.5, 0.5]
            std = [0.5, 0.5, 0.5]

        Relative paths in it start at the folder of the file.
    describe : callable
        Function that returns the backbone for an architecture such as `timm:resnet18`.

    Raises
    ------
    MissingFileError, InputError, UnknownNameError
        No such file; it is no TOML, has no table `[[backbones]]` or several, or an unknown key.
    """
    file = require_file(path, "description of a backbone")
    with parsing("description of a backbone cannot be read", file):
        entries = tomllib.loads(file.read_text("utf-8")).get("backbones")
        if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
            raise InputError("description of a backbone", where=file, rule="be one [[backbones]]")
        return entry_backbone(entries[0], file.parent, describe, str(file))


def files_named(path: Path) -> list[Path]:
    """Return the files of encoder and weights that a TOML file about a backbone names.

    The list is empty for a file that `read_entry` would refuse.
    """
    try:
        (entry,) = tomllib.loads(path.read_text("utf-8"))["backbones"]
        architecture, weights = str(entry["architecture"]), entry.get("weights")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    kind, _, place = architecture.partition(":")
    named = [place] if kind in PATHS else []
    named += [weights] if isinstance(weights, str) and weights != "none" else []
    return [path.parent / name for name in named]


def entry_backbone(
    entry: dict[str, Any], folder: Path, describe: Describe, where: object
) -> Backbone:
    """Return the backbone that the keys and values of one TOML table `[[backbones]]` define."""
    for key in entry:
        if key not in FIELDS:
            raise unknown("key of [[backbones]]", key, FIELDS)
    lacking = [key for key in FIELDS[:2] if not isinstance(entry.get(key), str)]
    if lacking:
        raise InputError("entry of [[backbones]]", where=where, rule=f"have {lacking[0]}, a text")
    architecture = str(entry["architecture"])
    kind = foreign_kind(architecture)
    if not kind:
        raise unknown("kind of encoder", architecture, [f"{each}:…" for each in KINDS[:-1]])
    if kind in PATHS:
        architecture = f"{kind}:{folder / architecture.partition(':')[2]}"
    weights = entry.get("weights")
    if isinstance(weights, str) and weights != "none":
        weights = folder / weights
    numbers: dict[str, tuple[float, ...]] = {
        key: _numbers(entry[key], key, where) for key in ("mean", "std") if key in entry
    }
    pixels = None
    # use view (crop and size), mean and std of the TOML table if it has all three: then no
    # configuration file is needed beside the weights
    if len(numbers) == 2 and "view" in entry:
        view = View.parse(str(entry["view"]))
        pixels = PixelConfig(view, numbers["mean"], numbers["std"], f"from {where}")
    spec = describe(architecture, weights, pixels)
    if pixels is None and "view" in entry:
        spec = dataclasses.replace(spec, view=View.parse(str(entry["view"]), spec.view))
    mean, std = numbers.get("mean", spec.mean), numbers.get("std", spec.std)
    return dataclasses.replace(spec, name=str(entry["name"]), mean=mean, std=std)


def _numbers(values: Any, key: str, where: object) -> tuple[float, ...]:
    """Return a TOML value as three floats (one per colour); refuse anything but three numbers."""
    plain = isinstance(values, list) and len(values) == 3
    if not plain or not all(type(value) in (int, float) for value in values):
        raise InputError(key, where=where, rule="be three numbers", found=values)
    return tuple(float(value) for value in values)
