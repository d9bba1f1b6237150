"""The SQLite file of the runs, made whole."""

from __future__ import annotations

from pathlib import Path

from gzfeatures.files import written_whole


def make_database(path: Path) -> None:
    """Write a database with MLflow's schema and nothing in it.

    It appears whole or not at all: killed half way, MLflow's own steps to its schema cannot be taken again.

    Parameters
    ----------
    path : Path
        File to appear.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full.
    """
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    with written_whole(path) as temporary:
        engine = create_engine(f"sqlite:///{temporary}")
        try:
            _initialize_tables(engine)
        finally:
            engine.dispose()
