"""Read and check catalogs of galaxies; return their columns, volunteers' votes and galaxy ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import catalog_join, checks, column_report, quantities
from gzfeatures.galaxies.catalogs.catalog_join import JoinReport, Rows
from gzfeatures.galaxies.catalogs.kinds import READY_CLASSES, recognise
from gzfeatures.galaxies.catalogs.label_words import ASK, LabelWords
from gzfeatures.galaxies.votes import vote_columns
from gzfeatures.galaxies.votes.campaigns import foreign
from gzfeatures.galaxies.votes.vote_columns import ANY, RAW, Ballots, Choice, Form
from gzfeatures.galaxies.votes.votes import ANSWERS, Conditional, Counts, Cumulative, Measure
from gzfeatures.ids import Ids, as_ids, positions
from gzfeatures.tablefiles.tables import ID_COLUMNS, plain, read_table


@dataclasses.dataclass(frozen=True, eq=False)
class Catalog:
    """A table of galaxies with unique ids.

    Parameters
    ----------
    frame : DataFrame
        Has `galaxy_id` (text); other columns are text, int64, float64 or bool, with NaN for missing
        values.
    kind : str
        A name of `kinds.KINDS`.
    source : str
        Where it was read from.

    Raises
    ------
    InputError
        An id is missing or repeats, a position is off the sky, or a vote fraction is outside [0,
        1].
    """

    frame: pd.DataFrame
    kind: str = "table"
    source: str = "memory"

    def __post_init__(self) -> None:
        if "galaxy_id" not in self.frame:
            raise InputError(
                "catalog has no ids", where=self.source, rule="have a column galaxy_id"
            )
        checks.require(
            checks.find(self.frame, self.kind),
            self.frame["galaxy_id"].to_numpy(object),
            self.source,
        )

    @classmethod
    def read(
        cls,
        path: str | Path,
        kind: str | None = None,
        *,
        id_column: str | None = None,
        keys: Sequence[str] = (),
    ) -> Catalog:
        """Read a catalog file of any known format, and recognise its kind by its columns.

        Parameters
        ----------
        path : str or Path
            File.
        kind : str, optional
            The kind it has to be.
        id_column : str, optional
            Column that names the galaxies, default that of the kind (see `kinds.KINDS`).
        keys : sequence of str
            Further columns that hold ids, by which it will be joined.

        Raises
        ------
        MissingFileError
            It is not there.
        InputError
            It cannot be read, lacks columns, or breaks a rule of Catalog.
        """
        frame, kind, _ = _identified(path, kind, id_column, keys)
        return cls(frame, kind, str(path))

    @classmethod
    def of(
        cls, frame: pd.DataFrame, kind: str | None = None, *, id_column: str | None = None
    ) -> Catalog:
        """Make a catalog from a table in memory, with the checks that `read` makes.

        Examples
        --------
        >>> Catalog.of(pd.DataFrame({"objid": [12, 13], "ra": [10.0, 11.5]})).ids.tolist()
        ['12', '13']
        """
        frame, kind, _ = _with_ids(quantities.understood(plain(frame)), "memory", kind, id_column)
        return cls(frame, kind)

    @staticmethod
    def examine(
        path: str | Path,
        image_root: str | Path | None = None,
        *,
        id_column: str | None = None,
        words: LabelWords = ASK,
    ) -> checks.Examination:
        """List every problem of a catalog file, where `read` stops at the first one.

        Parameters
        ----------
        path : str or Path
            File.
        image_root : str or Path, optional
            Folder that the paths in the catalog must stay in.
        id_column : str, optional
            Column that names the galaxies.
        words : LabelWords
            What words of a column `label` mean.

        Raises
        ------
        MissingFileError, InputError
            There is no table to go through: the file is absent, unreadable, or has no id column.
        """
        frame, kind, columns = _identified(path, None, id_column)
        root = None if image_root is None else Path(image_root)
        # a galaxy without an id is named by its row number, so that the user can find the row
        ids = frame["galaxy_id"].to_numpy(object)
        rows = np.array([f"row {row}" for row in range(len(ids))], dtype=object)
        names = np.where(pd.isna(ids), rows, ids)
        findings = [
            *checks.find(frame, kind, root, words, named=id_column is not None),
            *_unknown_classes(frame),
        ]
        problems = [problem for finding in findings for problem in finding.problems(names)]
        refused = any(finding.fatal or finding.refused for finding in findings)
        used = column_report.used(frame, frame.attrs["id_column"])
        notes = (*_other_ids(frame), *_notes(frame))
        return checks.Examination(
            len(frame), columns, kind, tuple(problems), tuple(used), notes, refused
        )

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def ids(self) -> Ids:
        """Ids of the galaxies, shape (n,)."""
        return as_ids(self.frame["galaxy_id"])

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of the ids and columns; the order of rows and columns does not change it."""
        order = np.argsort(self.ids)
        columns = {}
        for name in sorted(self.frame.columns):
            values = self.frame[name]
            columns[name] = fingerprint.of_array(_bits(values)[order])
        return fingerprint.of(columns)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Return a numeric column as float64, shape (n,), NaN = missing value.

        Our names: redshift, petro_mag_r_abs, petro_r90 and petro_r50 (arcsec), ra and dec
        (degrees), classifications, redshift_bin, magnitude_bin. Sentinels such as −9999 are
        returned as they stand.

        Raises
        ------
        InputError
            There is no such column, or it holds text.
        """
        return quantities.required(self.frame, name, f"{self.kind} catalog {self.source}")

    def has_column(self, name: str) -> bool:
        """Return whether `column(name)` would find a numeric column."""
        return quantities.column_of(self.frame, name).column is not None

    @property
    def notes(self) -> list[str]:
        """Sentences on what reading changed, left out, or chose among several columns."""
        return _notes(self.frame)

    def has_votes(self, measures: Sequence[Measure], answers: Collection[str] = ANSWERS) -> bool:
        """Return whether one campaign has votes on all these answers in one of the measures."""
        return bool(vote_columns.chosen(self.frame.columns, "cumulative", measures, answers, ANY))

    def votes(
        self,
        form: Form = "cumulative",
        measures: Sequence[Measure] = RAW,
        answers: Collection[str] = (),
        choice: Choice = ANY,
    ) -> Counts | Conditional | Cumulative:
        """Return the volunteers' votes as counts, conditional fractions or cumulative fractions.

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
        """Return the volunteers' votes together with their campaign and measure."""
        where = f"{self.kind} catalog {self.source}"
        return vote_columns.ballots(self.frame, form, measures, answers, choice, where=where)

    @property
    def counts(self) -> Counts:
        """Number of volunteers who gave each answer; weighted if only weighted counts exist.

        Raises
        ------
        InputError
            The catalog has no counts.
        """
        return cast(Counts, self.votes("count", ("count", "weight")))

    def volunteers(self, ids: Ids) -> npt.NDArray[np.int64] | None:
        """Return how many volunteers answered the first question about each galaxy.

        Parameters
        ----------
        ids : Ids
            Shape (n,).

        Returns
        -------
        ndarray of int64 or None
            Shape (n,), 0 where it is not known; None where the catalog publishes no counts of them.
        """
        try:
            counts = self.votes("count", ("count",)).question("smooth-or-features")
        # weighted counts are no numbers of people, so a catalog with only those has no answer here
        except InputError:
            return None
        asked = np.where(np.isnan(counts).all(1), np.nan, np.nansum(counts, axis=1))
        if np.isnan(asked).all():
            return None
        rows = pd.Index(self.ids).get_indexer(pd.Index(ids))
        return np.where(rows < 0, 0, np.rint(np.nan_to_num(asked))[rows]).astype(np.int64)

    def select(self, ids: Ids) -> Catalog:
        """Return a catalog of the galaxies with these ids, in the order of the ids."""
        rows = positions(self.ids, ids, where=f"catalog {self.source}")
        return dataclasses.replace(self, frame=self.frame.iloc[rows].reset_index(drop=True))

    def with_ids(self, column: str) -> Catalog:
        """Return a catalog of the same galaxies, named by the ids of another column.

        Raises
        ------
        InputError
            The column is absent, repeats an id, or has gaps.
        """
        frame, _, _ = _with_ids(self.frame, self.source, self.kind, column)
        return dataclasses.replace(self, frame=frame)

    def join(
        self, other: Catalog | Rows, left_on: str | Sequence[str], right_on: str | Sequence[str]
    ) -> tuple[Catalog, JoinReport]:
        """Add the columns of another catalog by a common key, and keep the galaxies that match.

        Parameters
        ----------
        other : Catalog or Rows
            For example `gz2sample` (dr7objid = OBJID) or `gz2_filename_mapping` (dr7objid = objid).
        left_on, right_on : str or sequence of str
            Key columns here and there, compared as exact ids (see `ids.as_keys`). A column that
            stands in both is taken from here.

        Returns
        -------
        joined : Catalog
            Same kind and ids as this one.
        report : JoinReport
            What matched, what did not, what doubled. A key that stands twice in `other` is
            ambiguous: its galaxies are left out. A galaxy without a key matches nothing.

        Raises
        ------
        InputError
            A key column is absent or has lost its digits, or no rows match.
        """
        frame, report = catalog_join.joined(self, other, left_on, right_on)
        return Catalog(frame, self.kind, f"{self.source} with {other.source}"), report


