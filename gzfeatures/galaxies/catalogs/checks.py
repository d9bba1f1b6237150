"""Check a catalog for problems such as missing ids or impossible votes, and list them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.files import join_inside
from gzfeatures.galaxies.catalogs.column_report import Used
from gzfeatures.galaxies.catalogs.kinds import CLASS_STRINGS
from gzfeatures.galaxies.catalogs.label_words import AS_IS, LabelWords
from gzfeatures.galaxies.catalogs.quantities import HIGHEST, QUANTITIES, column_of
from gzfeatures.galaxies.votes import gz2_class_strings
from gzfeatures.galaxies.votes.campaigns import foreign
from gzfeatures.galaxies.votes.vote_columns import VoteColumns, sources, table
from gzfeatures.galaxies.votes.votes import COLUMNS, Counts, inconsistencies
from gzfeatures.ids import Ids
from gzfeatures.tablefiles.arrow_output import without_attributes
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.tables import ID_COLUMNS

PATH_COLUMNS = ("file", "file_loc", "filename", "path", "image")
"""Columns that hold paths of images, relative to the image folder."""

SUM_TOLERANCE = {"cumulative": 1e-5, "conditional": 5e-3}
"""Allowed error of the sums of vote fractions, by form: Kaggle keeps 2e-6, GZ2 has 3 decimals."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Store one problem of a catalog: the galaxy, the broken rule and the value found.

    Parameters
    ----------
    id : str
        The galaxy, or `row N` where it has no id.
    rule : str
        What must hold.
    value : str
        What was found.
    """

    id: str
    rule: str
    value: str


@dataclasses.dataclass(frozen=True)
class Examination:
    """Store the result of checking a catalog: all columns, usable columns and problems.

    Parameters
    ----------
    rows : int
        Number of galaxies.
    columns : tuple of str
        Names of the columns in the file.
    kind : str
        Kind of the catalog, such as kaggle: a name of `kinds.KINDS`.
    problems : tuple of Problem
        Rules that galaxies break.
    used : tuple of Used
        Columns that commands can use, with the type and values of each.
    notes : tuple of str
        Sentences on what was changed or left out when the file was read.
    refused : bool
        Whether some command would refuse the catalog because of one of its problems.
    """

    rows: int
    columns: tuple[str, ...]
    kind: str
    problems: tuple[Problem, ...]
    used: tuple[Used, ...] = ()
    notes: tuple[str, ...] = ()
    refused: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """Store a rule and the rows of a catalog that break this rule.

    With a fatal finding the table cannot become a Catalog; with a refused finding commands refuse
    the column.
    """

    rule: str
    rows: npt.NDArray[np.intp]
    values: Sequence[Any]
    fatal: bool
    refused: bool = False

    def problems(self, ids: Ids) -> list[Problem]:
        """Return one problem for each catalog row that breaks the rule."""
        return [
            Problem(ids[row], self.rule, str(value))
            for row, value in zip(self.rows, self.values, strict=True)
        ]


def _finding(
    rule: str, bad: npt.NDArray[np.bool_], values: Any, *, fatal: bool, refused: bool = False
) -> Iterator[Finding]:
    """Yield a finding with the rows that break a rule; nothing if no row breaks the rule."""
    rows = np.flatnonzero(bad)
    if len(rows):
        yield Finding(rule, rows, np.asarray(values)[rows].tolist(), fatal, refused)


def find(
    frame: pd.DataFrame,
    kind: str,
    image_root: Path | None = None,
    words: LabelWords = AS_IS,
    *,
    named: bool = False,
) -> Iterator[Finding]:
    """Yield a finding (rule, rows and values) for each rule that a catalog breaks.

    Parameters
    ----------
    frame : DataFrame
        Plain columns (see `tables`).
    kind : str
        Kind of the catalog, such as kaggle.
    image_root : Path, optional
        Folder that the image paths in the catalog must stay in.
    words : LabelWords
        Which words of a column `label` are classes, and which mean a missing label; by default
        labels are not checked.
    named : bool
        Whether the user named the id column; then digits lost in other id columns are no reason to
        refuse them.
    """
    # these findings are fatal, because galaxies cannot be identified without unique ids and valid
    # sky positions
    ids = frame["galaxy_id"]
    yield from _finding(
        "id must not be missing", ids.isna().to_numpy() | (ids == "").to_numpy(), ids, fatal=True
    )
    yield from _finding(
        "id must stand once", (ids.duplicated() & ids.notna()).to_numpy(), ids, fatal=True
    )
    for name, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        column = column_of(frame, name).column
        if column is not None:
            values = frame[column].to_numpy(dtype=float, na_value=np.nan)
            bad = (values < low) | ((values >= high) if name == "ra" else (values > high))
            bracket = ")" if name == "ra" else "]"
            yield from _finding(
                f"{name} must lie in [{low:g}, {high:g}{bracket} degrees", bad, values, fatal=True
            )
    # wrong values in these columns are not fatal: a command can refuse such a column and use the
    # other columns
    yield from _quantities(frame)
    yield from _foreign(frame)
    yield from _keys(frame, refused=not named)
    if "label" in frame:
        rule = "label must be a class or nobody's answer (--missing-label, --label-as-is)"
        yield from _finding(
            rule, words.doubtful(frame["label"]), frame["label"], fatal=False, refused=True
        )
    bare = without_attributes(frame)  # it gives up to 200 vote columns faster
    for source in sources(frame.columns):
        yield from _votes(bare, source, kind)
    for column in CLASS_STRINGS:
        if column in frame:
            unreadable = ~gz2_class_strings.readable(frame[column])
            yield from _finding(
                f"{column} must follow the GZ2 grammar", unreadable, frame[column], fatal=False
            )
    # an image path like ../../etc would make gzfeatures read files outside the image folder
    if image_root is not None:
        for column in PATH_COLUMNS:
            if column in frame:
                leaves = np.array(
                    [_leaves(image_root, str(name)) for name in frame[column]], dtype=bool
                )
                yield from _finding(
                    f"{column} must stay under the image folder", leaves, frame[column], fatal=True
                )


def _quantities(frame: pd.DataFrame) -> Iterator[Finding]:
    """Yield findings on columns of redshifts, sizes, …: wrong unit, text, impossible redshift."""
    for name in QUANTITIES:
        lookup = column_of(frame, name)
        for column in lookup.refused if lookup.column is None else ():
            if frame[column].dtype.kind in "iufb":
                # report no fault for redshift: a column z may contain magnitudes in the z band
                if name != "redshift":
                    yield _of_whole_table(
                        frame,
                        f"{column} must be in {QUANTITIES[name].unit}",
                        frame.attrs["units"][column],
                    )
                continue
            texts = texts_of(frame[column])
            strange = (
                pd.to_numeric(texts, errors="coerce").isna().to_numpy() & (texts != "").to_numpy()
            )
            rule = f"{column} must hold numbers" + (
                " or one sexagesimal form" if name in ("ra", "dec") else ""
            )
            yield from _finding(rule, strange, texts, fatal=False, refused=True)
    redshift = column_of(frame, "redshift").column
    if redshift is not None:
        values = frame[redshift].to_numpy(dtype=float, na_value=np.nan)
        rule = f"{redshift} must be a redshift of at most {HIGHEST:g}"
        yield from _finding(rule, values > HIGHEST, values, fatal=False)


def _of_whole_table(frame: pd.DataFrame, rule: str, value: str) -> Finding:
    """Return a broken rule about a whole table or column; row 0 stands for all rows."""
    rows = np.arange(min(len(frame), 1))
    return Finding(rule, rows, [value][: len(frame)], fatal=False, refused=True)


def _keys(frame: pd.DataFrame, *, refused: bool) -> Iterator[Finding]:
    """Yield findings on id columns stored as floats, in which long ids have lost digits."""
    for column in ID_COLUMNS:
        if column in frame and frame[column].dtype.kind == "f":
            values = frame[column].to_numpy(dtype=float, na_value=np.nan)
            rule = f"{column} must keep every digit of its ids: it is no key of a join"
            yield from _finding(rule, ~np.isnan(values), values, fatal=False, refused=refused)


def _foreign(frame: pd.DataFrame) -> Iterator[Finding]:
    """Yield findings on votes of unknown Galaxy Zoo campaigns in a table without other votes."""
    if not any(sources(frame.columns)):
        for name, why in foreign(frame.columns).items():
            rule = f"votes must be of a campaign that is known ({name}: {why})"
            yield _of_whole_table(frame, rule, name)


def _leaves(root: Path, name: str) -> bool:
    """Return whether an image path points outside the image folder."""
    try:
        join_inside(root, name)
    except InputError:
        return True
    return False


def _votes(frame: pd.DataFrame, source: VoteColumns, kind: str) -> Iterator[Finding]:
    """Yield findings on vote columns with impossible values, and on votes with a wrong sum."""
    high, rule = 1.0, "must be a vote fraction in [0, 1]"
    if source.form == "count":
        high, rule = float(np.finfo(np.float64).max), "must be a number of votes, 0 or more"
    usable = True
    for column in (name for columns in source.columns.values() for name in columns):
        cells = frame[column]
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        missing = cells.isna().to_numpy()
        bad = (values < 0) | (values > high) | (np.isnan(values) & ~missing)
        usable &= not bad.any()
        # only the Kaggle table must be complete; other tables have gaps from debiasing, and a
        # galaxy with a gap gets no label
        yield from _finding(
            f"{column} must not be missing", missing, values, fatal=kind == "kaggle"
        )
        yield from _finding(f"{column} {rule}", bad, cells, fatal=True)
    # check sums of raw fractions only: counts may have any sum, and debiased fractions need not sum
    # to 1, because each answer is debiased alone (Hart+2016)
    if usable and source.form != "count" and source.measure != "debiased":
        votes = table(frame, source)
        if not isinstance(votes, Counts):
            for question, rows in inconsistencies(votes, SUM_TOLERANCE[source.form]).items():
                total = votes.values[rows, COLUMNS[question]].sum(axis=1)
                expected = (
                    "the fraction of their parent answer" if source.form == "cumulative" else "1"
                )
                yield Finding(
                    f"answers of '{question}' must sum to {expected}", rows, total.tolist(), False
                )


def require(findings: Iterator[Finding], ids: Ids, where: object) -> None:
    """Raise an error for the first fatal rule broken; name one bad galaxy, count the bad ones.

    Raises
    ------
    InputError
        A fatal rule is broken.
    """
    for finding in findings:
        if finding.fatal:
            raise InputError(
                f"{len(finding.rows)} of {len(ids)} galaxies break a rule",
                where=f"{where}, galaxy {ids[finding.rows[0]]} (row {int(finding.rows[0])})",
                rule=finding.rule.partition("must ")[2]
                + f" ({finding.rule.partition(' must')[0]})",
                found=finding.values[0],
                remedy="correct or drop them; `gzfeatures check` lists them all",
            )
