"""EmbeddingTable: ids, image digests and vectors with their provenance; Parquet in and out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError, reading, require_format
from gzfeatures.features.extractor import FORMAT
from gzfeatures.features.extractor import Extractor as Extractor
from gzfeatures.features.matrices import Matrix, room, take
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import existing, written_whole
from gzfeatures.galaxies.groups import SAME_FILE, Grouping, key_groups
from gzfeatures.galaxies.ids import Ids, among, as_ids, positions, require_unique
from gzfeatures.outputs import seal_parquet

DAMAGED = "table is damaged"
COLUMNS = ("galaxy_id", "image_sha256", "embedding")
GROUP_ROWS = 8192
"""Rows of a row group: 64 MB of 2048 numbers each."""


@dataclasses.dataclass(frozen=True)
class Made:
    """How a table came about; not stored with it: all zero for a table that was read.

    Parameters
    ----------
    computed, reused : int
        Rows computed now, and rows found in the store.
    seconds : float
        Wall time of the whole extraction.
    images_per_second : float
        Rate of the computed rows once the network was ready; 0 where none was computed.
    """

    computed: int = 0
    reused: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Vectors of galaxies, from one extractor.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    digests : ndarray of str objects
        Sha256 of each image's bytes, shape (n,).
    matrix : ndarray of float32
        Shape (n, dim), finite.
    extractor : Extractor
        Where the vectors come from.
    skipped : tuple of (id, reason)
        Galaxies asked for that have no vector.
    made : Made
        How an extraction that just ran went.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, or a value is not finite.
    """

    ids: Ids
    digests: npt.NDArray[np.object_]
    matrix: npt.NDArray[np.float32]
    extractor: Extractor
    skipped: tuple[tuple[str, str], ...] = ()
    made: Made = Made()

    def __post_init__(self) -> None:
        require_unique(self.ids, where="embedding table")
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.ids) or len(self.digests) != len(self.ids):
            raise InputError("embedding matrix", rule=f"have one row per id ({len(self.ids)})", found=self.matrix.shape)
        if not np.isfinite(self.matrix.sum()) and not np.isfinite(self.matrix).all():
            row = int(np.argmin(np.isfinite(self.matrix).all(1)))
            raise InputError("embedding is not finite", where=self.ids[row], rule="hold no NaN or infinity")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.matrix.shape[1])

    @property
    def seen(self) -> Ids:
        """Ids of its galaxies that the backbone was trained on: they may train heads, but are not scored."""
        return self.ids[TrainedOn.joined([self.extractor.trained_on]).contains(self.ids)]

    @property
    def grouping(self) -> Grouping:
        """Galaxies whose images are the same file, byte for byte: a split must not part them."""
        return Grouping().joined(SAME_FILE, key_groups(self.ids, self.digests))

    @property
    def groups(self) -> Mapping[str, str]:
        """Id → smallest id with the same image, for galaxies whose image stands in the table more than once."""
        return self.grouping.groups

    def select(self, ids: Ids) -> EmbeddingTable:
        """Rows of these ids, in this order; an id without a row is an InputError."""
        rows = positions(self.ids, ids, where="embedding table")
        return dataclasses.replace(self, ids=ids, digests=self.digests[rows], matrix=take(self.matrix, rows))

    def write(self, path: str | Path) -> Path:
        """Write Parquet: `galaxy_id`, `image_sha256`, `embedding`; metadata key `gzfeatures`.

        Raises
        ------
        OutputError
            The place cannot be written; an existing file is left as it was.
        """
        with writer(path, self.extractor, self.skipped) as append:
            for start in range(0, len(self), GROUP_ROWS):
                part = slice(start, start + GROUP_ROWS)
                append(self.ids[part], self.digests[part], self.matrix[part])
        return Path(path)

    @classmethod
    def read(cls, path: str | Path) -> EmbeddingTable:
        """Read a whole table written by `write`.

        Raises
        ------
        MissingFileError, InputError
            No such file; not Parquet; no `gzfeatures` metadata; a newer format.
        """
        return cls.open(path).having(None)

    @staticmethod
    def open(path: str | Path) -> TableFile:
        """Open a table to be read batch by batch; raises as `read` does."""
        return TableFile(path)