def _bits(values: pd.Series) -> npt.NDArray[Any]:
    """Return a column as a numeric array for hashing; texts are replaced by their hashes."""
    if values.dtype.kind not in "iufb":
        return pd.util.hash_array(values.to_numpy(object))
    # integer columns with gaps hold at most 2^53 (see `tables`), so float64 keeps them exactly
    # # and NaN marks the gaps
    if isinstance(values.dtype, pd.api.extensions.ExtensionDtype):
        return values.to_numpy(np.float64)
    return values.to_numpy()


def _other_ids(frame: pd.DataFrame) -> list[str]:
    """Return a sentence that names other id columns of the table, or an empty list."""
    named_by = frame.attrs["id_column"]
    others = [name for name in ID_COLUMNS if name in frame and name not in ("galaxy_id", named_by)]
    # ids that were read as floats have lost digits, so they cannot name galaxies
    others = [name for name in others if frame[name].dtype.kind != "f"]
    if not others:
        return []
    return [f"galaxies are named by {named_by}; {', '.join(others)} could name them too (--id)"]


def _notes(frame: pd.DataFrame) -> list[str]:
    """Return sentences on what reading changed, and on vote columns that cannot be read."""
    strangers = foreign(frame.columns).items()
    unread = [f"votes of Galaxy Zoo '{name}' are not read: {why}" for name, why in strangers]
    return [*frame.attrs.get("notes", []), *quantities.notes(frame), *unread]


