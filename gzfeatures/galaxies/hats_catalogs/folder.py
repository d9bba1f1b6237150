"""Read a HATS catalog from disk, one partition of the sky at a time."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError, parsing
from gzfeatures.files import join_inside, require_file
from gzfeatures.galaxies.hats_catalogs.partition import (
    FINEST,
    INDEX,
    Partition,
    Vectors,
    angles,
    known_vectors,
)
from gzfeatures.tablefiles.arrow_file import PROPERTIES, catalog_root, parquet_files
from gzfeatures.tablefiles.parquet_size import require_memory
from gzfeatures.tablefiles.raw_table import storage

PLACE_COLUMNS = (INDEX, "Norder", "Dir", "Npix")
"""Columns that say where a row lies in a HATS catalog, and nothing about the galaxy."""

_PLACE = re.compile(r"Norder=(\d{1,2})/Dir=\d+/Npix=(\d+)(?:\.parquet|/.*)", re.ASCII)


@dataclasses.dataclass(frozen=True, eq=False)
class HatsFolder:
    """List the partitions of a HATS catalog on disk (IVOA Note HATS 1.0), with their files.

    Parameters
    ----------
    root : Path
        Folder of the catalog; of a collection, that of its primary catalog.
    name : str
        Name of the catalog, as the catalog itself states it.
    ra, dec : str
        Names of the columns with positions in degrees.
    files : dict of Partition to list of Path
        Files of each partition; partitions in the order of `INDEX` (HEALPix number of order 29).
    """

    root: Path
    name: str
    ra: str
    dec: str
    files: dict[Partition, list[Path]]

    @classmethod
    def open(cls, path: str | Path) -> HatsFolder:
        """Find the files of a HATS catalog's partitions; skip other files, such as summaries.

        Raises
        ------
        MissingFileError
            The folder does not exist.
        InputError
            The folder is no HATS catalog, does not name its columns of positions, or has two
            partitions that overlap.
        """
        folder = require_file(path, "catalog")
        with parsing("catalog cannot be read", folder):
            root, hats = catalog_root(folder) if folder.is_dir() else (folder, False)
        if not hats:
            raise InputError(
                "no HATS catalog",
                where=path,
                rule=f"be a folder with {' or '.join(PROPERTIES)}",
                remedy="make one: gzfeatures check CATALOG -o NAME.hats",
            )
        base = root.parent if root.name == "dataset" else root
        said = _properties(base)
        ra, dec = (said.get(f"hats_col_{axis}", "") for axis in ("ra", "dec"))
        if not (ra and dec):
            raise InputError(
                "HATS catalog does not say where its positions are",
                where=base,
                rule="name hats_col_ra and hats_col_dec in hats.properties",
                found=", ".join(sorted(said)),
            )
        files: dict[Partition, list[Path]] = {}
        for file in sorted(parquet_files(root, hats=True)):
            if found := _PLACE.fullmatch(file.relative_to(root).as_posix()):
                partition = Partition(int(found[1]), int(found[2]))
                if partition.order > FINEST or partition.pixel >= 12 * 4**partition.order:
                    raise InputError(
                        "no such part of the sky",
                        where=file,
                        rule=f"be a pixel of an order of 0 to {FINEST}",
                        found=f"pixel {partition.pixel} of order {partition.order}",
                    )
                files.setdefault(partition, []).append(file)
        if not files:
            raise InputError("folder holds no Parquet files", where=path, remedy="name a file")
        files = dict(sorted(files.items(), key=lambda item: item[0].range))
        _require_apart(list(files), base)
        return cls(base, said.get("obs_collection", base.name), ra, dec, files)

    def count(self, partition: Partition) -> int:
        """Return the number of rows of a partition, as stated in its Parquet files."""
        with parsing("catalog cannot be read", self.root, remedy="fetch it again"):
            return sum(pq.read_metadata(file).num_rows for file in self.files[partition])

    def rows(self, partition: Partition, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of a partition with the stored columns, in the order of the files.

        Raises
        ------
        InputError
            A file cannot be read, or its columns are not those of the partition's other files.
        """
        with parsing("catalog cannot be read", self.root, remedy="fetch it again"):
            inside = [
                join_inside(self.root, str(file.relative_to(self.root)))
                for file in self.files[partition]
            ]
            require_memory(inside, columns)
            parts = [pq.ParquetFile(file).read(columns) for file in inside]
            table = pa.concat_tables(parts)
        missing = [name for name in (self.ra, self.dec) if name not in table.column_names]
        if missing:
            raise InputError(
                "column of positions is missing",
                where=self.files[partition][0],
                rule=f"have {missing[0]}, as hats.properties says",
                found=", ".join(table.column_names[:12]),
            )
        return table

    def places(self, partition: Partition) -> Vectors:
        """Return sky positions of a partition's rows as unit vectors, shape (n, 3); NaN = unknown.

        Raises
        ------
        InputError
            A position lies outside its partition: a search around the partition would miss
            partners.
        """
        table = self.rows(partition, [self.ra, self.dec])
        ra, dec = (
            np.asarray(storage(table[name]).cast(pa.float64()).to_numpy())
            for name in (self.ra, self.dec)
        )
        vectors = known_vectors(ra, dec)
        centre, radius = partition.circle
        apart = angles(vectors, centre)
        if (outside := apart > radius).any():
            row = int(np.flatnonzero(outside)[0])
            raise InputError(
                "position lies outside of its partition",
                where=f"{self.files[partition][0]}, row {row}",
                rule=f"lie in pixel {partition.pixel} of order {partition.order}",
                found=f"{self.ra} {ra[row]}, {self.dec} {dec[row]}",
                remedy="build the catalog again: gzfeatures check CATALOG -o NAME.hats",
            )
        return vectors


def _properties(root: Path) -> dict[str, str]:
    """Return the entries of a HATS catalog's properties file as a dict."""
    file = next(root / name for name in PROPERTIES if (root / name).is_file())
    with parsing("properties of the catalog cannot be read", file):
        lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}


def _require_apart(partitions: list[Partition], root: Path) -> None:
    """Refuse partitions that overlap on the sky, because a row could be in two of them."""
    for first, second in itertools.pairwise(partitions):
        if second.range[0] < first.range[1]:
            raise InputError(
                "two partitions of the HATS catalog overlap",
                where=root,
                rule="cover each part of the sky once",
                found=f"{first.path} and {second.path}",
            )
