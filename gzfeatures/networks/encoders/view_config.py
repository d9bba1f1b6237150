"""Read size, crop and normalisation of an encoder's images from its configuration file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, parsing
from gzfeatures.images.view import INTERPOLATIONS, View

MOST_BYTES = 2**20
"""Size limit of a configuration file, in bytes."""
RESAMPLING = {2: "bilinear", 3: "bicubic"}
"""Pillow's codes of interpolation filters, which transformers writes."""
CONFIGS = ("preprocessor_config.json", "config.json")
"""File names of configurations beside weights: of transformers, of timm."""


@dataclasses.dataclass(frozen=True)
class PixelConfig:
    """Store size, crop and normalisation of the images an encoder expects, with the values' source.

    Parameters
    ----------
    view : View
    mean, std : three floats
        Normalisation of pixels in [0, 1].
    origin : str
        Name of the file or table with these values.
    """

    view: View
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str

    def __str__(self) -> str:
        """Return size, crop, interpolation and normalisation of the images in one line."""
        numbers = " ".join(f"{value:g}" for value in (*self.mean, *self.std))
        view = self.view
        return (
            f"{view.size} px, crop {view.crop:.4g}, {view.interpolation}, mean and std {numbers} "
            f"({self.origin})"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a configuration file; refuse any other content.

    Raises
    ------
    InputError
        The file is too large, no JSON, or no JSON object.
    """
    with parsing("configuration cannot be read", path, rule="be a JSON object"):
        if path.stat().st_size > MOST_BYTES:
            raise InputError("configuration is too large", where=path)
        config = json.loads(path.read_text("utf-8"))
        if not isinstance(config, dict):
            raise InputError("configuration", where=path, rule="be a JSON object")
    return config


def beside(weights: Path) -> PixelConfig | None:
    """Return image size, crop and normalisation as a file beside the weights states them, or None.

    Raises
    ------
    InputError
        The file is damaged, or asks for a preparation of images that is not supported.
    """
    for name in CONFIGS:
        path = weights.parent / name
        if not path.is_file():
            continue
        config = read_json(path)
        if "image_mean" in config:
            return of_transformers(config, path)
        nested = config.get("pretrained_cfg")
        if isinstance(nested, dict):
            return of_timm(nested, path)
    return None


def of_timm(config: Mapping[str, Any], where: object) -> PixelConfig:
    """Convert timm's configuration of a model (`input_size`, `crop_pct`, …) to a PixelConfig."""
    with parsing("timm's configuration cannot be read", where):
        channels, height, width = config["input_size"]
        if channels != 3 or height != width:
            raise InputError("input", where=where, rule="be three square bands", found=height)
        return _checked(
            int(height),
            float(config.get("crop_pct") or 1.0),
            str(config.get("interpolation") or "bilinear"),
            (config["mean"], config["std"]),
            where,
        )


def of_transformers(config: Mapping[str, Any], where: object) -> PixelConfig:
    """Convert the content of transformers' `preprocessor_config.json` to a PixelConfig."""
    with parsing("configuration of images cannot be read", where):
        if config.get("do_rescale", True) is False or config.get("do_normalize", True) is False:
            raise InputError("images", where=where, rule="be rescaled and normalised")
        if abs(float(config.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-3:
            raise InputError("rescale_factor", where=where, rule="be 1/255")
        resized = _side(config["size"])
        side, crop = resized, 1.0
        if config.get("do_center_crop"):
            side = _side(config["crop_size"])
            crop = side / resized
        filter_ = RESAMPLING.get(int(config.get("resample", 2)), str(config.get("resample")))
        numbers = (config["image_mean"], config["image_std"])
        return _checked(side, crop, filter_, numbers, where)


def _side(size: Any) -> int:
    """Return the side of square images, which transformers writes as a number or as a dict."""
    if isinstance(size, Mapping):
        sides = {int(size[key]) for key in ("height", "width", "shortest_edge") if key in size}
        if len(sides) != 1:
            raise InputError("size of images", rule="be one side", found=sorted(sides))
        return sides.pop()
    return int(size)


def _checked(
    size: int, crop: float, interpolation: str, numbers: tuple[Any, Any], where: object
) -> PixelConfig:
    """Return a PixelConfig of image size, crop and normalisation; refuse unsupported values."""
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            "interpolation",
            where=where,
            rule=f"be one of {', '.join(INTERPOLATIONS)}",
            found=interpolation,
            remedy="choose one with --view interpolation=bicubic and a configuration of your own",
        )
    mean, std = (tuple(float(value) for value in values) for values in numbers)
    if len(mean) != 3 or len(std) != 3:
        raise InputError("mean and std", where=where, rule="have three numbers", found=(mean, std))
    return PixelConfig(
        View(size=size, crop=crop, interpolation=interpolation), mean, std, f"from {where}"
    )


def unknown_pixels(where: object) -> InputError:
    """Return the error for an encoder whose image size and normalisation no file states."""
    return InputError(
        "size and normalisation of the images are not written anywhere",
        where=where,
        rule=f"stand in {' or '.join(CONFIGS)} beside the file",
        remedy="or describe it in a TOML file: [[backbones]] with name, architecture, view, mean "
        "and std, and give --backbone FILE.toml",
    )
