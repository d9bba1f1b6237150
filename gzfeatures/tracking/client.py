"""Create, upgrade and relocate the SQLite database in which MLflow stores runs."""

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
"""Seconds that a writer of the SQLite database waits for a reader."""
ARTIFACTS = "artifacts"
_OURS = re.compile(rf"(file://.*/{ARTIFACTS})/[0-9a-f]{{12}}")
"""Address of artifacts of one of our experiments; the group is the folder of all artifacts."""


class NotRecorded(OutputError):
    """Raised if a database or server cannot be reached or written now, but perhaps later."""


class DamagedDatabase(OutputError):
    """Raised for a database file on this machine that SQLite cannot read."""


def is_damaged(path: Path) -> bool:
    """Return whether a file exists but is not an intact SQLite database."""
    if not path.is_file():
        return False
    try:
        with _opened(path) as database:
            answer: object = database.execute("pragma quick_check(1)").fetchone()
            return answer != ("ok",)
    except sqlite3.OperationalError:
        # an operational error means that the file is locked or may not be opened, not that it is
        # damaged
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
    """Remove the empty folder that MLflow creates when it misreads `%3F` in an address."""
    raw = Path(address.removeprefix(SQLITE).partition("?")[0]).parent
    stray = address.startswith(SQLITE) and "%" in str(raw) and not raw.exists()
    try:
        yield
    finally:
        if stray:
            with suppress(OSError):
                raw.rmdir()


def make_database(path: Path) -> None:
    """Write an empty SQLite database with MLflow's tables.

    It appears whole or not at all: killed half way, MLflow's own steps to its schema cannot be
    taken again.

    Parameters
    ----------
    path : Path
        File to appear.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    with written_whole(path) as temporary:
        create_tables(address_of(temporary))


def require_schema(path: Path, upgrade: bool) -> str | None:
    """Refuse a database of another MLflow version; upgrade an older one if the user allows.

    Parameters
    ----------
    path : Path
        The database.
    upgrade : bool
        Keep a copy of an older one beside it and give it the schema of the MLflow that is
        installed.

    Returns
    -------
    str or None
        What was done.

    Raises
    ------
    OutputError
        It is newer; or it is older, and no upgrade is wanted.
    """
    revision = _schema(path)
    if revision is None:
        return None
    newest, older = schemas()
    if revision == newest:
        return None
    rule = f"have schema {newest} of MLflow {version('mlflow')}"
    # an older MLflow cannot read or downgrade a newer schema
    if revision not in older:
        remedy = "pip install --upgrade mlflow, or record elsewhere with --tracking-uri"
        raise OutputError(
            "database is of a newer MLflow", where=path, rule=rule, found=revision, remedy=remedy
        )
    # an upgrade cannot be undone, so it needs the user's consent
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
    """Return the revision of MLflow's schema in a database file; None if it has none."""
    try:
        with _opened(path) as database:
            row = database.execute("select version_num from alembic_version").fetchone()
    except sqlite3.DatabaseError:
        # for a file that is not an MLflow database, MLflow itself raises a better error later
        return None
    return str(row[0]) if row else None


def _upgraded(path: Path, revision: str) -> Path:
    """Upgrade a database to the newest schema; return the path of a copy of the old one."""
    # an earlier upgrade may have left a copy of that name, which must not be overwritten
    names = (
        path.with_name(f"{path.stem}-{revision}{number}{path.suffix}")
        for number in ("", *range(2, 1000))
    )
    kept = next(name for name in names if not name.exists())
    # SQLite may keep the newest rows in a log file beside the database, which a copy of the
    # database file would miss
    with _opened(path) as database:
        database.execute("pragma wal_checkpoint(truncate)")
        with written_whole(kept) as temporary, closing(sqlite3.connect(temporary)) as copy:
            database.backup(copy)
    # upgrade a copy, so that a killed process leaves the original database unchanged
    with TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        with closing(sqlite3.connect(kept)) as database, closing(sqlite3.connect(fresh)) as copy:
            database.backup(copy)
        upgrade_tables(address_of(fresh))
        os.replace(fresh, path)  # noqa: PTH105
    return kept


def require_no_diversion(path: Path) -> None:
    """Refuse a database with a trigger (stored SQL) that could change where files are written.

    MLflow's own triggers guard secrets; none names a column of such addresses.

    Raises
    ------
    OutputError
        It has one.
    """
    columns = {"artifact_location", *(column for _, _, column in ARTIFACT_COLUMNS)}
    with _opened(path) as database:
        try:
            triggers = database.execute(
                "select name, sql from sqlite_master where type = 'trigger'"
            ).fetchall()
        except sqlite3.DatabaseError:
            # for a file that is not a database, MLflow itself raises a better error later
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
        Where MLflow would write the files of its runs.

    Raises
    ------
    OutputError
        That is a server, or a folder that is not below the database's.
    """
    parts = urlsplit(address)
    folder = path.parent.resolve()
    # addresses of experiments that MLflow itself made are plain paths, without a scheme such as
    # file://
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
    """Change the addresses in a copied or moved database to the files beside it.

    MLflow keeps absolute addresses. Those of experiments that were made here tell where the
    database lay then; new runs would be written there, and models of a moved project would not be
    found. A run or model whose files did not come along stays where it is as long as they are
    there.

    Parameters
    ----------
    path : Path
        The database; nobody else may write it meanwhile.

    Returns
    -------
    str or None
        What was done.
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
                    # addresses of experiments that MLflow itself made are plain paths, without a
                    # scheme such as file://
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
