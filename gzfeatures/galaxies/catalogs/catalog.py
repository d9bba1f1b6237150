"""Read and check catalogs of galaxies; return their columns, volunteers' votes and galaxy ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import brief, fingerprint
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import (
    catalog_join,
    checks,
    column_report,
    identification,
    quantities,
    sky_join,
)
from gzfeatures.galaxies.catalogs.catalog_join import MATCHED, JoinKind, JoinReport, Rows
from gzfeatures.galaxies.catalogs.label_words import ASK, LabelWords
from gzfeatures.galaxies.catalogs.sky_join import SkyReport
from gzfeatures.galaxies.votes import vote_columns
from gzfeatures.galaxies.votes.vote_columns import ANY, RAW, Ballots, Choice, Form
from gzfeatures.galaxies.votes.votes import ANSWERS, Conditional, Counts, Cumulative, Measure
from gzfeatures.ids import Ids, as_ids, positions
from gzfeatures.tablefiles.tables import plain


@dataclasses.dataclass(frozen=True, eq=False)
class Catalog:
    """Store a table of galaxies with unique ids.

    Parameters
    ----------
    frame : DataFrame
        Has `galaxy_id` (text); other columns are text, int64, float64 or bool, with NaN for missing
        values.
    kind : str
        Kind of the catalog, such as kaggle: a name of `kinds.KINDS`.
    source : str
        Where the table comes from, such as the path of a file; named in errors.

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
        """Read a catalog file, and recognise its kind (Kaggle, GZ2, …) by its columns.

        Parameters
        ----------
        path : str or Path
            File.
        kind : str, optional
            Kind that the catalog must have; by default it is recognised by its columns.
        id_column : str, optional
            Column that names the galaxies; by default the usual id column of the catalog's kind
            (see `kinds.KINDS`).
        keys : sequence of str
            Further columns of ids, by which the catalog will be joined to others.

        Raises
        ------
        MissingFileError
            The file does not exist.
        InputError
            The file cannot be read, lacks columns, or breaks a rule of Catalog.
        """
        frame, kind, _ = identification.identified(path, kind, id_column, keys)
        return cls(frame, kind, str(path))

    @classmethod
    def of(
        cls, frame: pd.DataFrame, kind: str | None = None, *, id_column: str | None = None
    ) -> Catalog:
        """Convert a pandas table in memory to a catalog, with the same checks as a catalog file.

        Parameters
        ----------
        frame : pandas.DataFrame
            A row for each galaxy.
        kind : str, optional
            Kind of the catalog; by default it is recognised by its columns.
        id_column : str, optional
            Column of the ids; by default it is recognised.

        Examples
        --------
        >>> Catalog.of(pd.DataFrame({"objid": [12, 13], "ra": [10.0, 11.5]})).ids.tolist()
        ['12', '13']
        """
        frame, kind, _ = identification.with_ids(
            quantities.understood(plain(frame)), "memory", kind, id_column
        )
        return cls(frame, kind)

    @staticmethod
    def examine(
        path: str | Path,
        image_root: str | Path | None = None,
        *,
        id_column: str | None = None,
        words: LabelWords = ASK,
    ) -> checks.Examination:
        """List every problem of a catalog file; `read` would stop at the first problem.

        Parameters
        ----------
        path : str or Path
            File.
        image_root : str or Path, optional
            Folder that the paths in the catalog must stay in.
        id_column : str, optional
            Column that names the galaxies.
        words : LabelWords
            Which words of a column `label` are classes, and which mean a missing label.

        Raises
        ------
        MissingFileError, InputError
            No table can be checked: the file is absent, unreadable, or has no id column.
        """
        frame, kind, columns = identification.identified(path, None, id_column)
        root = None if image_root is None else Path(image_root)
        # name a galaxy without an id by its row number, so that the user can find the row
        ids = frame["galaxy_id"].to_numpy(object)
        rows = np.array([f"row {row}" for row in range(len(ids))], dtype=object)
        names = np.where(pd.isna(ids), rows, ids)
        findings = [
            *checks.find(frame, kind, root, words, named=id_column is not None),
            *identification.unknown_classes(frame),
        ]
        problems = [problem for finding in findings for problem in finding.problems(names)]
        refused = any(finding.fatal or finding.refused for finding in findings)
        used = column_report.used(frame, frame.attrs["id_column"])
        notes = (*identification.other_ids(frame), *identification.notes_of(frame))
        return checks.Examination(
            len(frame), columns, kind, tuple(problems), tuple(used), notes, refused
        )

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        """Return the catalog's source, kind and size in one line."""
        columns = brief.count(len(self.frame.columns), "column")
        return brief.line(
            "Catalog",
            self.source,
            brief.count(len(self), "galaxy"),
            columns,
            f"kind {self.kind}",
        )

    def _repr_html_(self) -> str:
        """Return the catalog's size and first rows in HTML for a notebook."""
        return brief.html(repr(self), below=self.frame.head().to_html(max_cols=12))

    def to_pandas(self) -> pd.DataFrame:
        """Return a copy of the columns, one row per galaxy, with the index `galaxy_id`."""
        return self.frame.set_index("galaxy_id")

    @cached_property
    def ids(self) -> Ids:
        """Return the ids of the catalog's galaxies, shape (n,)."""
        return as_ids(self.frame["galaxy_id"])

    @cached_property
    def fingerprint(self) -> str:
        """Return a sha256 of the catalog's contents, the same in any order of rows and columns."""
        order = np.argsort(self.ids)
        columns = {}
        for name in sorted(self.frame.columns):
            values = self.frame[name]
            columns[name] = fingerprint.of_array(identification.hashable(values)[order])
        return fingerprint.of(columns)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Return a numeric column of the catalog as float64, shape (n,); missing values are NaN.

        Our names: redshift, petro_mag_r_abs, petro_r90 and petro_r50 (arcsec), ra and dec
        (degrees), classifications, redshift_bin, magnitude_bin. Sentinels such as −9999 are
        returned as they stand.

        Parameters
        ----------
        name : str
            One of our names, or a column of the file.

        Raises
        ------
        InputError
            There is no such column, or it holds text.
        """
        return quantities.required(self.frame, name, f"{self.kind} catalog {self.source}")

    def has_column(self, name: str) -> bool:
        """Return whether the catalog has a numeric column that `column(name)` would return.

        Parameters
        ----------
        name : str
            As for `column`.
        """
        return quantities.column_of(self.frame, name).column is not None

    @property
    def notes(self) -> list[str]:
        """Return sentences on what was changed, left out or chosen when the file was read."""
        return identification.notes_of(self.frame)

    def has_votes(self, measures: Sequence[Measure], answers: Collection[str] = ANSWERS) -> bool:
        """Return whether the catalog has votes on all these answers from one Galaxy Zoo campaign.

        Parameters
        ----------
        measures : sequence of str
            Kinds of votes (such as `count` or `debiased`); the catalog must have one of them.
        answers : collection of str
            Answers of the decision tree; all by default.
        """
        return bool(vote_columns.chosen(self.frame.columns, "cumulative", measures, answers, ANY))

    def votes(
        self,
        form: Form = "cumulative",
        measures: Sequence[Measure] = RAW,
        answers: Collection[str] = (),
        choice: Choice = ANY,
    ) -> Counts | Conditional | Cumulative:
        """Return votes as counts, as fractions of a question's voters, or of all volunteers.

        Parameters
        ----------
        form : {"cumulative", "conditional", "count"}
            See `votes.Cumulative`, `votes.Conditional` and `votes.Counts`.
        measures : sequence of str
            Kinds of votes in order of preference; the first that the catalog has is taken. Kaggle
            fractions count as weighted.
        answers : collection of str
            Answers that the catalog must have; other answers are NaN where it lacks them.
        choice : Choice
            Names a Galaxy Zoo campaign, or the one kind of votes that replaces `measures`.

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
        """Return the volunteers' votes, with the Galaxy Zoo campaigns and columns they come from.

        Parameters
        ----------
        form : str
            `count`; or fractions of all volunteers (`cumulative`), or of those who were asked the
            question (`conditional`).
        measures : sequence of str
            Kinds of votes (such as `count` or `debiased`), the preferred one first.
        answers : collection of str
            Answers that are needed; none by default.
        choice : Choice
            Campaign, kind of votes and least number of votes that the user wants.
        """
        where = f"{self.kind} catalog {self.source}"
        return vote_columns.ballots(self.frame, form, measures, answers, choice, where=where)

    @property
    def counts(self) -> Counts:
        """Return the number of volunteers per answer, or their summed weights if only these exist.

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
            Shape (n,), 0 where the number is not known; None if the catalog has no counts of
            volunteers.
        """
        try:
            counts = self.votes("count", ("count",)).question("smooth-or-features")
        # reading counts raises InputError if the catalog has only weighted counts; these are no
        # numbers of people, so return None
        except InputError:
            return None
        asked = np.where(np.isnan(counts).all(1), np.nan, np.nansum(counts, axis=1))
        if np.isnan(asked).all():
            return None
        rows = pd.Index(self.ids).get_indexer(pd.Index(ids))
        return np.where(rows < 0, 0, np.rint(np.nan_to_num(asked))[rows]).astype(np.int64)

    def select(self, ids: Ids) -> Catalog:
        """Return a catalog of the galaxies with these ids, in the order of the ids.

        Parameters
        ----------
        ids : array of str
            Shape (m,).
        """
        rows = positions(self.ids, ids, where=f"catalog {self.source}")
        return dataclasses.replace(self, frame=self.frame.iloc[rows].reset_index(drop=True))

    def with_ids(self, column: str) -> Catalog:
        """Return the same catalog, with its galaxies named by the ids in the column `column`.

        Parameters
        ----------
        column : str
            Column of the file.

        Raises
        ------
        InputError
            The column is absent, repeats an id, or has gaps.
        """
        frame, _, _ = identification.with_ids(self.frame, self.source, self.kind, column)
        return dataclasses.replace(self, frame=frame)

    def join(
        self,
        other: Catalog | Rows,
        left_on: str | Sequence[str],
        right_on: str | Sequence[str],
        kind: JoinKind = MATCHED,
    ) -> tuple[Catalog, JoinReport]:
        """Add a second catalog's columns to galaxies by key; by default drop unmatched galaxies.

        Parameters
        ----------
        other : Catalog or Rows
            For example `gz2sample` (dr7objid = OBJID) or `gz2_filename_mapping` (dr7objid = objid).
        left_on, right_on : str or sequence of str
            Key columns of this catalog and of `other`, compared as exact ids (see `ids.as_keys`).
            Where both have a column of one name, this catalog's is kept.
        kind : JoinKind
            Which galaxies are kept, and how columns of one name are told apart.

        Returns
        -------
        joined : Catalog
            Same kind and ids as this one.
        report : JoinReport
            Galaxies that matched, that did not, and that were ambiguous. A key that stands twice in
            `other` is ambiguous: its galaxies are left out. A galaxy without a key matches nothing.

        Raises
        ------
        InputError
            A key column is absent or has lost its digits, or no rows match.
        """
        frame, report = catalog_join.joined(self, other, left_on, right_on, kind)
        return Catalog(frame, self.kind, f"{self.source} with {other.source}"), report

    def join_sky(
        self,
        other: Catalog | Rows,
        radius_arcsec: float,
        seed: int = 0,
        kind: JoinKind = MATCHED,
    ) -> tuple[Catalog, SkyReport]:
        """Add columns of a second catalog, matched by mutual nearest neighbours on the sky.

        Parameters
        ----------
        other : Catalog or Rows
            With positions in degrees, of the same equinox. Epochs and proper motions are not
            corrected.
        radius_arcsec : float
            Largest separation of a pair, in (0, 3600].
        seed : int
            Seed of the draw of the galaxies whose shifted positions measure chance pairs.
        kind : JoinKind
            Which galaxies are kept, and how columns of one name are told apart.

        Returns
        -------
        joined : Catalog
            Same kind and ids as this one, in its order, with a column `separation_arcsec`. A galaxy
            without a position matches nothing.
        report : SkyReport
            Galaxies that matched, and the share of galaxies that would match by chance alone.

        Raises
        ------
        InputError
            Positions are missing, no pair is found, the radius is out of range, or a table already
            has a column `separation_arcsec`.
        """
        frame, report = sky_join.sky_joined(self, other, radius_arcsec, seed, kind)
        return Catalog(frame, self.kind, f"{self.source} with {other.source}"), report
