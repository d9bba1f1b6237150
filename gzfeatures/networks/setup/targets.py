"""Define what a network can learn to predict: the loss, and how logits become probabilities.

`TARGETS` has them by name. Each has two functions of tensors: the loss, and the step from logits to
probabilities. `target_matrix` computes the numbers to predict once before a training: float32, one
column per class or answer, NaN where unknown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.labels.labels import Labels, vote_shares
from gzfeatures.galaxies.votes import votes
from gzfeatures.ids import positions

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, float], torch.Tensor]

MAX_CONCENTRATION = 100.0


@dataclasses.dataclass(frozen=True)
class Target:
    """Define one kind of prediction by its loss and by the step from logits to probabilities.

    Parameters
    ----------
    kind : {"classes", "multi-label", "fractions", "value", "redshift"}
        What the network predicts.
    loss : callable
        (logits (n, k), targets (n, k), weights (k,) or None, smoothing) → mean loss.
    probabilities : callable
        Logits (n, k) → probabilities (n, k).
    needs : {"classes", "multi-label", "fractions"}
        Type of the labels from which the loss is computed.
    tree : bool
        The k outputs are the 37 answers of Galaxy Zoo 2's decision tree.
    smooths : bool
        Whether the loss can smooth labels.
    mean, scale : float
        For a predicted number only: mean and standard deviation of this number over the training
        galaxies, by which it is standardised.
    """

    kind: str
    loss: Loss
    probabilities: Callable[[torch.Tensor], torch.Tensor]
    needs: str
    tree: bool = False
    smooths: bool = True
    mean: float = 0.0
    scale: float = 1.0


def _cross_entropy(
    logits: torch.Tensor, shares: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    return functional.cross_entropy(logits, shares, weight=weights, label_smoothing=smoothing)


def _binary(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    known = ~torch.isnan(targets)
    smooth = torch.where(known, targets, 0.0) * (1 - smoothing) + smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(
        logits, smooth, weight=weights, reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1)


def tree_log_fractions(logits: torch.Tensor) -> torch.Tensor:
    """Convert logits to log vote fractions of Galaxy Zoo 2's 37 answers, shape (n, 37).

    Each question's softmax is multiplied by the fraction of the answer that leads to the question
    (its parent), so that the answers to a question sum to the parent's fraction (the constraints of
    the Kaggle table; Willett+2013, table 2).
    """
    logs: dict[str, torch.Tensor] = {}
    for question, answers in votes.QUESTIONS.items():
        # add logarithms, because products of small fractions would underflow
        question_logs = functional.log_softmax(logits[:, votes.COLUMNS[question]], dim=1)
        parent = votes.PARENTS[question]
        if parent is not None:
            question_logs = question_logs + logs[parent].unsqueeze(1)
        logs |= dict(zip(answers, question_logs.unbind(1), strict=True))
    return torch.stack([logs[answer] for answer in votes.ANSWERS], dim=1)


def tree_fractions(logits: torch.Tensor) -> torch.Tensor:
    """Convert logits to vote fractions of Galaxy Zoo 2's 37 answers, shape (n, 37), in [0, 1]."""
    return tree_log_fractions(logits).exp()


