"""Catalog: a table of galaxies with unique ids, read from any of the published forms."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.galaxies import checks, votecolumns
from gzfeatures.galaxies.ids import Ids, as_ids, positions
from gzfeatures.galaxies.kinds import COLUMN_ALIASES, recognise
from gzfeatures.galaxies.tables import plain, read_table
from gzfeatures.galaxies.votecolumns import ANY, RAW, Ballots, Choice, Form
from gzfeatures.galaxies.votes import ANSWERS, Conditional, Counts, Cumulative, Measure


@dataclasses.dataclass(frozen=True)
class JoinReport:
    """What a join did.

    Parameters
    ----------
    matched : int
        Galaxies that found their row.
    unmatched : tuple of str
        Ids of galaxies that found none.
    unused : int
        Rows of the other table that no galaxy asked for.
    doubled : tuple of str
        Ids of galaxies left out because the other table has their key more than once.
    """

    matched: int
    unmatched: tuple[str, ...]
    unused: int
    doubled: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Catalog:
    """A table of galaxies.

    Parameters
    ----------
    frame : DataFrame
        Has `galaxy_id` (text); other columns are text, int64, float64 or bool, with NaN for missing values.
    kind : str
        A name of `kinds.KINDS`.
    source : str
        Where it was read from.

    Raises
    ------
    InputError
        An id is missing or repeats, a position is off the sky, or a vote fraction is outside [0, 1].
    """

    frame: pd.DataFrame
    kind: str = "table"
    source: str = "memory"

    def __post_init__(self) -> None:
        if "galaxy_id" not in self.frame:
            raise InputError("catalog has no ids", where=self.source, rule="have a column galaxy_id")
        checks.require(checks.find(self.frame, self.kind), self.frame["galaxy_id"].to_numpy(object), self.source)

    @classmethod
    def read(cls, path: str | Path, kind: str | None = None, *, id_column: str | None = None) -> Catalog:
        """Read a FITS(.gz), CSV(.gz) or Parquet catalog; its kind is told by its columns.

        Parameters
        ----------
        path : str or Path
            File.
        kind : str, optional
            The kind it has to be.
        id_column : str, optional
            Column that names the galaxies, default that of the kind (see `kinds.KINDS`).

        Raises
        ------
        MissingFileError
            It is not there.
        InputError
            It cannot be read, lacks columns, or breaks a rule of Catalog.
        """
        frame, kind, _ = _identified(path, kind, id_column)
        return cls(frame, kind, str(path))

    @classmethod
    def of(cls, frame: pd.DataFrame, kind: str | None = None, *, id_column: str | None = None) -> Catalog:
        """Make a Catalog of a table in memory, under the same rules as `read`."""
        frame, kind, _ = _with_ids(plain(frame), "memory", kind, id_column)
        return cls(frame, kind)

    @staticmethod
    def examine(path: str | Path, image_root: str | Path | None = None) -> checks.Examination:
        """Go through a whole catalog and list everything that breaks a rule, in place of raising at the first.

        Parameters
        ----------
        path : str or Path
            File.
        image_root : str or Path, optional
            Folder that the paths in the catalog must stay in.

        Raises
        ------
        MissingFileError, InputError
            There is no table to go through: the file is absent, unreadable, or has no id column.
        """
        frame, kind, columns = _identified(path, None, None)
        root = None if image_root is None else Path(image_root)
        ids = frame["galaxy_id"].to_numpy(object)
        names = np.where(pd.isna(ids), np.array([f"row {row}" for row in range(len(ids))], dtype=object), ids)
        found = [problem for finding in checks.find(frame, kind, root) for problem in finding.problems(names)]
        return checks.Examination(len(frame), columns, kind, tuple(found))

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def ids(self) -> Ids:
        """Galaxy ids, shape (n,)."""
        return as_ids(self.frame["galaxy_id"])

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over ids and all columns; neither the order of rows nor that of columns matters."""
        order = np.argsort(self.ids)
        columns = {}
        for name in sorted(self.frame.columns):
            values = self.frame[name]
            columns[name] = fingerprint.of_array(_bits(values)[order])
        return fingerprint.of(columns)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """A numeric column by our name or the catalog's, shape (n,), NaN = missing.

        Our names: redshift, petro_mag_r_abs, petro_r90 and petro_r50 (arcsec), ra and dec (degrees),
        classifications, redshift_bin, magnitude_bin. Sentinels such as −9999 are returned as they stand.

        Raises
        ------
        InputError
            There is no such column, or it holds text.
        """
        found = self._numeric(name)
        if found is None:
            raise InputError(
                f"no numeric column for {name}",
                where=f"{self.kind} catalog {self.source}",
                rule=f"have one of {', '.join(dict.fromkeys((name, *COLUMN_ALIASES.get(name, ()))))}",
                remedy="join the table that has it",
            )
        return self.frame[found].to_numpy(dtype=np.float64)

    def has_column(self, name: str) -> bool:
        """Whether `column(name)` has an answer."""
        return self._numeric(name) is not None

    def _numeric(self, name: str) -> str | None:
        names = (name, *COLUMN_ALIASES.get(name, ()))
        return next((alias for alias in names if alias in self.frame and self.frame[alias].dtype.kind in "iufb"), None)

    def has_votes(self, measures: Sequence[Measure], answers: Collection[str] = ANSWERS) -> bool:
        """Whether some measure of these has all these answers, in some campaign."""
        return bool(votecolumns.chosen(self.frame.columns, "cumulative", measures, answers, ANY))

    def votes(
        self,
        form: Form = "cumulative",
        measures: Sequence[Measure] = RAW,
        answers: Collection[str] = (),
        choice: Choice = ANY,
    ) -> Counts | Conditional | Cumulative:
        """Votes of the catalog, converted to the form asked for: `ballots` without their origin.

        Parameters
        ----------
        form : {"cumulative", "conditional", "count"}
            See `votes.Cumulative`, `votes.Conditional` and `votes.Counts`.
        measures : sequence of str
            The first that the catalog has is taken. Kaggle fractions count as weighted.
        answers : collection of str
            Answers that must be there; others that are not are NaN.
        choice : Choice
            Of a campaign, or of a measure in place of `measures`.

        Raises
        ------
        InputError
            The catalog has no such votes.
        """
        return self.ballots(form, measures, answers, choice).votes

    def ballots(
        self,
        form: Form = "cumulative",
        measures: Sequence[Measure] = RAW,
        answers: Collection[str] = (),
        choice: Choice = ANY,
    ) -> Ballots:
        """Votes with the campaign and measure they were read from; parameters and errors of `votes`."""
        where = f"{self.kind} catalog {self.source}"
        return votecolumns.ballots(self.frame, form, measures, answers, choice, where=where)

    @property
    def counts(self) -> Counts:
        """How many volunteers gave each answer, weighted where only that is published; InputError without counts."""
        return cast(Counts, self.votes("count", ("count", "weight")))

    def select(self, ids: Ids) -> Catalog:
        """These galaxies, in this order; InputError if one is not there."""
        rows = positions(self.ids, ids, where=f"catalog {self.source}")
        return dataclasses.replace(self, frame=self.frame.iloc[rows].reset_index(drop=True))

    def with_ids(self, column: str) -> Catalog:
        """The same galaxies named by another column, such as asset_id; InputError if it repeats or has gaps."""
        frame, _, _ = _with_ids(self.frame, self.source, self.kind, column)
        return dataclasses.replace(self, frame=frame)

    def join(
        self, other: Catalog, left_on: str | Sequence[str], right_on: str | Sequence[str]
    ) -> tuple[Catalog, JoinReport]:
        """Put the columns of another catalog beside these, by key; only galaxies that match are kept.

        Parameters
        ----------
        other : Catalog
            For example `gz2sample` (dr7objid = OBJID) or `gz2_filename_mapping` (dr7objid = objid).
        left_on, right_on : str or sequence of str
            Key columns here and there, compared as text. A column that stands in both is taken from here.

        Returns
        -------
        joined : Catalog
            Same kind and ids as this one.
        report : JoinReport
            What matched, what did not, what doubled. A key that stands twice in `other` is ambiguous: its galaxies
            are left out.

        Raises
        ------
        InputError
            A key column is absent, or nothing matches.
        """
        left, right = _keys(self, left_on), _keys(other, right_on)
        index = pd.Index(right)
        twice = index.duplicated(keep=False)
        single = np.flatnonzero(~twice)
        rows = pd.Index(index[single]).get_indexer(pd.Index(left))
        doubled = pd.Index(left).isin(index[twice])
        matched = rows >= 0
        report = JoinReport(
            matched=int(matched.sum()),
            unmatched=tuple(self.ids[~matched & ~doubled]),
            unused=int((~index.isin(pd.Index(left))).sum()),
            doubled=tuple(self.ids[doubled]),
        )
        if not report.matched:
            raise InputError(
                "nothing matches",
                where=f"join of {self.source} and {other.source} on {left_on} = {right_on}",
                found=f"{left[0]} here, {right[0]} there" if len(left) and len(right) else None,
                remedy="name the columns that hold the same ids",
            )
        extra = other.frame.drop(columns=[name for name in other.frame if name in self.frame])
        parts = [self.frame[matched].reset_index(drop=True), extra.iloc[single[rows[matched]]].reset_index(drop=True)]
        return Catalog(pd.concat(parts, axis=1), self.kind, f"{self.source} with {other.source}"), report


