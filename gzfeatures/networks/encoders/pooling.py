"""Turn the features of an encoder into one vector per image: class token, mean, or both."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gzfeatures.errors import InputError, UnknownNameError

POOLED = "pooled"
"""Layer whose output is the vector that the encoder's own classifier reads."""
POOLINGS = ("cls", "mean")
"""Layers that pool features: the class token, and the mean of all places."""


def require_layers(layer: str, where: object, outputs: tuple[str, ...] = (POOLED,)) -> None:
    """Refuse a layer that is neither a pooling nor one of the encoder's outputs.

    Parameters
    ----------
    layer : str
        One, or several joined by +.
    where : object
        Named in errors.
    outputs : tuple of str
        Further legal names.

    Raises
    ------
    UnknownNameError
        With the legal names.
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
    """Return the embeddings of one layer, or of several layers joined by +, side by side."""
    return torch.cat([torch.flatten(vectors_of(name), 1) for name in layer.split("+")], 1)


def pooled(features: torch.Tensor, name: str, prefix: int, where: object) -> torch.Tensor:
    """Pool an encoder's features to one embedding for each image: class token or mean.

    Parameters
    ----------
    features : Tensor
        Tokens (n, tokens, dim), or a map (n, dim, height, width).
    name : str
        One of `POOLINGS`.
    prefix : int
        Tokens before those of image patches: the class token and registers, which no mean includes.
    where : object
        Named in errors.

    Returns
    -------
    Tensor
        Shape (n, dim).

    Raises
    ------
    InputError
        A class token is asked of an encoder without one, or the features have another shape.

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
