"""Write a joined catalog; from FITS to FITS, stored types and header cards are preserved."""

from __future__ import annotations

from pathlib import Path

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.ids import positions
from gzfeatures.tablefiles.described_output import extend_fits
from gzfeatures.tablefiles.tables import ID_COLUMNS, write_table

_FITS = (".fits", ".fit", ".fits.gz", ".fit.gz")


def write_joined(joined: Catalog, catalog: Catalog, path: Path) -> Path:
    """Write a joined catalog as .parquet, .csv, .csv.gz, .fits or .vot.

    Parameters
    ----------
    joined : Catalog
        The catalog that a join returned.
    catalog : Catalog
        First table of the join. If it was read from a FITS file and `path` ends in .fits, its
        stored rows are written with the added columns (see `described_output.extend_fits`).
    path : Path
        File.

    Raises
    ------
    InputError, OutputError
        As for `tables.write_table`.
    """
    source = Path(catalog.source)
    if path.suffix == ".fits" and source.name.lower().endswith(_FITS) and source.is_file():
        attrs = joined.frame.attrs
        added = joined.frame.drop(columns=[name for name in joined.frame if name in catalog.frame])
        added.attrs = attrs
        named_by = catalog.frame.attrs.get("id_column", "galaxy_id")
        rows = positions(catalog.ids, joined.ids, where=catalog.source)
        if extend_fits(source, (named_by, *ID_COLUMNS), rows, added, path):
            return path
    return write_table(joined.frame, path)
