"""Join catalogs that are stored in sky partitions (HATS), one partition at a time."""

from __future__ import annotations

from pathlib import Path

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog_join import MATCHED, JoinKind, Rows
from gzfeatures.galaxies.hats_catalogs.folder import HatsFolder
from gzfeatures.galaxies.hats_catalogs.output import ENDING, source_in_memory
from gzfeatures.galaxies.hats_catalogs.partitioned_join import (
    PartitionedReport,
    hats_joined,
    hats_joined_sky,
)
from gzfeatures.galaxies.hats_catalogs.partner_search import PartitionedSource, Source
from gzfeatures.tablefiles.arrow_file import catalog_root
from gzfeatures.verbs.catalogs import described_rows
from gzfeatures.verbs.inputs import Place


def is_partitioned(path: Place) -> bool:
    """Return whether a path is a HATS catalog or a collection of HATS catalogs."""
    return Path(path).is_dir() and catalog_root(Path(path))[1]


def stays_partitioned(catalog: Place, output: Place) -> bool:
    """Return whether catalog and output are both HATS: then partitions are joined one by one."""
    return Path(output).suffix == ENDING and is_partitioned(catalog)


def join_partitions(
    catalog: Place,
    other: Place | Rows,
    output: Place,
    *,
    on: str | None = None,
    sky: float | None = None,
    kind: JoinKind = MATCHED,
    seed: int = 0,
) -> PartitionedReport:
    """Join a HATS catalog with another catalog, by key or position, into a new HATS catalog.

    The columns of the first catalog keep their stored types. The second catalog is read into memory
    as a whole if it is no HATS catalog, or if it is joined by a key.

    Parameters
    ----------
    catalog : str or Path
        Folder of the HATS catalog.
    other : str, Path or Rows
        Second catalog, whose columns are added: a HATS catalog or any table.
    output : str or Path
        Folder to write, which must not exist yet.
    on : str, optional
        Key column in both catalogs: `object_id=galaxy_id`, or one name for both.
    sky : float, optional
        Instead of a key: two galaxies match if each is the other's nearest, also across borders of
        partitions, and their separation is at most this number of arcsec.
    kind : JoinKind
        Which galaxies are kept, and how columns with the same name are renamed.
    seed : int
        Seed that draws galaxies whose shifted positions show how many pairs match by chance.

    Returns
    -------
    PartitionedReport
        Numbers of galaxies that matched and that did not.

    Raises
    ------
    InputError
        A key column is absent, no galaxies match, or a catalog is damaged.
    MissingExtraError, OutputError
        The package hats is not installed; the output exists already.

    Examples
    --------
    >>> join_partitions("a.hats", "b.hats", "both.hats", sky=1.5).matched  # doctest: +SKIP
    """
    if (on is None) == (sky is None):
        raise InputError("join", rule="have a key or a separation on the sky, one of them")
    folder, path = HatsFolder.open(catalog), Path(output)
    if sky is not None:
        source: Source
        if isinstance(other, Rows):
            source = source_in_memory(other.frame, other.source)
        elif is_partitioned(other):
            source = PartitionedSource(HatsFolder.open(other))
        else:
            source = source_in_memory(described_rows(other, ()).frame, str(other))
        return hats_joined_sky(folder, source, sky, path, kind, seed)
    left, _, right = str(on).partition("=")
    right = right or left
    rows = other if isinstance(other, Rows) else described_rows(other, (right,))
    return hats_joined(folder, rows, (left, right), path, kind)
