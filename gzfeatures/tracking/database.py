"""Create, upgrade and move the SQLite database in which MLflow stores runs."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from gzfeatures.errors import OutputError
from gzfeatures.files import written_whole
from gzfeatures.tracking._compat_mlflow import (
    ARTIFACT_COLUMNS,
    create_tables,
    require_columns,
    schemas,
    upgrade_tables,
)

SQLITE = "sqlite:///"
WAIT_SECONDS = 60
"""Longest time in seconds that a writer waits until readers release the SQLite database."""
ARTIFACTS = "artifacts"
_OURS = re.compile(rf"(file://.*/{ARTIFACTS})/[0-9a-f]{{12}}")
"""Pattern of an experiment's file address as gzfeatures makes it; group 1 is `…/artifacts`."""


class NotRecorded(OutputError):
    """Error: a database or server cannot be reached or written now; a later attempt may succeed."""


class DamagedDatabase(OutputError):
    """Error: SQLite cannot read the database file, because it is damaged."""


def is_damaged(path: Path) -> bool:
    """Return whether a file exists but is not an intact SQLite database."""
    if not path.is_file():
        return False
    try:
        with _opened(path) as database:
            answer: object = database.execute("pragma quick_check(1)").fetchone()
            return answer != ("ok",)
    except sqlite3.OperationalError:
        # an operational error does not mean damage: the file is locked, or may not be read
        return False
    except sqlite3.DatabaseError:
        return True


def address_of(path: Path) -> str:
    """Return the SQLite address of a database file, with `?` and `%` escaped."""
    return SQLITE + str(path.absolute()).replace("%", "%25").replace("?", "%3F")


def file_of(address: str) -> Path | None:
    """Return the path of the database file in an SQLite address; None for other addresses."""
    if not address.startswith(SQLITE):
        return None
    return Path(unquote(address.removeprefix(SQLITE).partition("?")[0]))


@contextmanager
def without_strays(address: str) -> Iterator[None]:
    """Remove the empty folder that MLflow creates if it misreads `%3F` in an address as a path."""
    raw = Path(address.removeprefix(SQLITE).partition("?")[0]).parent
    stray = address.startswith(SQLITE) and "%" in str(raw) and not raw.exists()
    try:
        yield
    finally:
        if stray:
            with suppress(OSError):
                raw.rmdir()


def make_database(path: Path) -> None:
    """Create an SQLite database with MLflow's tables, without any runs.

    The file appears only when it is complete: MLflow cannot use a database in which its creation of
    tables was interrupted.

    Parameters
    ----------
    path : Path
        Database file to create.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    with written_whole(path) as temporary:
        create_tables(address_of(temporary))


def require_schema(path: Path, upgrade: bool) -> str | None:
    """Refuse a database of another MLflow version; upgrade an older one if the user agrees.

    Parameters
    ----------
    path : Path
        The database.
    upgrade : bool
        True if the user agrees that an older database is upgraded to the tables of the installed
        MLflow; a copy of the old database is kept beside it.

    Returns
    -------
    str or None
        Message for the user about the upgrade; None if nothing was done.

    Raises
    ------
    OutputError
        The database is of a newer MLflow; or of an older one, and `upgrade` is False.
    """
    revision = _schema(path)
    if revision is None:
        return None
    newest, older = schemas()
    if revision == newest:
        return None
    rule = f"have schema {newest} of MLflow {version('mlflow')}"
    # `older` has all revisions that MLflow knows, so an unknown one is newer: MLflow can neither
    # read nor downgrade it
    if revision not in older:
        remedy = "pip install --upgrade mlflow, or record elsewhere with --tracking-uri"
        raise OutputError(
            "database is of a newer MLflow", where=path, rule=rule, found=revision, remedy=remedy
        )
    # an upgrade cannot be undone, so the user must ask for it
    if not upgrade:
        remedy = "say --upgrade to bring it up to date; a copy of it is kept beside it"
        raise OutputError(
            "database is of an older MLflow", where=path, rule=rule, found=revision, remedy=remedy
        )
    kept = _upgraded(path, revision)
    return (
        f"{path} has the schema of MLflow {version('mlflow')} now; as it was it is kept in {kept}"
    )


def _schema(path: Path) -> str | None:
    """Return the revision of MLflow's tables in a database file; None if it has none of them."""
    try:
        with _opened(path) as database:
            row = database.execute("select version_num from alembic_version").fetchone()
    except sqlite3.DatabaseError:
        # the file is no MLflow database; MLflow itself raises a better error for it later
        return None
    return str(row[0]) if row else None


