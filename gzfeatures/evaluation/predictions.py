"""Hold predictions of galaxies by id; read and write them as CSV, Parquet or FITS."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import brief
from gzfeatures._moved import renamed
from gzfeatures.errors import InputError, parsing
from gzfeatures.evaluation.prediction_checks import require_valid
from gzfeatures.evaluation.prediction_files.columns import (
    UNFAMILIAR,
    columns_of,
    fields_of,
    joined_names,
    number_columns,
)
from gzfeatures.evaluation.prediction_files.formats import READERS, WRITERS, kind_of
from gzfeatures.files import require_file
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.ids import Ids, positions


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Hold class probabilities or predicted numbers of galaxies, with class sets.

    Parameters
    ----------
    ids : Ids
        Unique ids of the n galaxies, shape (n,).
    probabilities : ndarray
        Floats of shape (n, k). Probabilities or vote fractions lie in [0, 1]; for `kind="classes"`
        each galaxy's sum to 1. For "value" and "redshift": the predicted number, finite, shape
        (n, 1).
    classes : tuple of str
        Names of the k classes or answers; for a predicted number, the name of its column.
    kind : {"classes", "multi-label", "fractions", "value", "redshift"}
        What is predicted: one class per galaxy, several labels, vote fractions, or a number.
    seen : ndarray of bool, optional
        Shape (n,): True if the galaxy, or another galaxy of its group, was trained on. Such
        predictions cannot be scored.
    sets : ndarray of bool, optional
        Shape (n, k): the classes in each galaxy's class set, which contains the true class with a
        promised probability (see `conformal_sets.Conformal`).
    unfamiliar : ndarray of bool, optional
        Shape (n,): True if the galaxy is unlike the training galaxies; its class set is then empty.
    familiarity : ndarray of float64, optional
        Shape (n,), in (0, 1]: conformal p value, small if the galaxy is unlike the training
        galaxies (see `familiarity.Familiarity`).
    bounds : ndarray of float64, optional
        Shape (n, 2): lower and upper end of each galaxy's interval, which contains the true number
        with a promised probability (see `conformal_intervals.ValueIntervals`). Only for numbers.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, a probability is NaN or outside [0, 1], the probabilities of a
        galaxy do not sum to 1, or a predicted number is not finite.
    """

    ids: Ids
    probabilities: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    kind: str = "classes"
    seen: npt.NDArray[np.bool_] | None = None
    sets: npt.NDArray[np.bool_] | None = None
    unfamiliar: npt.NDArray[np.bool_] | None = None
    familiarity: npt.NDArray[np.float64] | None = None
    bounds: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        require_valid(self)

    def __repr__(self) -> str:
        """Return the number of galaxies and of classes in one line."""
        of = (
            f"number {self.classes[0]}"
            if self.is_value
            else brief.count(len(self.classes), "answer" if self.kind == "fractions" else "class")
        )
        return brief.line("Predictions", brief.count(len(self), "galaxy"), of)

    def _repr_html_(self) -> str:
        """Return counts of predicted classes and the first rows as HTML for a notebook."""
        summary = self.summary
        facts: dict[str, object] = dict(summary.get("classes", {}))
        facts |= {key: summary.get(key) for key in ("unsure", "unfamiliar")}
        first = self.select(self.ids[:5]).to_pandas()
        return brief.html(
            repr(self), facts, first.to_html(max_cols=12, float_format="{:.3g}".format)
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per galaxy as a data frame, with the columns that `write` writes.

        The columns are the predicted class or number, the class set and familiarity if known, and
        the probability of each class.
        """
        columns = columns_of(self, Path("predictions"))
        return pd.DataFrame(columns).set_index("galaxy_id")

    @property
    def is_value(self) -> bool:
        """Return whether one number per galaxy is predicted, not classes or vote fractions."""
        return self.kind in VALUE_TARGETS

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Return the predicted numbers, shape (n,).

        Raises
        ------
        InputError
            Classes or vote fractions are predicted.
        """
        if not self.is_value:
            raise InputError("predictions", rule="be of one number", found=self.kind)
        return np.asarray(self.probabilities[:, 0], dtype=np.float64)

    @property
    def number_columns(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return predicted numbers and their interval ends by column name, each (n,).

        Raises
        ------
        InputError
            Classes or vote fractions are predicted.
        """
        names = number_columns(self.classes[0], bounds=self.bounds is not None)
        ends = () if self.bounds is None else tuple(self.bounds.T)
        return dict(zip(names, (self.values, *ends), strict=True))

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Join the predictions for several parts of a table into one object.

        Parameters
        ----------
        parts : sequence of Predictions
            Predictions of each part, in the order of the table's rows.
        """
        columns: dict[str, Any] = {}
        for name in ("ids", "probabilities", *_PER_GALAXY):
            values = [getattr(part, name) for part in parts]
            columns[name] = None if values[0] is None else np.concatenate(values)
        return dataclasses.replace(parts[0], **columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Return the index in `classes` of each galaxy's most probable class, (n,); first if tied.

        Raises
        ------
        InputError
            Numbers are predicted, which have no classes.
        """
        if self.is_value:
            raise InputError(
                "predictions have no classes",
                where=self.classes[0],
                rule="be probabilities of classes",
                found="numbers",
            )
        codes: npt.NDArray[np.int64] = self.probabilities.argmax(1)
        return codes

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """Return the name of each galaxy's most probable class, shape (n,)."""
        return np.asarray(self.classes, dtype=object)[self.codes]

    def select(self, ids: Ids) -> Predictions:
        """Return predictions for the given ids, in their order; refuse an unknown id.

        Parameters
        ----------
        ids : array of str
            Ids of the m galaxies to select, shape (m,).
        """
        rows = positions(self.ids, ids, where="predictions")
        per_galaxy = {
            name: values[rows]
            for name in _PER_GALAXY
            if (values := getattr(self, name)) is not None
        }
        return dataclasses.replace(
            self, ids=ids, probabilities=self.probabilities[rows], **per_galaxy
        )

    @property
    def empty_because(self) -> npt.NDArray[np.object_] | None:
        """Return why each galaxy's class set is empty, shape (n,); "" for other sets.

        The reason is `unfamiliar` (the galaxy is unlike the training galaxies) or `no class fits`.
        The latter occurs only in predictions of earlier versions: today, a set that is not empty
        for the first reason contains the most probable class. Without class sets, return None.
        """
        if self.sets is None:
            return None
        unfamiliar = np.zeros(len(self), dtype=bool) if self.unfamiliar is None else self.unfamiliar
        return np.where(
            self.sets.any(1), "", np.where(unfamiliar, UNFAMILIAR, "no class fits")
        ).astype(object)

    @property
    def summary(self) -> dict[str, Any]:
        """Count galaxies by predicted class, those of unsure class, and those unlike training ones.

        Returns
        -------
        dict
            `rows` (number of galaxies); `classes` (for each class, the number of galaxies for which
            it is the most probable); `unsure` (number of galaxies whose class set has several
            classes or, if no sets are known, whose most probable class has less than 0.5);
            `unfamiliar` (number of galaxies unlike the training galaxies, None if unknown). For
            predicted numbers: `rows`, `value` (column, median, 5 % and 95 % quantile), `width`
            (median width of the intervals, None if unknown) and `unfamiliar`.
        """
        unfamiliar = None if self.unfamiliar is None else int(self.unfamiliar.sum())
        if self.is_value:
            return {**self._value_summary(), "unfamiliar": unfamiliar}
        # use class sets, if present, rather than probabilities: sets are calibrated, so they show
        # better which galaxies have an unsure class
        several = self.probabilities.max(1, initial=0) < 0.5
        if self.sets is not None:
            several = self.sets.sum(1) > 1
        counts: list[int] = []
        if self.kind == "classes":
            counts = np.bincount(self.codes, minlength=len(self.classes)).tolist()
        return {
            "rows": len(self),
            "classes": dict(zip(self.classes, counts, strict=False)),
            "unsure": int(several.sum()) if self.kind == "classes" else None,
            "unfamiliar": unfamiliar,
        }

    def _value_summary(self) -> dict[str, Any]:
        """Return count, quantiles and median interval width of predicted numbers."""
        quantiles = [None] * 3
        if len(self):
            quantiles = np.quantile(self.values, (0.5, 0.05, 0.95)).tolist()
        width = None
        if self.bounds is not None and len(self):
            width = float(np.median(self.bounds[:, 1] - self.bounds[:, 0]))
        return {
            "rows": len(self),
            "value": {
                "column": self.classes[0],
                **dict(zip(("median", "low", "high"), quantiles, strict=True)),
            },
            "width": width,
        }

    def without_seen(self) -> Predictions:
        """Return all predictions, but no longer marked by `seen` as training galaxies or not.

        `evaluate` then scores training galaxies too, whose scores are better than those of new
        galaxies.
        """
        return dataclasses.replace(self, seen=None)

    unmarked = renamed("unmarked", "without_seen")

    def write(self, path: str | Path) -> Path:
        """Write predictions, one row per galaxy, as CSV, Parquet or FITS by the file's ending.

        Endings are `.csv`, `.csv.gz`, `.parquet` and `.fits`.

        Columns: `galaxy_id`; `predicted_class`, or `predicted_labels` joined by `|`; one float64
        column per class, with the name of the class; if known, `class_set` (classes joined by `|`),
        `trained_on` (the mask `seen`) and `familiarity_p`; `empty_because` (see the property) if a
        set is empty. For predicted numbers, `predicted_<column>`, and `lower` and `upper` if
        intervals are known, replace the columns of classes. In CSV, a text that a spreadsheet would
        read as a formula gets a leading apostrophe, which `read` removes.

        Parameters
        ----------
        path : str or Path
            File to write; its ending decides the format.

        Raises
        ------
        InputError
            Another ending, a class with the same name as another column, or an id or name that FITS
            cannot store.
        OutputError
            The file cannot be written.
        """
        path = Path(path)
        kind = kind_of(path)
        WRITERS[kind](columns_of(self, path), path)
        return path

    @property
    def class_sets(self) -> npt.NDArray[np.object_] | None:
        """Return each galaxy's class set as names joined by `|`, (n,); None without sets."""
        return None if self.sets is None else joined_names(self.classes, self.sets)

    @classmethod
    def read(cls, path: str | Path, *, number: str | None = None) -> Predictions:
        """Return predictions from a file that `Predictions.write` wrote.

        Parameters
        ----------
        path : str or Path
            File to read.
        number : {"value", "redshift"}, optional
            Whether predicted numbers are redshifts; by default decided by the name of their column.

        Raises
        ------
        MissingFileError, InputError
            The file does not exist, cannot be read, has no column `galaxy_id`, or has probabilities
            outside [0, 1] or with another sum than 1.
        """
        path = require_file(path, "predictions")
        kind = kind_of(path)
        with parsing(f"not readable as {kind}", path):
            frame = READERS[kind](path)
        if "galaxy_id" not in frame:
            raise InputError(
                "not a file of predictions",
                where=path,
                rule="have a column galaxy_id",
                found=", ".join(frame.columns),
            )
        return cls(**fields_of(frame, path, number))


_PER_GALAXY = ("seen", "sets", "unfamiliar", "familiarity", "bounds")
"""Optional fields that have a value for each galaxy."""
