"""Write a HATS catalog one partition at a time; the complete catalog appears, or none at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError, need
from gzfeatures.galaxies.catalogs.quantities import on_sky
from gzfeatures.galaxies.hats_catalogs.partition import INDEX, Partition, divided, index_of
from gzfeatures.tablefiles.raw_table import storage
from gzfeatures.tablefiles.whole_folder import written_whole_folder

MOST_ROWS = 1_000_000
"""Largest number of rows in a partition, unless more rows have the same position."""


class HatsWriter:
    """Write the partitions of a HATS catalog, and the metadata about all of them at the end.

    Parameters
    ----------
    root : Path
        Folder in which the files are written.
    name : str
        Name of the catalog, to store in its properties.
    ra, dec : str
        Columns of positions in degrees.
    """

    def __init__(self, root: Path, name: str, ra: str, dec: str) -> None:
        self._root, self._name, self._places = root, name, (ra, dec)
        self._partitions: list[Partition] = []
        self._schema: pa.Schema | None = None
        self.total = 0

    def add(self, partition: Partition, table: pa.Table) -> None:
        """Write the rows of a partition to a Parquet file, sorted by their position on the sky.

        Parameters
        ----------
        partition : Partition
            Pixel of the sky in which all rows lie.
        table : pyarrow.Table
            Columns as they are stored. The column `INDEX` is added if it is missing.

        Raises
        ------
        InputError
            The columns differ from those of the partitions written before.
        """
        if INDEX not in table.column_names:
            ra, dec = (np.asarray(storage(table[name]).to_numpy()) for name in self._places)
            table = table.append_column(INDEX, pa.array(index_of(ra, dec), pa.int64()))
        # sort stably, so that writing the same rows again gives the same bytes
        order = np.argsort(np.asarray(table[INDEX].to_numpy()), kind="stable")
        table = table.take(pa.array(order))
        if self._schema is None:
            self._schema = table.schema
        if table.schema != self._schema:
            raise InputError(
                "columns of two partitions differ",
                where=partition.path,
                rule=f"be {', '.join(self._schema.names)} of one type each",
                found=", ".join(table.schema.names),
                remedy="build the catalog again: gzfeatures check CATALOG -o NAME.hats",
            )
        file = self._root / "dataset" / partition.path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        self._partitions.append(partition)
        self.total += len(table)

    def finish(self) -> None:
        """Write the properties and summaries of a HATS catalog, with the library hats."""
        properties, catalog, pixels, metadata = (
            need(f"hats.{name}", extra="hats")
            for name in (
                "catalog.dataset.table_properties",
                "catalog",
                "pixel_math",
                "io.parquet_metadata",
            )
        )
        found = [pixels.HealpixPixel(each.order, each.pixel) for each in self._partitions]
        catalog.PartitionInfo.from_healpix(found).write_to_file(catalog_path=self._root)
        metadata.write_parquet_metadata(self._root)
        said: Any = properties.TableProperties(
            catalog_name=self._name,
            catalog_type="object",
            total_rows=self.total,
            ra_column=self._places[0],
            dec_column=self._places[1],
            healpix_column=INDEX,
            healpix_order=29,
            npix_suffix=".parquet",
        )
        said.to_properties_file(self._root)


@contextmanager
def new_catalog(path: Path, ra: str, dec: str) -> Iterator[HatsWriter]:
    """Yield a writer of a new HATS catalog; the catalog appears at `path` when it is complete.

    Parameters
    ----------
    path : Path
        Folder to write; it must not exist yet.
    ra, dec : str
        Columns of positions.

    Raises
    ------
    MissingExtraError
        The library hats is not installed.
    OutputError
        A file or folder `path` exists already, or it cannot be written.
    """
    need("hats", extra="hats")
    with written_whole_folder(path, "HATS catalog") as temporary:
        writer = HatsWriter(temporary, path.name.removesuffix(".hats"), ra, dec)
        yield writer
        writer.finish()


def write_hats(table: pa.Table, path: Path, ra: str, dec: str, most_rows: int = MOST_ROWS) -> Path:
    """Write a table as a HATS catalog with partitions of at most `most_rows` rows.

    Parameters
    ----------
    table : pyarrow.Table
        Columns in the types that are stored.
    path : Path
        Folder to write; it must not exist yet.
    ra, dec : str
        Columns of positions in degrees.
    most_rows : int
        Largest number of rows in a partition.

    Raises
    ------
    InputError
        A row has no position: it would lie in no partition.
    MissingExtraError, OutputError
        As for `new_catalog`.
    """
    places = [np.asarray(table[name].cast(pa.float64()).to_numpy()) for name in (ra, dec)]
    known = on_sky(*places)
    if not known.all():
        rows = np.flatnonzero(~known)
        raise InputError(
            "row without a position",
            where=f"{path}, row {rows[0]}",
            rule="have a place on the sky to lie in a HATS catalog",
            found=f"{len(rows)} of {len(known)} rows without",
            remedy="leave these rows out",
        )
    with new_catalog(path, ra, dec) as writer:
        if INDEX in table.column_names:
            table = table.drop_columns([INDEX])
        index = index_of(*places)
        order = np.argsort(index, kind="stable")
        sorted_rows = table.take(pa.array(order)).append_column(
            INDEX, pa.array(index[order], pa.int64())
        )
        for partition, start, stop in divided(index[order], most_rows):
            writer.add(partition, sorted_rows.slice(start, stop - start))
    return path