def _bits(values: pd.Series) -> npt.NDArray[Any]:
    """Numbers of a column as they are, those with gaps as doubles (see `tables`); texts by their hashes."""
    if values.dtype.kind not in "iufb":
        return pd.util.hash_array(values.to_numpy(object))
    return (
        values.to_numpy(np.float64) if isinstance(values.dtype, pd.api.extensions.ExtensionDtype) else values.to_numpy()
    )


def _keys(catalog: Catalog, columns: str | Sequence[str]) -> npt.NDArray[np.object_]:
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names:
        if name not in catalog.frame:
            raise InputError(
                "key column is missing",
                where=catalog.source,
                rule=f"have {name}",
                found=", ".join(catalog.frame.columns[:12]),
            )
    parts = [catalog.frame[name].astype("str").fillna("").to_numpy(object) for name in names]
    keys = parts[0]
    for part in parts[1:]:
        keys = keys + "\0" + part
    return keys


def _identified(path: str | Path, kind: str | None, id_column: str | None) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    return _with_ids(read_table(path), path, kind, id_column)


def _with_ids(
    frame: pd.DataFrame, where: object, kind: str | None, id_column: str | None
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """The table with `galaxy_id` first, its kind, and the columns it came with; missing ids stay missing."""
    columns = tuple(frame.columns)
    if id_column is not None and id_column not in frame:
        raise InputError("id column is missing", where=where, rule=f"have {id_column}", found=", ".join(columns[:12]))
    kind, column = recognise(columns, kind, where=where, id_column=id_column)
    values = frame[column].to_numpy()
    missing = frame[column].isna().to_numpy()
    ids = np.full(len(frame), np.nan, dtype=object)
    ids[~missing] = as_ids(values[~missing], where=f"{where}, column {column}")
    rest = frame.drop(columns="galaxy_id", errors="ignore")
    named = pd.concat([pd.Series(ids, index=frame.index, dtype="str", name="galaxy_id"), rest], axis=1)
    named.attrs = frame.attrs
    return named, kind, columns
