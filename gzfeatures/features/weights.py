"""Locate the weight files of backbones and compute their sha256, without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

from gzfeatures import fingerprint
from gzfeatures.errors import WeightsError
from gzfeatures.features.backbones import TENSORS, Backbone, backbone_of_file, packaged
from gzfeatures.files import require_file

RANDOM = "random:0"
"""Replaces the digest of the weights for a network with seeded random weights."""
REMEDY = "give --weights FILE, or --weights none for random ones"


def hub_file(backbone: Backbone) -> Path | None:
    """Return the path where torchvision keeps a backbone's weights; None for one without a URL.

    The path is `$TORCH_HOME/hub/checkpoints/<file>`, whether or not it has been downloaded.
    """
    # this repeats the rule of torch.hub.get_dir, because importing torch takes seconds
    if backbone.url is None:
        return None
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser()
    return home / "hub" / "checkpoints" / Path(backbone.url).name


def own_file(backbone: Backbone) -> Path | None:
    """Return the path of a backbone's default weight file (maybe not downloaded yet), or None."""
    kind, _, place = (backbone.weights or "").partition(":")
    if kind == "package":
        return packaged(place) / TENSORS
    return Path(place) if kind == "file" else hub_file(backbone)


def weights_file(backbone: Backbone, weights: str | Path | None = None) -> Path | None:
    """Return the path of a backbone's weight file, which may still have to be downloaded.

    Parameters
    ----------
    backbone : Backbone
    weights : str or Path, optional
        A file that replaces the backbone's own weights; "none" for seeded random weights.

    Returns
    -------
    Path or None
        None for random weights.

    Raises
    ------
    MissingFileError
        The given file does not exist.
    WeightsError
        The backbone has no weights of its own and none were given.
    """
    if weights == "none":
        return None
    if weights is not None:
        return require_file(weights, "weights file")
    path = own_file(backbone)
    if path is None:
        raise WeightsError(
            "has no weights that can be downloaded",
            where=f"backbone {backbone.name} ({backbone.source})",
            remedy=REMEDY,
        )
    return path if path == hub_file(backbone) else require_file(path, "weights file")


def weights_digest(backbone: Backbone, path: Path | None) -> str:
    """Return the sha256 of a backbone's weight file; `random:0` for random weights (no file).

    Raises
    ------
    MissingFileError
        The file does not exist (`networks.models.load.fetch` downloads torchvision's files).
    WeightsError
        The file lies where the backbone's own weights belong, but has another sha256.
    """
    if path is None:
        return RANDOM
    digest = fingerprint.of_file(require_file(path, "weights file"))
    if path == own_file(backbone) and not digest.startswith(backbone.sha256):
        raise WeightsError(
            "weights file is damaged or was exchanged",
            where=path,
            rule=f"have a sha256 that begins with {backbone.sha256}",
            found=digest,
            remedy="remove it, then fetch or write it again",
        )
    return digest


def training_record(backbone: Backbone, path: Path | None, digest: str) -> str | None:
    """Return the record of galaxies that the weights of a file were trained on; None if unknown.

    Parameters
    ----------
    backbone : Backbone
        Backbone that gets the weights.
    path : Path, optional
        Weight file; None for random weights, which were trained on nothing.
    digest : str
        Sha256 of the file, as `weights_digest` returns it.

    Raises
    ------
    MissingFileError, InputError
        The file lies in a checkpoint folder whose record cannot be read.
    """
    if path is None:
        return None
    if path == own_file(backbone):
        return backbone.trained_on
    return record_of_file(path, digest)


def record_of_file(file: str | Path, digest: str | None = None) -> str | None:
    """Return the record of galaxies that a file's weights were trained on; None if unknown.

    It is known of weights that come with gzfeatures, and of those in a checkpoint folder.

    Parameters
    ----------
    file : str or Path
        Weight file.
    digest : str, optional
        Sha256 of the file, if it was computed before.

    Raises
    ------
    MissingFileError, InputError
        No such file; or it lies in a checkpoint folder whose record cannot be read.
    """
    path = require_file(file, "weights file")
    origin = backbone_of_file(path, digest or fingerprint.of_file(path))
    return None if origin is None else origin.trained_on
