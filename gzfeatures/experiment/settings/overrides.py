"""Replace settings of an experiment file by `key=value`, and make its paths absolute."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError
from gzfeatures.features.backbones import PATHS


def _value(text: str) -> Any:
    """Parse a setting's value by the rules of TOML; text that is no TOML value stays text."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _put(fields: Any, keys: Sequence[str], value: Any, item: str) -> None:
    key: Any = keys[0]
    try:
        # in `backbones.0.weights`, the number is the index in a list
        if isinstance(fields, list):
            key = int(key)
        if len(keys) == 1:
            fields[key] = value
        else:
            _put(
                fields.setdefault(key, {}) if isinstance(fields, dict) else fields[key],
                keys[1:],
                value,
                item,
            )
    except (ValueError, IndexError, TypeError, AttributeError):
        raise InputError(
            "setting cannot be placed",
            where=f"--set {item}",
            rule="name a key such as galaxies.images or backbones.0.weights",
        ) from None


def absolute(fields: Any, base: Path, key: str = "") -> Any:
    """Make paths in settings absolute; names that start with `./`, `../`, `/` or `~` are paths.

    A path after the kind of an encoder and a colon, as in `onnx:FILE`, is always made absolute.
    """
    if isinstance(fields, list):
        return [absolute(item, base, key) for item in fields]
    if isinstance(fields, dict):
        return {name: absolute(value, base, name) for name, value in fields.items()}
    if not isinstance(fields, str):
        return fields
    kind, colon, place = fields.partition(":")
    if key == "architecture" and colon and kind in PATHS:
        return f"{kind}:{(base / Path(place).expanduser()).resolve()}"
    path_like = fields.startswith(("./", "../", "/", "~"))
    if key in ("catalog", "images", "labels") or (
        key in ("weights", "scheme", "name", "backbones", "networks") and path_like
    ):
        return str((base / Path(fields).expanduser()).resolve())
    return fields


def with_settings(fields: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Put settings `key=value`, such as `galaxies.images=DIR`, into an experiment's fields.

    Relative paths in these settings are relative to the working folder.

    Raises
    ------
    InputError
        A setting is not `key=value`, or its key names no place in `fields`.
    """
    for item in settings:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InputError("setting cannot be read", where=f"--set {item}", rule="be key=value")
        last = key.split(".")[-1]
        _put(fields, key.split("."), absolute({last: _value(text)}, Path.cwd())[last], item)
    return fields
