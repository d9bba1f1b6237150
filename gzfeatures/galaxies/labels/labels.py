"""Store the labels of galaxies: one class, several classes, vote fractions, or a number each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import brief, fingerprint
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.label_words import LabelWords
from gzfeatures.galaxies.labels.label_columns import read_columns
from gzfeatures.ids import Ids, positions, require_unique

Target: TypeAlias = Literal["classes", "multi-label", "fractions", "value", "redshift"]
VALUE_TARGETS: tuple[Target, ...] = ("value", "redshift")
"""Kinds of labels that are one number per galaxy; errors of a redshift z count in 1 + z."""
STRATA = 10
"""Number of quantile bins of number labels; each part of a split gets equal shares of a bin."""
FEWEST_IN_STRATUM = 10
"""Fewest galaxies in a quantile bin; few galaxies are divided into fewer bins."""

FEW = 5
"""Number of volunteers below which a label counts as uncertain."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Store where labels come from: vote columns and labelled galaxies of each Galaxy Zoo campaign.

    Parameters
    ----------
    measures : mapping of str to str
        Campaign → kind of votes that was read, such as "debiased fractions".
    galaxies : mapping of str to int
        Campaign → number of its labelled galaxies.
    few : mapping of str to int, optional
        Class → number of its galaxies that fewer than `FEW` volunteers were asked about; None if
        the catalog does not state numbers of volunteers.
    """

    measures: Mapping[str, str]
    galaxies: Mapping[str, int]
    few: Mapping[str, int] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """Store the label of each galaxy: a class, several classes, vote fractions or a number.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    classes : tuple of str
        k class names; for `fractions`, the k answers; for a number, the name of its column.
    values : ndarray
        `classes`: int64 codes in 0…k−1, shape (n,). `multi-label`: bool, shape (n, k).
        `fractions`: float64, shape (n, k), NaN where the volunteers were not asked. `value` and
        `redshift`: float64, shape (n, 1), finite.
    target : {"classes", "multi-label", "fractions", "value", "redshift"}
        Which of these forms `values` has.
    scheme : str
        Name of the class scheme that made the labels.
    left_out : mapping of str to Ids
        Reason → ids of galaxies without a label for this reason.
    conflicts : Ids
        Ids of galaxies that fulfil the conditions of two classes (they have the first class of the
        scheme, or were left out).
    soft : ndarray, optional
        Vote fraction of each class, float64, shape (n, k), in [0, 1]; NaN where unknown.
    origin : Origin, optional
        The votes from which a class scheme made the labels.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, a code has no class, or a number is unknown or infinite.
    """

    ids: Ids
    classes: tuple[str, ...]
    values: npt.NDArray[Any]
    target: Target = "classes"
    scheme: str = "custom"
    left_out: Mapping[str, Ids] = dataclasses.field(default_factory=dict)
    conflicts: Ids = dataclasses.field(default_factory=lambda: np.empty(0, dtype=object))
    soft: npt.NDArray[np.float64] | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        require_unique(self.ids, where="labels")
        n, k = len(self.ids), len(self.classes)
        shape = (n,) if self.target == "classes" else (n, k)
        if self.values.shape != shape:
            raise InputError(
                "labels do not fit their ids", rule=f"have shape {shape}", found=self.values.shape
            )
        if (
            self.target == "classes"
            and n
            and not (0 <= self.values.min() and self.values.max() < k)
        ):
            raise InputError(
                "label code has no class", rule=f"lie in 0…{k - 1}", found=int(self.values.max())
            )
        if self.target in VALUE_TARGETS and not (k == 1 and np.isfinite(self.values).all()):
            raise InputError(
                "numbers to be predicted",
                where=", ".join(self.classes),
                rule="be one known, finite number of each galaxy",
            )
        if self.soft is not None and self.soft.shape != (n, k):
            raise InputError(
                "vote fractions do not fit their ids",
                rule=f"have shape {(n, k)}",
                found=self.soft.shape,
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        """Return the class scheme and the number of labels in one line."""
        noun = "answer" if self.target == "fractions" else "class"
        of = (
            f"number {self.classes[0]}"
            if self.target in VALUE_TARGETS
            else brief.count(len(self.classes), noun)
        )
        return brief.line("Labels", self.scheme, brief.count(len(self), "galaxy"), of)

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: how many galaxies each class has, and how many are left out.

        Galaxies are left out, for example, if the rules of the class scheme give them no class. For
        numbers, the lowest, median and highest replace the classes.
        """
        counts: dict[str, object] = dict(self.counts)
        if self.target in VALUE_TARGETS:
            low, middle, high = (
                np.quantile(self.values[:, 0], (0, 0.5, 1)) if len(self) else [0] * 3
            )
            counts = {"lowest": f"{low:.4g}", "median": f"{middle:.4g}", "highest": f"{high:.4g}"}
        reasons = {f"left out: {why}": len(ids) for why, ids in self.left_out.items() if len(ids)}
        return brief.html(repr(self), counts | reasons)

    def to_series(self) -> pd.Series[Any]:
        """Return the class or number of each labelled galaxy as a series with galaxy ids as index.

        Raises
        ------
        InputError
            A galaxy has several labels; `to_pandas` has a column for each.

        Examples
        --------
        >>> ids = np.array(["12", "13"], dtype=object)
        >>> Labels(ids, ("disk", "smooth"), np.array([1, 0])).to_series().to_dict()
        {'12': 'smooth', '13': 'disk'}
        """
        index = pd.Index(self.ids, name="galaxy_id")
        if self.target == "classes":
            names = pd.Categorical(self.names, categories=list(self.classes))
            return pd.Series(names, index=index, name="label")
        if self.target in VALUE_TARGETS:
            return pd.Series(self.values[:, 0], index=index, name=self.classes[0])
        raise InputError(
            "labels as one column",
            where=f"scheme {self.scheme}",
            rule="be one per galaxy",
            found=self.target,
            remedy="take to_pandas, which has a column for each class",
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame by `galaxy_id`: a column `label`, or one per class or number."""
        if self.target == "classes":
            return self.to_series().to_frame()
        index = pd.Index(self.ids, name="galaxy_id")
        return pd.DataFrame(self.values, index=index, columns=list(self.classes))

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        id_column: str | None = None,
        missing_label: tuple[str, ...] = (),
        label_as_is: bool = False,
    ) -> Labels:
        """Read labels from a table with an id column and a column `label` or vote fractions.

        Parameters
        ----------
        path : str or Path
            CSV, Parquet or FITS, such as `gzfeatures label` writes (see `read_columns`).
            `gz.read_labels` also reads the split that a file may contain.
        id_column : str, optional
            Column of the ids; by default the first with a usual name of ids.
        missing_label : tuple of str
            Words of the column `label` that mean that a galaxy has no label, such as "NA".
        label_as_is : bool
            Take every word as a class.

        Raises
        ------
        MissingFileError, InputError
            As for `read_columns`; or an id repeats.

        Examples
        --------
        >>> _ = Path("labels.csv").write_text("galaxy_id,label\\n12,spiral\\n13,smooth\\n")
        >>> Labels.read("labels.csv").names.tolist()
        ['spiral', 'smooth']
        """
        columns = read_columns(path, LabelWords(missing_label, label_as_is), id_column)
        return cls(**columns.fields)

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Return the class of each galaxy as an integer code, shape (n,).

        Raises
        ------
        InputError
            The labels are not one class per galaxy.
        """
        if self.target != "classes":
            raise InputError(
                "one class per galaxy is needed",
                where=f"scheme {self.scheme}",
                rule="be a class scheme",
                found=self.target,
            )
        return self.values

    @property
    def _soft_or_nan(self) -> npt.NDArray[np.float64]:
        """Return each class's vote fraction, shape (n, k); NaN if the labels have no fractions."""
        if self.soft is None:
            return np.full((len(self), len(self.classes)), np.nan)
        return self.soft

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """Return the class name of each galaxy, shape (n,)."""
        return np.asarray(self.classes, dtype=object)[self.codes]

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """Return the class or quantile bin of each galaxy for stratified splits, shape (n,).

        Each part of a split gets the same share of every class or bin. Classes are numbered in the
        order of their names. Numbers are divided into at most ten bins with equally many galaxies;
        for other labels all galaxies are in one bin.

        Examples
        --------
        >>> ids = np.array([f"g{row}" for row in range(40)], dtype=object)
        >>> numbers = np.arange(40.0).reshape(-1, 1)
        >>> np.bincount(Labels(ids, ("mass",), numbers, "value").strata).tolist()
        [10, 10, 10, 10]
        """
        if self.target == "classes":
            by_name = np.argsort(np.argsort(np.asarray(self.classes)))
            return np.asarray(by_name[self.codes], dtype=np.int64)
        if self.target in VALUE_TARGETS:
            return quantile_parts(self.values[:, 0])
        return np.zeros(len(self), dtype=np.int64)

    @property
    def counts(self) -> dict[str, int]:
        """Count the galaxies in each class; for fractions or numbers, those with a known value."""
        if self.target == "classes":
            numbers = np.bincount(self.codes, minlength=len(self.classes))
        elif self.target == "multi-label":
            numbers = self.values.sum(0)
        else:
            numbers = np.isfinite(self.values).sum(0)
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """Return a sha256 of ids and labels, the same in any order of galaxies or classes."""
        order = np.argsort(self.ids)
        if self.target == "classes":
            # ignore classes without galaxies: without them the labels are the same
            used, values = np.unique(self.names[order].astype(str), return_inverse=True)
            classes = used.tolist()
        else:
            columns = np.argsort(self.classes)
            classes, values = sorted(self.classes), self.values[order][:, columns]
        return fingerprint.of(
            [self.target, classes, fingerprint.of_ids(self.ids), fingerprint.of_array(values)]
        )

    def select(self, ids: Ids) -> Labels:
        """Return the labels of the galaxies with these ids, in the order of the ids.

        Parameters
        ----------
        ids : array of str
            Shape (m,).

        Raises
        ------
        InputError
            An id has no label.
        """
        rows = positions(self.ids, ids, where="labels")
        soft = None if self.soft is None else self.soft[rows]
        return dataclasses.replace(
            self, ids=ids, values=self.values[rows], soft=soft, left_out={}, conflicts=ids[:0]
        )

    def ordered(self, classes: tuple[str, ...]) -> Labels:
        """Return the same labels with their classes in the order of `classes`.

        Parameters
        ----------
        classes : tuple of str
            All classes of these labels, and more if wanted. No galaxy has a further class; the vote
            fractions of a further answer are NaN.

        Raises
        ------
        InputError
            `classes` lacks a class of these labels.
        """
        absent = sorted(set(self.classes) - set(classes))
        if absent:
            raise InputError(
                "class is not known", rule=f"be one of {', '.join(classes)}", found=absent[0]
            )
        place = np.asarray([classes.index(name) for name in self.classes], dtype=np.int64)
        if self.target == "classes":
            values = place[self.codes]
        else:
            # no galaxy has a further class, but the fraction of a further answer is unknown
            shape, unknown = (len(self), len(classes)), self.target == "fractions"
            values = np.full(shape, np.nan) if unknown else np.zeros(shape, self.values.dtype)
            values[:, place] = self.values
        soft = None
        if self.soft is not None:
            soft = np.zeros((len(self), len(classes)))
            soft[:, place] = self.soft
        return dataclasses.replace(self, classes=classes, values=values, soft=soft)

    def joined(self, other: Labels) -> Labels:
        """Return these labels together with labels of further galaxies from the same class scheme.

        If only one of the two has vote fractions, galaxies of the other get NaN.

        Parameters
        ----------
        other : Labels
            Labels of other galaxies.

        Raises
        ------
        InputError
            Target or classes differ, or both contain the same galaxy.
        """
        if (self.target, self.classes) != (other.target, other.classes):
            raise InputError(
                "labels of different schemes cannot be joined",
                where=f"{self.scheme} and {other.scheme}",
                rule=f"be {self.target} {', '.join(self.classes)}",
                found=f"{other.target} {', '.join(other.classes)}",
            )
        reasons = {**self.left_out, **other.left_out}
        none = self.ids[:0]
        soft = None
        if self.soft is not None or other.soft is not None:
            soft = np.concatenate([self._soft_or_nan, other._soft_or_nan])
        return dataclasses.replace(
            self,
            ids=np.concatenate([self.ids, other.ids]),
            values=np.concatenate([self.values, other.values]),
            left_out={
                r: np.concatenate([self.left_out.get(r, none), other.left_out.get(r, none)])
                for r in reasons
            },
            conflicts=np.concatenate([self.conflicts, other.conflicts]),
            soft=soft,
        )


def quantile_parts(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return the number of each value's quantile bin, shape (n,); equal values share a bin.

    Bins contain about equally many numbers: `STRATA` bins, or fewer where one would contain fewer
    than `FEWEST_IN_STRATUM`.

    Examples
    --------
    >>> quantile_parts(np.arange(30.0)).tolist() == [0] * 10 + [1] * 10 + [2] * 10
    True
    """
    count = max(1, min(STRATA, len(numbers) // FEWEST_IN_STRATUM))
    # rank each number by how many numbers are smaller, so that equal numbers get the same bin
    rank = np.searchsorted(np.sort(numbers), numbers, side="left")
    return np.asarray(rank * count // max(1, len(numbers)), dtype=np.int64)


def vote_shares(
    soft: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return vote fractions scaled to sum 1 per galaxy, and a mask of the galaxies with votes.

    A galaxy of which one fraction is unknown (NaN) is not among them: counted as 0, it would make
    the others too large.

    Examples
    --------
    >>> shares, voted = vote_shares(np.array([[0.6, 0.2], [0.6, np.nan]]))
    >>> shares.round(2).tolist(), voted.tolist()
    ([[0.75, 0.25], [0.0, 0.0]], [True, False])
    """
    total = soft.sum(1)
    voted = np.isfinite(soft).all(1) & (total > 0)
    return np.where(voted[:, None], soft, 0) / np.where(voted, total, 1)[:, None], voted