def _upgraded(path: Path, revision: str) -> Path:
    """Upgrade a database to the newest MLflow tables; return the path of a copy of the old one."""
    # choose a new name for the copy: an earlier upgrade may have left a copy of the same name
    names = (
        path.with_name(f"{path.stem}-{revision}{number}{path.suffix}")
        for number in ("", *range(2, 1000))
    )
    kept = next(name for name in names if not name.exists())
    # the newest rows may still be in SQLite's log file: move them into the database file first
    with _opened(path) as database:
        database.execute("pragma wal_checkpoint(truncate)")
        with written_whole(kept) as temporary, closing(sqlite3.connect(temporary)) as copy:
            database.backup(copy)
    # make another copy of the database, upgrade this copy, and replace the original by it: if the
    # process is killed during the upgrade, the original is unchanged
    with TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        with closing(sqlite3.connect(kept)) as database, closing(sqlite3.connect(fresh)) as copy:
            database.backup(copy)
        upgrade_tables(address_of(fresh))
        os.replace(fresh, path)  # noqa: PTH105
    return kept


def require_no_diversion(path: Path) -> None:
    """Refuse a database with a trigger (stored SQL) that could change where files are written.

    Such a trigger is recognised by the name of a column with file addresses. MLflow's own triggers
    name no such column: they protect secrets.

    Raises
    ------
    OutputError
        The database has such a trigger.
    """
    columns = {"artifact_location", *(column for _, _, column in ARTIFACT_COLUMNS)}
    with _opened(path) as database:
        try:
            triggers = database.execute(
                "select name, sql from sqlite_master where type = 'trigger'"
            ).fetchall()
        except sqlite3.DatabaseError:
            # the file is no database; MLflow itself raises a better error for it later
            return
    for name, statement in triggers:
        if any(column in statement.lower() for column in columns):
            raise OutputError(
                "database changes where files are written",
                where=path,
                rule="have no trigger that does",
                found=name,
                remedy="record elsewhere with --tracking-uri",
            )


def require_beside(path: Path, experiment: str, address: str) -> None:
    """Refuse an experiment whose files would be written outside the database's folder.

    Parameters
    ----------
    path : Path
        The database.
    experiment : str
        Name of the experiment.
    address : str
        Folder or server to which MLflow would write the files of its runs.

    Raises
    ------
    OutputError
        The address is a server, or a folder that is not below the database's folder.
    """
    parts = urlsplit(address)
    folder = path.parent.resolve()
    # an experiment that MLflow itself created has a plain path as address, without file://
    local = unquote(parts.path) if parts.scheme == "file" else address
    here = parts.scheme in ("", "file") and parts.netloc == ""
    if here and Path(local).resolve().is_relative_to(folder):
        return
    raise OutputError(
        f"files of experiment '{experiment}' would be written elsewhere",
        where=path,
        rule=f"lie below {folder}",
        found=address,
        remedy="give this one another name, or record elsewhere with --tracking-uri",
    )


def settle(path: Path) -> str | None:
    """In a copied or moved database, replace the old addresses of files by the new ones.

    MLflow stores absolute addresses. After a copy or move, new runs would be written to the old
    folder, and models would not be found. The old folder is known from the addresses of experiments
    that gzfeatures created. A run or model keeps its old address if its files exist only there.

    Parameters
    ----------
    path : Path
        The database; no other process may write to it during the change.

    Returns
    -------
    str or None
        Message for the user about the change; None if nothing was changed.
    """
    folder = path.parent.resolve() / ARTIFACTS
    with _opened(path) as database:
        try:
            experiments = database.execute(
                "select experiment_id, artifact_location from experiments"
            ).fetchall()
        except sqlite3.DatabaseError:
            return None
        old_addresses = {
            found[1]
            for _, address in experiments
            if (found := _OURS.fullmatch(address or "")) and found[1] != folder.as_uri()
        }
        if old_addresses:
            require_columns(database, path)
        for old in sorted(old_addresses):
            old_folder = Path(unquote(urlsplit(old).path))
            for number, address in experiments:
                if address.startswith(f"{old}/"):
                    moved = folder.as_uri() + address.removeprefix(old)
                elif address.startswith(f"{old_folder.parent}/"):
                    # an experiment that MLflow itself created has a plain path as address, without
                    # file://
                    moved = str(folder.parent / address.removeprefix(f"{old_folder.parent}/"))
                else:
                    continue
                database.execute(
                    "update experiments set artifact_location = ? where experiment_id = ?",
                    (moved, number),
                )
            for table, key, column in ARTIFACT_COLUMNS:
                rows = database.execute(
                    f"select {key}, {column} from {table} where substr({column}, 1, ?) = ?",
                    (len(old) + 1, f"{old}/"),
                ).fetchall()
                for number, place in rows:
                    rest = place.removeprefix(old)
                    arrived = (folder / unquote(rest).lstrip("/")).exists()
                    if arrived or not (old_folder / unquote(rest).lstrip("/")).exists():
                        moved = folder.as_uri() + rest
                        database.execute(
                            f"update {table} set {column} = ? where {key} = ?", (moved, number)
                        )
        database.commit()
    if not old_addresses:
        return None
    places = ", ".join(
        str(Path(unquote(urlsplit(old).path)).parent) for old in sorted(old_addresses)
    )
    return f"{path} was copied or moved from {places}: its runs and models lie in {folder} now"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
        yield connection