def _squared(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    known = ~torch.isnan(targets)
    errors = torch.where(known, tree_fractions(logits) - torch.where(known, targets, 0.0), 0.0) ** 2
    return errors.sum() / known.sum().clamp(min=1)


def concentrations(logits: torch.Tensor) -> torch.Tensor:
    """Convert logits to Dirichlet concentrations in (1, 101), one per answer of Galaxy Zoo.

    Walmsley+2022, doi:10.1093/mnras/stab2093, sect. 4.2.

    Examples
    --------
    >>> concentrations(torch.zeros(1, 2)).tolist()
    [[51.0, 51.0]]
    """
    return 1 + MAX_CONCENTRATION * torch.sigmoid(logits)


def _dirichlet_multinomial(
    logits: torch.Tensor, counts: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """Return the loss for vote counts: minus the Dirichlet-multinomial log-likelihood."""
    # replace an unknown count (NaN) by zero votes, which add nothing to the log-likelihood
    counts = torch.nan_to_num(counts, nan=0.0)
    alphas = concentrations(logits)
    total = logits.new_zeros(len(logits))
    for columns in votes.COLUMNS.values():
        # Dirichlet-multinomial log-likelihood of one question with votes n and concentrations a:
        # log of Γ(A)·N!/Γ(A + N) · Π Γ(n + a)/(Γ(a)·n!), where A = Σa and N = Σn
        n, a = counts[:, columns], alphas[:, columns]
        asked, strength = n.sum(1), a.sum(1)
        total = (
            total
            + torch.lgamma(strength)
            - torch.lgamma(strength + asked)
            + torch.lgamma(asked + 1)
        )
        total = total + (torch.lgamma(n + a) - torch.lgamma(a) - torch.lgamma(n + 1)).sum(1)
    return -total.mean()


def _expected_fractions(logits: torch.Tensor) -> torch.Tensor:
    """Convert logits to expected vote fractions, as shares of all volunteers, shape (n, 37).

    An answer's share within its question is multiplied by the fraction of the answer that leads to
    this question.
    """
    return tree_fractions(torch.log(concentrations(logits)))


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(1)


TARGETS: dict[str, Target] = {
    "classes": Target("classes", _cross_entropy, _softmax, "classes"),
    "soft-classes": Target("classes", _cross_entropy, _softmax, "classes"),
    "multi-label": Target("multi-label", _binary, torch.sigmoid, "multi-label"),
    "fractions": Target(
        "fractions", _squared, tree_fractions, "fractions", tree=True, smooths=False
    ),
    "sigmoid-fractions": Target("fractions", _binary, torch.sigmoid, "fractions"),
    "counts": Target(
        "fractions",
        _dirichlet_multinomial,
        _expected_fractions,
        "fractions",
        tree=True,
        smooths=False,
    ),
}
"""What a network can learn to predict, by name.

`soft-classes`: vote fractions of the classes instead of one class. `fractions`: the tree, squared
error. `sigmoid-fractions`: 37 separate sigmoids and cross-entropy (as GalaxyID). `counts`:
Dirichlet-multinomial."""


def target_of(labels: Labels, name: str | None = None) -> Target:
    """Return a `Target` by name, or the labels' default; refuse labels that the target cannot use.

    Raises
    ------
    UnknownNameError
        No target has that name.
    InputError
        The target needs other labels, such as the 37 answers for a target of the decision tree.
    """
    name = name or labels.target
    if name not in TARGETS:
        raise unknown("target", name, TARGETS)
    target = TARGETS[name]
    if labels.target != target.needs:
        raise InputError(
            f"target {name}",
            where=f"scheme {labels.scheme}",
            rule=f"have {target.needs}",
            found=labels.target,
        )
    if target.tree and labels.classes != votes.ANSWERS:
        raise InputError(
            f"target {name} follows the decision tree",
            where=f"scheme {labels.scheme}",
            rule="have the 37 answers in order",
            found=", ".join(labels.classes[:3]),
            remedy="use the target sigmoid-fractions",
        )
    if name == "soft-classes" and labels.soft is None:
        raise InputError(
            "target soft-classes",
            where=f"scheme {labels.scheme}",
            rule="have vote fractions per class",
        )
    return target


def joint(first: Target, outputs: int, second: Target, weight: float) -> Target:
    """Join two training targets: a network learns both together, and later predicts the first only.

    The first `outputs` logits are the first target's, the others the second's; the loss is the sum
    of both, the second's times `weight`. A galaxy without labels for one target (all NaN) trains
    only the outputs of the other target.
    """

    def loss(
        logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        known, more = (
            ~torch.isnan(part).all(1) for part in (targets[:, :outputs], targets[:, outputs:])
        )
        # begin with a zero that has a gradient, because a batch may lack labels of one of the two
        # targets, but each output needs a gradient
        total = logits.sum() * 0.0
        if more.any():
            total = total + weight * second.loss(
                logits[more, outputs:], targets[more, outputs:], None, 0.0
            )
        if known.any():
            total = total + first.loss(
                logits[known, :outputs], targets[known, :outputs], weights, smoothing
            )
        return total

    def probabilities(logits: torch.Tensor) -> torch.Tensor:
        return first.probabilities(logits[:, :outputs])

    return dataclasses.replace(first, loss=loss, probabilities=probabilities)


def target_matrix(
    labels: Labels, name: str | None = None, counts: votes.Counts | None = None
) -> npt.NDArray[np.float32]:
    """Return the numbers that a network shall predict of each galaxy, shape (n, k).

    Classes become shares (one-hot, or vote fractions scaled to sum 1; a galaxy whose fractions are
    all zero, or one of which is unknown, keeps its class); booleans 0 and 1; fractions stay, NaN
    where unknown. For the target `counts`, the numbers are each galaxy's vote counts.

    Raises
    ------
    InputError
        `counts` is missing, or lacks a galaxy; a target of the decision tree gets fractions that
        are not cumulative.
    """
    name = name or labels.target
    if name == "counts":
        if counts is None:
            raise InputError(
                "vote counts are missing", where=f"target {name}", remedy="give a catalog of counts"
            )
        return counts.values[positions(counts.ids, labels.ids, where="vote counts")].astype(
            np.float32
        )
    if labels.target != "classes":
        if TARGETS[name].tree:
            _require_cumulative(labels)
        return np.asarray(labels.values, dtype=np.float32)
    hard = np.eye(len(labels.classes), dtype=np.float32)[labels.codes]
    if name != "soft-classes" or labels.soft is None:
        return hard
    shares, voted = vote_shares(labels.soft)
    return np.where(voted[:, None], shares, hard).astype(np.float32)


def _require_cumulative(labels: Labels) -> None:
    """Refuse vote fractions that are not cumulative, that is, not shares of all volunteers."""
    # a question's fractions of all volunteers sum to the fraction of the answer that leads to the
    # question. Refuse fractions of only the volunteers who got the question: these sum to 1, far
    # more
    for question, columns in votes.COLUMNS.items():
        parent = votes.PARENTS[question]
        sums = labels.values[:, columns].sum(1)
        excess = sums - (1.0 if parent is None else labels.values[:, votes.ANSWERS.index(parent)])
        known = np.isfinite(excess)
        if known.any() and excess[known].mean() > 0.1:
            raise InputError(
                f"fractions of question {question} exceed their parent's",
                where=f"scheme {labels.scheme}",
                rule="be cumulative, of all volunteers",
                found=f"{excess[known].mean():.2f} too much on average",
                remedy="use a scheme of cumulative fractions such as votes-37, "
                "or the target sigmoid-fractions",
            )
