"""Hold the predictions of galaxies by id, and read and write them as CSV, Parquet or FITS."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures._moved import renamed
from gzfeatures.errors import InputError, parsing
from gzfeatures.evaluation.prediction_files import READERS, WRITERS, kind_of
from gzfeatures.files import require_file
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.galaxies.labels.target_column import REDSHIFTS
from gzfeatures.ids import Ids, as_ids, positions, require_unique


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Hold class probabilities of galaxies, or numbers, with class sets and familiarity.

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
        # a galaxy that occurs twice would be scored twice
        require_unique(self.ids, where="predictions")
        p = self.probabilities
        if p.shape != (len(self.ids), len(self.classes)):
            raise InputError(
                "predictions do not fit their ids",
                rule=f"have shape {(len(self.ids), len(self.classes))}",
                found=p.shape,
            )
        for column_name, values in (
            ("mask of seen galaxies", self.seen),
            ("mask of unfamiliar galaxies", self.unfamiliar),
            ("familiarity of galaxies", self.familiarity),
        ):
            if values is not None and values.shape != (len(self.ids),):
                raise InputError(
                    column_name, rule=f"have shape {(len(self.ids),)}", found=values.shape
                )
        if (
            self.familiarity is not None
            and not ((self.familiarity > 0) & (self.familiarity <= 1)).all()
        ):
            raise InputError("familiarity_p", rule="lie in (0, 1]")
        if self.sets is not None and self.sets.shape != p.shape:
            raise InputError("sets of classes", rule=f"have shape {p.shape}", found=self.sets.shape)
        if self.is_value:
            self._require_numbers()
            return
        # single precision may leave the range [0, 1] by 1e-6, and the sum 1 by 1e-4
        if not np.all((p >= -1e-6) & (p <= 1 + 1e-6)):
            raise InputError("probability is NaN or outside its range", rule="lie in [0, 1]")
        if self.kind == "classes" and len(p) and np.abs(p.sum(1) - 1).max() > 1e-4:
            worst = int(np.abs(p.sum(1) - 1).argmax())
            raise InputError(
                "probabilities of a galaxy",
                where=self.ids[worst],
                rule="sum to 1",
                found=float(p[worst].sum()),
            )

    def _require_numbers(self) -> None:
        """Refuse predicted numbers and bounds that are not finite, or not one per galaxy."""
        if len(self.classes) != 1 or not np.isfinite(self.probabilities).all():
            raise InputError(
                "predicted number",
                where=", ".join(self.classes),
                rule="be one finite number of each galaxy",
            )
        if self.bounds is not None and (
            self.bounds.shape != (len(self), 2)
            or not (self.bounds[:, 0] <= self.bounds[:, 1]).all()
        ):
            raise InputError(
                "bounds of predicted numbers", rule=f"be {len(self)} times a lower and an upper end"
            )

    @property
    def is_value(self) -> bool:
        """Tell whether the predictions are one number per galaxy, not classes or vote fractions."""
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
        """Predicted numbers and their bounds, each of shape (n,), by column name.

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
        """Join the predictions of one head for the parts of a table."""
        columns: dict[str, Any] = {}
        for name in ("ids", "probabilities", *_PER_GALAXY):
            values = [getattr(part, name) for part in parts]
            columns[name] = None if values[0] is None else np.concatenate(values)
        return dataclasses.replace(parts[0], **columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Return the code of each galaxy's most probable class, shape (n,); the first if tied.

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
        """Return the name of the most probable class of each galaxy, shape (n,)."""
        return np.asarray(self.classes, dtype=object)[self.codes]

    def select(self, ids: Ids) -> Predictions:
        """Return the predictions with these ids, in the order of the ids; refuse an unknown id."""
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
        """Return the reason why each galaxy's class set is empty, shape (n,); "" for other sets.

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
        """Count galaxies by most probable class, unsure galaxies, and unfamiliar galaxies.

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
        # class sets, if present, are the calibrated measure of unsure galaxies
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
        """Return count, quantiles and interval widths of predicted numbers."""
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
        """Return the same predictions without the mask of galaxies that were trained on.

        Scores of such galaxies are no fair test.
        """
        return dataclasses.replace(self, seen=None)

    unmarked = renamed("unmarked", "without_seen")

    def write(self, path: str | Path) -> Path:
        """Write one row per galaxy as CSV, Parquet or FITS, chosen by the file's ending.

        Endings are `.csv`, `.csv.gz`, `.parquet` and `.fits`.

        Columns: `galaxy_id`; `predicted_class`, or `predicted_labels` joined by `|`; one float64
        column per class, under its name; `class_set` (joined by `|`) and `trained_on` where `sets`
        and `seen` are known, and where a set is empty `empty_because` (see the property);
        `familiarity_p` where it is known. Of numbers `predicted_<column>`, and `lower` and `upper`
        where intervals are known, instead of the columns of classes. In CSV a text that a
        spreadsheet would take for a formula gets a leading apostrophe, which `read` removes.

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
        columns: dict[str, npt.NDArray[Any]] = {"galaxy_id": self.ids}
        if self.is_value:
            columns |= self.number_columns
        elif self.kind == "classes":
            columns["predicted_class"] = self.names
        elif self.kind == "multi-label":
            columns["predicted_labels"] = self._named(self.probabilities >= 0.5)
        class_sets = self.class_sets
        if class_sets is not None:
            columns["class_set"] = class_sets
        empty_because = self.empty_because
        if empty_because is not None and (empty_because != "").any():
            columns["empty_because"] = empty_because
        if self.familiarity is not None:
            columns["familiarity_p"] = self.familiarity
        if self.seen is not None:
            columns["trained_on"] = self.seen
        if self.is_value:
            WRITERS[kind](columns, path)
            return path
        taken = set(self.classes) & {*columns, *_RESERVED}
        if taken:
            raise InputError(
                "class has the name of a column",
                where=path,
                rule="differ from it",
                found=min(taken),
            )
        columns |= dict(
            zip(self.classes, np.asarray(self.probabilities, dtype=np.float64).T, strict=True)
        )
        WRITERS[kind](columns, path)
        return path

    @property
    def class_sets(self) -> npt.NDArray[np.object_] | None:
        """Return the class set of each galaxy, names joined by `|`, (n,); None without sets."""
        return None if self.sets is None else self._named(self.sets)

    def _named(self, flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
        """Join the names of the classes that are true in each row by `|`."""
        names = np.asarray(self.classes, dtype=object)
        return np.array(["|".join(names[row]) for row in flags], dtype=object)

    @classmethod
    def read(cls, path: str | Path, *, number: str | None = None) -> Predictions:
        """Read predictions from a file that `write` wrote.

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
        column = _number_column(frame)
        if column is not None:
            return cls._of_numbers(frame, column, path, number)
        # every column that has no reserved name holds the probabilities of a class
        classes = tuple(str(name) for name in frame.columns if name not in _RESERVED)
        target = next(
            (_RESERVED[name] for name in frame.columns if _RESERVED.get(name)), "fractions"
        )
        try:
            probabilities = frame[list(classes)].to_numpy(np.float64)
        except ValueError as error:
            raise InputError("probability is not a number", where=path, found=str(error)) from None
        seen = frame["trained_on"].to_numpy(bool) if "trained_on" in frame else None
        sets = None
        if "class_set" in frame:
            class_sets = [set(text.split("|")) for text in frame["class_set"]]
            sets = np.array(
                [[name in class_set for name in classes] for class_set in class_sets]
            ).reshape(probabilities.shape)
        unfamiliar = (
            (frame["empty_because"] == UNFAMILIAR).to_numpy(bool)
            if "empty_because" in frame
            else None
        )
        familiarity = (
            frame["familiarity_p"].to_numpy(np.float64) if "familiarity_p" in frame else None
        )
        # read ids as text, so that 64-bit ids keep all digits
        ids = as_ids(frame["galaxy_id"], where=path)
        return cls(ids, probabilities, classes, target, seen, sets, unfamiliar, familiarity)

    @classmethod
    def _of_numbers(
        cls, frame: pd.DataFrame, column: str, path: Path, kind: str | None
    ) -> Predictions:
        """Return predicted numbers from a file; by default the column name marks a redshift."""
        name = column.removeprefix(PREDICTED)
        columns = [column, *(end for end in BOUNDS if end in frame)]
        try:
            numbers = frame[columns].to_numpy(np.float64)
        except ValueError as error:
            raise InputError("predicted number", where=path, found=str(error)) from None
        return cls(
            as_ids(frame["galaxy_id"], where=path),
            numbers[:, :1],
            (name,),
            kind or ("redshift" if name.lower() in REDSHIFTS else "value"),
            frame["trained_on"].to_numpy(bool) if "trained_on" in frame else None,
            familiarity=frame["familiarity_p"].to_numpy(np.float64)
            if "familiarity_p" in frame
            else None,
            bounds=numbers[:, 1:] if len(columns) == 1 + len(BOUNDS) else None,
        )


def number_columns(column: str, *, bounds: bool) -> tuple[str, ...]:
    """Return the column names of a predicted number and its bounds.

    Examples
    --------
    >>> number_columns("redshift", bounds=True)
    ('predicted_redshift', 'lower', 'upper')
    """
    return (f"{PREDICTED}{column}", *(BOUNDS if bounds else ()))


def _number_column(frame: pd.DataFrame) -> str | None:
    """Return the name of the column of predicted numbers; None for a file of classes."""
    classes = {"predicted_class", "predicted_labels"}
    columns = [name for name in frame.columns if name.startswith(PREDICTED)]
    # a class may be named predicted_…, but a file of classes also has a column of predicted classes
    if classes & set(frame.columns) or len(columns) != 1:
        return None
    others = {"galaxy_id", "familiarity_p", "trained_on", *BOUNDS, *columns}
    return str(columns[0]) if set(frame.columns) <= others else None


PREDICTED = "predicted_"
"""Beginning of the name of the column of predicted numbers."""
BOUNDS = ("lower", "upper")
"""Columns of the lower and upper ends of the intervals of predicted numbers."""
UNFAMILIAR = "unfamiliar"
"""Reason of an empty class set: the galaxy is unlike the training galaxies."""
_PER_GALAXY = ("seen", "sets", "unfamiliar", "familiarity", "bounds")
"""Optional fields that have a value for each galaxy."""
_RESERVED: dict[str, str] = {
    "galaxy_id": "",
    "predicted_class": "classes",
    "predicted_labels": "multi-label",
    "class_set": "",
    "empty_because": "",
    "familiarity_p": "",
    "trained_on": "",
}
"""Columns that are no classes, with the kind of prediction that a column implies."""
