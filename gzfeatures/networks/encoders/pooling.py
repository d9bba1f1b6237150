"""Reduce the feature maps of an encoder to one vector per image: class token, mean, or both."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gzfeatures.errors import InputError, UnknownNameError

POOLED = "pooled"
"""Layer name for the vector that the encoder's own classifier takes as input."""
POOLINGS = ("cls", "mean")
"""Layer names for the class token, and for the mean over all positions of an image."""


def require_layers(layer: str, where: object, outputs: tuple[str, ...] = (POOLED,)) -> None:
    """Refuse a layer name that is neither `cls`, `mean` nor one of the encoder's outputs.

    Parameters
    ----------
    layer : str
        A layer name, or several joined by +.
    where : object
        Name of the encoder, for errors.
    outputs : tuple of str
        Further legal names.

    Raises
    ------
    UnknownNameError
        A layer is unknown; the message lists the legal names.
    """
    legal = (*outputs, *POOLINGS)
    for name in layer.split("+"):
        if name not in legal:
            raise UnknownNameError(
                "unknown layer",
                where=where,
                rule=f"be one of {', '.join(legal)}, or several joined by +",
                found=name,
            )


def joined(layer: str, vectors_of: Callable[[str], torch.Tensor]) -> torch.Tensor:
    """Concatenate the vectors of several layers, whose names are joined by +, to one embedding."""
    return torch.cat([torch.flatten(vectors_of(name), 1) for name in layer.split("+")], 1)


def pooled(features: torch.Tensor, name: str, prefix: int, where: object) -> torch.Tensor:
    """Reduce an encoder's features to one vector per image: its class token or the mean.

    Parameters
    ----------
    features : Tensor
        Tokens (n, tokens, dim), or a map (n, dim, height, width).
    name : str
        One of `POOLINGS`.
    prefix : int
        Number of tokens before those of image patches (class token and registers); the mean leaves
        them out.
    where : object
        Name of the encoder, for errors.

    Returns
    -------
    Tensor
        Shape (n, dim).

    Raises
    ------
    InputError
        The encoder has no class token (`cls`), or the features have another shape.

    Examples
    --------
    >>> pooled(torch.arange(6.0).reshape(1, 3, 2), "mean", 1, "example").tolist()
    [[3.0, 4.0]]
    """
    if features.ndim not in (3, 4):
        raise InputError(
            f"features cannot be pooled by {name}",
            where=where,
            rule="be tokens (n, tokens, dim) or a map (n, dim, height, width)",
            found=tuple(features.shape),
        )
    if name == "mean":
        return features.mean((2, 3)) if features.ndim == 4 else features[:, prefix:].mean(1)
    if features.ndim == 4 or prefix < 1:
        raise InputError("encoder has no class token", where=where, remedy="use --layer mean")
    return features[:, 0]
