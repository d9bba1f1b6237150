"""Write embedding tables in the formats of other programs: npz, AnnData, Lance, CSV."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gzfeatures.errors import InputError, need, unknown
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.table_writer import COLUMNS
from gzfeatures.files import written_whole
from gzfeatures.tablefiles.tables import write_csv
from gzfeatures.tablefiles.whole_folder import written_whole_folder

VECTORS = "embedding"
"""Name of the vectors in every format; of one column per number, embedding_0, embedding_1, …"""


def export_table(table: EmbeddingTable, path: Path, format_: str | None = None) -> Path:
    """Write an embedding table in a format that another program reads.

    Parameters
    ----------
    table : EmbeddingTable
    path : Path
        File to write; a folder for Lance.
    format_ : {"npz", "h5ad", "lance", "csv"}, optional
        Format; by default the ending of the path.

        npz
            Arrays `galaxy_id`, `image_sha256` (texts), `embedding` (float32), and `gzfeatures`, the
            extractor as JSON.
        h5ad
            AnnData: `X`, `obs` with the ids as index, and the extractor in `uns`. It is written
            with h5py, so AnnData need not be installed.
        lance
            A folder with the columns of the embedding table; needs the extra `lance`.
        csv
            One column for each number, with the fewest digits that give back the same float32.

    Raises
    ------
    UnknownNameError, MissingExtraError, OutputError
        No such format; Lance is not installed; the place cannot be written.
    """
    kind = format_ or path.suffix.lower().removeprefix(".")
    if kind not in _WRITERS:
        raise unknown("format of vectors", kind or "none", list(_WRITERS))
    _WRITERS[kind](table, path)
    return path


def _provenance(table: EmbeddingTable) -> str:
    """Return a table's origin as JSON: extractor (network, layer, crop) and omitted galaxies."""
    return json.dumps({"extractor": table.extractor.asdict(), "skipped": list(table.skipped)})


def _npz(table: EmbeddingTable, path: Path) -> None:
    arrays: dict[str, Any] = {
        COLUMNS[0]: np.array(table.ids.tolist(), dtype=str),
        COLUMNS[1]: np.array(table.digests.tolist(), dtype=str),
        VECTORS: table.matrix,
        "gzfeatures": np.array(_provenance(table)),
    }
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
            # a fixed date makes two exports of one table equal, byte by byte
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as target:
                target.write(file.getbuffer())


def _h5ad(table: EmbeddingTable, path: Path) -> None:
    import h5py

    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        _encoded(file, "anndata", "0.1.0")
        file["X"] = table.matrix
        _encoded(file["X"], "array", "0.2.0")
        columns = {COLUMNS[1]: table.digests}
        _frame(file, "obs", "galaxy_id", table.ids, columns)
        names = np.array([f"{VECTORS}_{k}" for k in range(table.dim)], dtype=object)
        _frame(file, "var", "name", names, {})
        for group in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            _encoded(file.create_group(group), "dict", "0.1.0")
        file["uns"]["gzfeatures"] = _provenance(table)
        _encoded(file["uns"]["gzfeatures"], "string", "0.2.0")


def _frame(
    file: Any, name: str, index: str, values: np.ndarray, columns: dict[str, np.ndarray]
) -> None:
    """Write an HDF5 group in AnnData's form of a data frame (anndata.readthedocs.io)."""
    import h5py

    group = file.create_group(name)
    _encoded(group, "dataframe", "0.2.0")
    group.attrs["_index"] = index
    group.attrs["column-order"] = np.array(list(columns), dtype=h5py.string_dtype())
    for column, cells in {index: values, **columns}.items():
        group.create_dataset(column, data=cells.tolist(), dtype=h5py.string_dtype())
        _encoded(group[column], "string-array", "0.2.0")


def _encoded(entry: Any, kind: str, version: str) -> None:
    """Set the encoding attributes that AnnData requires of each HDF5 group and dataset."""
    entry.attrs["encoding-type"], entry.attrs["encoding-version"] = kind, version


def _csv(table: EmbeddingTable, path: Path) -> None:
    frame = pd.DataFrame({COLUMNS[0]: table.ids, COLUMNS[1]: table.digests})
    # leave the numbers float32: CSV then gets the shortest text that reads back as the same number,
    # while float64 would add needless digits
    numbers = pd.DataFrame(
        {f"{VECTORS}_{place}": table.matrix[:, place] for place in range(table.dim)}
    )
    write_csv(pd.concat([frame, numbers], axis=1), path)


def _lance(table: EmbeddingTable, path: Path) -> None:
    import pyarrow as pa

    lance = need("lance", extra="lance")
    if path.suffix != ".lance":
        raise InputError("folder of Lance", where=path, rule="end in .lance")
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(table.matrix).reshape(-1)), table.dim
    )
    columns = [pa.array(table.ids, pa.string()), pa.array(table.digests, pa.string()), vectors]
    metadata = {"gzfeatures": _provenance(table)}
    schema = pa.schema(
        [(COLUMNS[0], pa.string()), (COLUMNS[1], pa.string()), (COLUMNS[2], vectors.type)], metadata
    )
    with written_whole_folder(path, "folder of Lance") as temporary:
        lance.write_dataset(pa.table(columns, schema=schema), str(temporary), mode="create")


_WRITERS: dict[str, Callable[[EmbeddingTable, Path], None]] = {
    "npz": _npz,
    "h5ad": _h5ad,
    "lance": _lance,
    "csv": _csv,
}
"""Writer of each format."""
