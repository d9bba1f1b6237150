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
        Shape (n,), unique.
    probabilities : ndarray
        Float, shape (n, k). Rows sum to 1 for `kind="classes"`; each entry lies in [0, 1]. For
        `value` and `redshift` the predicted number, finite, shape (n, 1).
    classes : tuple of str
        k names; for a number, the name of its column.
    kind : {"classes", "multi-label", "fractions", "value", "redshift"}
        What a row means.
    seen : ndarray of bool, optional
        Shape (n,): the galaxy, or one of its group, was trained on; such predictions are not
        scored.
    sets : ndarray of bool, optional
        Shape (n, k): classes that hold the true one with a promised probability (see
        `conformal.Conformal`).
    unfamiliar : ndarray of bool, optional
        Shape (n,): the galaxy is unlike those trained on; its set is empty for that reason.
    familiarity : ndarray of float64, optional
        Shape (n,), in (0, 1]: conformal p value of being like those trained on (see
        `familiarity.Familiarity`).
    bounds : ndarray of float64, optional
        Shape (n, 2): lower and upper end of an interval that holds the true number with a promised
        probability (see `value_intervals.ValueIntervals`); of numbers only.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, an entry is NaN or outside [0, 1], a row does not sum to 1, or
        a number is not finite.
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

        These are the predicted class or number, class sets and familiarity where they are known,
        and the probability of each class.
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
            In the order of their rows.
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
        """Return the number of each galaxy's most probable class, (n,); the first if tied.

        Raises
        ------
        InputError
            One number is predicted: it has no classes.
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
            Shape (m,).
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

        The reason is `unfamiliar` or `no class fits`.

        None without sets. Heads of today give no set for which no class fits: the most probable
        class is in all.
        """
        if self.sets is None:
            return None
        unfamiliar = np.zeros(len(self), dtype=bool) if self.unfamiliar is None else self.unfamiliar
        return np.where(
            self.sets.any(1), "", np.where(unfamiliar, UNFAMILIAR, "no class fits")
        ).astype(object)

    @property
    def summary(self) -> dict[str, Any]:
        """Return how many galaxies have each class, are unsure, or are unfamiliar.

        Returns
        -------
        dict
            `rows`; `classes` (class → galaxies of which it is the most probable); `unsure`
            (galaxies whose set holds several classes, or without sets whose most probable class is
            below 0.5); `unfamiliar` (galaxies unlike those trained on), None where familiarity is
            unknown. Of numbers `rows`, `value` (column, median, 5 % and 95 % quantile), `width`
            (median width of the intervals, None without) and `unfamiliar`.
        """
        unfamiliar = None if self.unfamiliar is None else int(self.unfamiliar.sum())
        if self.is_value:
            return {**self._value_summary(), "unfamiliar": unfamiliar}
        # class sets, if present, are calibrated, so they tell better than probabilities which
        # galaxies are unsure
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
        """Return the predictions without the mask `seen` of galaxies that were trained on.

        Scores of such galaxies are no fair test.
        """
        return dataclasses.replace(self, seen=None)

    unmarked = renamed("unmarked", "without_seen")

    def write(self, path: str | Path) -> Path:
        """Write predictions, one row per galaxy, as CSV, Parquet or FITS by the file's ending.

        Endings are `.csv`, `.csv.gz`, `.parquet` and `.fits`.

        Columns: `galaxy_id`; `predicted_class`, or `predicted_labels` joined by `|`; one float64
        column per class, under its name; `class_set` (joined by `|`) and `trained_on` where `sets`
        and `seen` are known, and where a set is empty `empty_because` (see the property);
        `familiarity_p` where it is known. Of numbers `predicted_<column>`, and `lower` and `upper`
        where intervals are known, instead of the columns of classes. In CSV a text that a
        spreadsheet would take for a formula gets a leading apostrophe, which `read` removes.

        Parameters
        ----------
        path : str or Path
            File, whose ending gives the format.

        Raises
        ------
        InputError
            The ending is none of these, a class bears the name of another column, or FITS cannot
            hold an id or name.
        OutputError
            The place cannot be written.
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
            The file.
        number : {"value", "redshift"}, optional
            What predicted numbers are; by default the name of their column tells.

        Raises
        ------
        MissingFileError, InputError
            No such file; not readable; no `galaxy_id` column; probabilities break their rule.
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
