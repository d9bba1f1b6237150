"""Write embedding tables to Parquet, one row group (block of rows) at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.features.extractor import FORMATS
from gzfeatures.features.extractor import Extractor as Extractor
from gzfeatures.features.shard import as_stored
from gzfeatures.features.trained_on import Pictures
from gzfeatures.files import written_whole
from gzfeatures.ids import Ids
from gzfeatures.images.picture_hash import BYTES
from gzfeatures.outputs import seal_parquet

COLUMNS = ("galaxy_id", "image_sha256", "embedding")
PICTURES = "picture_hash"
"""Name of the optional column of picture hashes, which tell whether images look alike."""
KINDS = {"float32": pa.float32(), "float16": pa.float16()}
"""Types of a table's numbers by the precision in which they are kept."""
GROUP_ROWS = 8192
"""Number of rows in a row group of a Parquet file: 64 MB for vectors of 2048 numbers."""


class Append(Protocol):
    """Append ids (n,), image sha256 (n,), vectors (n, dim), picture hashes (n, 64) to a table."""

    def __call__(
        self,
        ids: Ids,
        digests: npt.NDArray[np.object_],
        matrix: npt.NDArray[np.float32],
        pictures: Pictures | None = None,
    ) -> None:
        """Append the given rows to the embedding table that is being written."""


@contextmanager
def writer(
    path: str | Path,
    extractor: Extractor,
    skipped: Sequence[tuple[str, str]],
    *,
    pictures: bool = False,
    kind: str = "",
    nothing_shown: Sequence[tuple[str, str]] = (),
    framing: Mapping[str, Any] | None = None,
) -> Iterator[Append]:
    """Write an embedding table in row groups; the file appears completely or not at all.

    Parameters
    ----------
    path : str or Path
    extractor : Extractor
        Settings (network, layer, crop) that made the vectors.
    skipped : sequence of (id, reason)
        Galaxies that have no vector.
    pictures : bool
        Whether the table has a column of picture hashes.
    kind : str
        Kind of the catalog that the ids come from; empty if unknown.
    nothing_shown : sequence of (id, reason)
        Galaxies whose image shows no galaxy.
    framing : mapping, optional
        Columns that set the crop of each galaxy.

    Yields
    ------
    callable
        Appends rows as one row group.

    Raises
    ------
    OutputError
        The place cannot be written, or the disk is full; an existing file is left as it was.
    InputError
        A number is too large for the precision in which the extractor's vectors are stored.
    """
    note = {
        "format": FORMATS[extractor.stored],
        "extractor": extractor.asdict(),
        "skipped": [list(pair) for pair in skipped],
    }
    note |= {"catalog": kind} if kind else {}
    note |= {"nothing_shown": [list(pair) for pair in nothing_shown]} if nothing_shown else {}
    note |= {"framing": dict(framing)} if framing else {}
    kinds = (pa.string(), pa.string(), pa.list_(KINDS[extractor.stored], extractor.dim))
    fields = list(zip(COLUMNS, kinds, strict=True))
    if pictures:
        fields.append((PICTURES, pa.binary(2 * BYTES)))
    described = pictures
    schema = pa.schema(fields, {"gzfeatures": json.dumps(note)})
    # use Parquet's dictionary encoding only for image sha256, whose values repeat; zstd compresses
    # ids well, vectors little
    with (
        written_whole(Path(path)) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            use_dictionary=["image_sha256"],
            compression="zstd",
            write_page_checksum=True,
        ) as file,
    ):

        def append(
            ids: Ids,
            digests: npt.NDArray[np.object_],
            matrix: npt.NDArray[np.float32],
            pictures: Pictures | None = None,
        ) -> None:
            values = pa.array(as_stored(matrix, extractor.stored).reshape(-1))
            vectors = pa.FixedSizeListArray.from_arrays(values, extractor.dim)
            columns = [pa.array(ids, pa.string()), pa.array(digests, pa.string()), vectors]
            if described:
                columns.append(_picture_column(len(ids), pictures))
            file.write_batch(pa.record_batch(columns, schema=schema))

        yield append
        # a mark in the metadata says that gzfeatures wrote the whole file, so a later command may
        # replace it
        seal_parquet(file, temporary)


def _picture_column(rows: int, pictures: Pictures | None) -> pa.Array:
    """Return picture hashes as an Arrow column of 64 bytes each; zeros for unknown hashes."""
    hashes = np.zeros((rows, 2 * BYTES), dtype=np.uint8) if pictures is None else pictures
    data = pa.py_buffer(np.ascontiguousarray(hashes))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * BYTES), rows, [None, data])