def _unknown_classes(frame: pd.DataFrame) -> Iterator[checks.Finding]:
    """Find class names in a column of ready-made classes that the class scheme does not know."""
    for column, ready in READY_CLASSES.items():
        if column in frame:
            names = frame[column].astype("str").fillna("")
            strange = np.flatnonzero(~names.isin(["", *ready.classes]))
            if len(strange):
                rule = f"{column} must be a class of {ready.scheme} or empty"
                yield checks.Finding(
                    rule, strange, names.iloc[strange].tolist(), fatal=False, refused=True
                )


def _identified(
    path: str | Path, kind: str | None, id_column: str | None, keys: Sequence[str] = ()
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Read a table and name its galaxies; return the table, its kind and the file's columns."""
    frame = read_table(path, id_column=id_column, keys=keys, texts=("label",))
    return _with_ids(quantities.understood(frame), path, kind, id_column, keys)


def _with_ids(
    frame: pd.DataFrame,
    where: object,
    kind: str | None,
    id_column: str | None,
    keys: Sequence[str] = (),
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Return the table with the column `galaxy_id` first, its kind, and its former columns.

    Missing ids stay missing. Where the table has no id column and none is asked for, the first of
    the keys names its galaxies.
    """
    columns = tuple(frame.columns)
    if id_column is not None and id_column not in frame:
        raise InputError(
            "id column is missing",
            where=where,
            rule=f"have {id_column}",
            found=", ".join(columns[:12]),
        )
    # a table that is only joined may lack an id column: then its key column names the rows
    if (
        id_column is None
        and frame.columns.isin(keys).any()
        and not frame.columns.isin(ID_COLUMNS).any()
    ):
        id_column = next(key for key in keys if key in frame)
    kind, column = recognise(columns, kind, where=where, id_column=id_column)
    values = frame[column].to_numpy()
    missing = frame[column].isna().to_numpy()
    ids = np.full(len(frame), np.nan, dtype=object)
    ids[~missing] = as_ids(
        values[~missing], where=f"{where}, column {column}", rows=np.flatnonzero(~missing)
    )
    rest = frame.drop(columns="galaxy_id", errors="ignore")
    named = pd.concat(
        [pd.Series(ids, index=frame.index, dtype="str", name="galaxy_id"), rest], axis=1
    )
    named.attrs = {**frame.attrs, "id_column": column}
    return named, kind, columns
