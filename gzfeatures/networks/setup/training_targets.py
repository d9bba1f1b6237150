"""Collect the training galaxies, and what the network shall predict of each galaxy."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.votes.votes import Counts
from gzfeatures.ids import Ids, among, positions
from gzfeatures.networks.setup.number_target import number_target
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.setup.targets import Target, joint, target_matrix, target_of


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingTargets:
    """Collect the training galaxies, the numbers to predict of each galaxy, and the loss.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    matrix : ndarray of float32
        Shape (n, k): one column per output of the network, NaN where nothing is known.
    target : Target
        Loss over all k outputs; probabilities of the first target.
    shares : ndarray of float, optional
        Expected copies of each galaxy in an epoch, shape (n,), mean 1; None for one each.
    class_weights : Tensor, optional
        Weight of each class of the first target in its loss.
    """

    ids: Ids
    matrix: npt.NDArray[np.float32]
    target: Target
    shares: npt.NDArray[np.float64] | None
    class_weights: torch.Tensor | None

    @classmethod
    def of(
        cls,
        labels: Labels,
        split: Split,
        recipe: TrainingRecipe,
        *,
        target: str | None = None,
        counts: Counts | None = None,
        also: Labels | None = None,
    ) -> TrainingTargets:
        """Collect a split's training galaxies, and what a network shall predict of each galaxy.

        Parameters
        ----------
        labels : Labels
            Labels of at least every training galaxy of the split.
        split : Split
            The network is trained on the split's training galaxies.
        recipe : TrainingRecipe
            How classes are balanced, and how much the second target weighs.
        target, counts
            As for `train.train`.
        also : Labels, optional
            Labels of a second target. Galaxies outside the split are trained on too; labels of
            validation and test galaxies are not used.

        Raises
        ------
        UnknownNameError, InputError
            Labels do not fit their target, or the second target has no galaxy to train on.
        """
        taught = labels.select(split.train)
        if labels.target in VALUE_TARGETS:
            _require_numbers(labels, target, recipe)
            goal, matrix = number_target(taught)
        else:
            goal, matrix = target_of(labels, target), target_matrix(taught, target, counts)
        shares, weights = recipe.shares(taught), recipe.class_weights(taught)
        if also is None:
            return cls(split.train, matrix, goal, shares, weights)
        # leave out validation and test galaxies: the network must not train on any label of them
        also = also.select(
            also.ids[~among(also.ids, np.concatenate([split.validation, split.test]))]
        )
        if not len(also):
            raise InputError(
                "second target",
                where=f"scheme {also.scheme}",
                rule="know at least one training galaxy",
            )
        ids = np.concatenate([split.train, also.ids[~among(also.ids, split.train)]])
        # NaN marks missing labels: a galaxy trains only those outputs for which it has labels
        joined = np.full((len(ids), matrix.shape[1] + len(also.classes)), np.nan, dtype=np.float32)
        joined[: len(matrix), : matrix.shape[1]] = matrix
        joined[positions(ids, also.ids, where="training galaxies"), matrix.shape[1] :] = (
            target_matrix(also)
        )
        if shares is not None:
            shares = np.concatenate([shares, np.ones(len(ids) - len(shares))])
        return cls(
            ids,
            joined,
            joint(goal, matrix.shape[1], target_of(also), recipe.also_weight),
            shares,
            weights,
        )


def _require_numbers(labels: Labels, target: str | None, recipe: TrainingRecipe) -> None:
    """Refuse options that fit only classes, such as class balance, if a network learns a number."""
    if target not in (None, labels.target):
        raise InputError(
            f"target {target}",
            where=f"column {labels.classes[0]}",
            rule="be left out where a number is learned",
            found=str(target),
        )
    if recipe.balance != "none":
        raise InputError(
            "recipe balance",
            where=f"column {labels.classes[0]}",
            rule="be none: a number has no classes to balance",
            found=recipe.balance,
        )
