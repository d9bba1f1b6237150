"""Join networks of several seeds into one network that predicts the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from gzfeatures.errors import unknown

LINKS = ("softmax", "sigmoid")
"""How logits become probabilities: softmax for classes, sigmoid for separate answers."""


class NetworkEnsemble(nn.Module):
    """Run several networks as one network; its logits give the mean of their probabilities.

    Averaging probabilities of networks that differ in their seed alone makes them more accurate and
    better calibrated (Lakshminarayanan+2017, arXiv:1612.01474). The output is a logit for each
    class, so that code for the logits of a single network works for an ensemble too.

    Parameters
    ----------
    members : sequence of nn.Module
        Each takes the same images and returns logits of the same classes, shape (n, k).
    link : {"softmax", "sigmoid"}
        How logits become probabilities.
    temperatures : sequence of float, optional
        Each member's logits are divided by its temperature, which calibrates this member; default
        1.

    Raises
    ------
    UnknownNameError
        No such link.

    Examples
    --------
    >>> pair = NetworkEnsemble([nn.Identity(), nn.Identity()], "softmax", [1.0, 2.0])
    >>> pair(torch.tensor([[0.0, 2.0]])).softmax(1)[0, 1].item()  # mean of 0.881 and 0.731
    0.8059...
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        link: str,
        temperatures: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if link not in LINKS:
            raise unknown("link of an ensemble", link, LINKS)
        self.members, self.link = nn.ModuleList(members), link
        numbers = torch.ones(len(members)) if temperatures is None else torch.tensor(temperatures)
        # register the temperatures as a buffer, so that PyTorch saves them with the weights, and
        # moves them to the same device
        self.temperatures: torch.Tensor
        self.register_buffer("temperatures", numbers.float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of the members' mean probabilities, shape (n, classes)."""
        logits = torch.stack(
            [
                member(images).float() / self.temperatures[number]
                for number, member in enumerate(self.members)
            ]
        )
        # compute log Σ p/N, the log of the mean probability, from logarithms: small
        # p would underflow
        less = math.log(len(self.members))
        if self.link == "softmax":
            return torch.logsumexp(functional.log_softmax(logits, dim=2), 0) - less
        # the logit of the mean probability is ln(mean p) − ln(mean (1 − p)); the −ln N of both
        # means cancels
        return torch.logsumexp(functional.logsigmoid(logits), 0) - torch.logsumexp(
            functional.logsigmoid(-logits), 0
        )


def member_layer(layer: str, members: int) -> str:
    """Return the name of an ensemble's layer: the same layer of every member, joined by +.

    Examples
    --------
    >>> member_layer("avgpool", 2)
    'members.0.avgpool+members.1.avgpool'
    """
    return "+".join(f"members.{number}.{layer}" for number in range(members))
