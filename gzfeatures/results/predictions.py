"""Predictions: class probabilities per galaxy id, the noun in which all roads meet."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.ids import Ids, positions, require_unique


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities per galaxy.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    probabilities : ndarray
        Float, shape (n, k). Rows sum to 1 for `kind="classes"`; each entry lies in [0, 1].
    classes : tuple of str
        k names.
    kind : {"classes", "multi-label", "fractions"}
        What a row means.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, an entry is NaN or outside [0, 1], or a row does not sum to 1.
    """

    ids: Ids
    probabilities: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    kind: str = "classes"

    def __post_init__(self) -> None:
        require_unique(self.ids, where="predictions")
        p = self.probabilities
        if p.shape != (len(self.ids), len(self.classes)):
            raise InputError(
                "predictions do not fit their ids", rule=f"have shape {(len(self.ids), len(self.classes))}", found=p.shape
            )
        if not np.all((p >= -1e-6) & (p <= 1 + 1e-6)):
            raise InputError("probability is NaN or outside its range", rule="lie in [0, 1]")
        if self.kind == "classes" and len(p) and np.abs(p.sum(1) - 1).max() > 1e-4:
            worst = int(np.abs(p.sum(1) - 1).argmax())
            raise InputError(
                "probabilities of a galaxy", where=self.ids[worst], rule="sum to 1", found=float(p[worst].sum())
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Most probable class of each galaxy, shape (n,); the first wins a tie."""
        return self.probabilities.argmax(1)

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """Name of the most probable class, shape (n,)."""
        return np.asarray(self.classes, dtype=object)[self.codes]

    def select(self, ids: Ids) -> Predictions:
        """Predictions of these ids, in this order; an unknown id is an InputError."""
        rows = positions(self.ids, ids, where="predictions")
        return dataclasses.replace(self, ids=ids, probabilities=self.probabilities[rows])