class TableFile:
    """A table on disk that is read batch by batch, however many rows it has. Made by `EmbeddingTable.open`.

    Attributes
    ----------
    path : Path
    extractor : Extractor
    skipped : tuple of (id, reason)
    made : Made
        How an extraction that just ran went.
    """

    def __init__(self, path: str | Path, made: Made = Made()) -> None:
        self.path, self.made = existing(path, "embedding table"), made
        with reading("not a readable Parquet file", self.path), pq.ParquetFile(self.path) as file:
            schema, self._rows = file.schema_arrow, file.metadata.num_rows
            stored = {**(file.metadata.metadata or {}), **(schema.metadata or {})}.get(b"gzfeatures", b"null")
            note = json.loads(stored)
        if not isinstance(note, dict) or not set(COLUMNS) <= set(schema.names):
            raise InputError(
                "not an embedding table",
                where=self.path,
                rule=f"have columns {', '.join(COLUMNS)} and metadata key gzfeatures",
                found=", ".join(schema.names),
                remedy="write it with 'gzfeatures extract'",
            )
        with reading("record of the table cannot be read", self.path):
            require_format("table", note.get("format", 0), FORMAT, self.path)
            self.extractor = Extractor.fromdict(note.get("extractor", {}))
            self.skipped = tuple((str(name), str(reason)) for name, reason in note.get("skipped", []))
        kind = schema.field("embedding").type
        if not pa.types.is_fixed_size_list(kind) or kind.list_size != self.extractor.dim:
            raise InputError(
                "embedding column", where=self.path, rule=f"hold lists of {self.extractor.dim} numbers", found=str(kind)
            )

    def __len__(self) -> int:
        return int(self._rows)

    def batches(self, rows: int = GROUP_ROWS) -> Iterator[EmbeddingTable]:
        """The table in order, at most `rows` rows at a time.

        Raises
        ------
        InputError
            A page is damaged, ids repeat within a batch, or a value is not finite.
        """
        for part in self._read(COLUMNS, rows):
            with reading(DAMAGED, self.path):
                names, digests, matrix = _texts(part[COLUMNS[0]]), _texts(part[COLUMNS[1]]), self._vectors(part)
            yield self._table(names, digests, matrix)

    def having(self, ids: Ids | None) -> EmbeddingTable:
        """Rows of those of `ids` that have one, or all rows for None, in the order of the file.

        No other rows are held, and where these would take much of the machine's memory they lie in a file (see
        `matrices.room`).

        Raises
        ------
        InputError
            As `batches` does.
        OutputError
            The disk has no room for that file.
        """
        with reading(DAMAGED, self.path):
            names, digests = (
                np.concatenate([np.empty(0, dtype=object), *(_texts(part[name]) for part in self._read([name]))])
                for name in COLUMNS[:2]
            )
            kept = np.ones(len(names), dtype=bool) if ids is None else among(names, ids)
            matrix = room(int(kept.sum()), self.extractor.dim)
            read = filled = 0
            for part in self._read(COLUMNS[2:]):
                vectors = self._vectors(part)[kept[read : read + len(part)]]
                matrix[filled : filled + len(vectors)] = vectors
                read, filled = read + len(part), filled + len(vectors)
            if not len(names) == len(digests) == read:
                raise ValueError(f"columns of {len(names)}, {len(digests)} and {read} rows")
            names, digests = names[kept], digests[kept]
        return self._table(names, digests, matrix)

    def _read(self, columns: Sequence[str], rows: int = GROUP_ROWS) -> Iterator[pa.RecordBatch]:
        verified = {"memory_map": True, "page_checksum_verification": True}
        with reading(DAMAGED, self.path), pq.ParquetFile(self.path, **verified) as file:
            yield from file.iter_batches(rows, columns=list(columns))

    def _vectors(self, rows: pa.RecordBatch) -> Matrix:
        values = rows[COLUMNS[2]].flatten().to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float32).reshape(len(rows), self.extractor.dim)

    def _table(self, names: Ids, digests: Ids, matrix: Matrix) -> EmbeddingTable:
        return EmbeddingTable(as_ids(names, where=self.path), digests, matrix, self.extractor, self.skipped)


def _texts(column: pa.Array) -> Ids:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)


@contextmanager
def writer(
    path: str | Path, extractor: Extractor, skipped: Sequence[tuple[str, str]]
) -> Iterator[Callable[[Ids, npt.NDArray[np.object_], npt.NDArray[np.float32]], None]]:
    """Write a table row group by row group; the file appears whole at the end.

    Parameters
    ----------
    path : str or Path
    extractor : Extractor
        Where the vectors come from.
    skipped : sequence of (id, reason)
        Galaxies that have no vector.

    Yields
    ------
    callable
        Appends ids (n,), digests (n,) and vectors (n, dim) as one row group.

    Raises
    ------
    OutputError
        The place cannot be written, or the disk is full; an existing file is left as it was.
    """
    note = {"format": FORMAT, "extractor": extractor.asdict(), "skipped": [list(pair) for pair in skipped]}
    kinds = (pa.string(), pa.string(), pa.list_(pa.float32(), extractor.dim))
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)), {"gzfeatures": json.dumps(note)})
    with (
        written_whole(Path(path)) as temporary,
        pq.ParquetWriter(
            temporary, schema, use_dictionary=["image_sha256"], compression="zstd", write_page_checksum=True
        ) as file,
    ):

        def append(ids: Ids, digests: npt.NDArray[np.object_], matrix: npt.NDArray[np.float32]) -> None:
            values = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
            vectors = pa.FixedSizeListArray.from_arrays(values, extractor.dim)
            columns = [pa.array(ids, pa.string()), pa.array(digests, pa.string()), vectors]
            file.write_batch(pa.record_batch(columns, schema=schema))

        yield append
        seal_parquet(file, temporary)
