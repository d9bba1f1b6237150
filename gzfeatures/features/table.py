"""Read, hold and write embedding tables: ids, image sha256, vectors, and how they were made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures._moved import renamed
from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.features.conversions.table_conversions import TableConversions
from gzfeatures.features.extractor import FORMATS
from gzfeatures.features.extractor import Extractor as Extractor
from gzfeatures.features.matrices import Matrix, allocate, take_rows
from gzfeatures.features.table_writer import COLUMNS, GROUP_ROWS, KINDS, PICTURES, writer
from gzfeatures.features.trained_on import Pictures, TrainedOn
from gzfeatures.files import require_file
from gzfeatures.galaxies.splits.related_galaxies import SAME_FILE, Grouping, key_groups
from gzfeatures.ids import Ids, among, as_ids, positions, require_id_column, require_unique
from gzfeatures.images.framing import FILE_DIGITS
from gzfeatures.images.picture_hash import BYTES

DAMAGED = "table is damaged"
READ_ROWS = 1024
"""Rows read at once into a matrix: an eighth of a row group needs less memory beside it."""


@dataclasses.dataclass(frozen=True)
class Made:
    """Store how many embeddings an extraction computed or took from the store, and its speed.

    All four numbers are 0 for an embedding table that was read from a file.

    Parameters
    ----------
    computed, reused : int
        Rows computed now, and rows found in the store.
    seconds : float
        Wall time of the whole extraction.
    images_per_second : float
        Computed rows per second, after the network was ready; 0 if no row was computed.
    """

    computed: int = 0
    reused: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class EmbeddingTable(TableConversions):
    """Hold one embedding per galaxy, all made by one extractor (same network, layer and crop).

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    digests : ndarray of str objects
        Sha256 of each image's bytes, shape (n,).
    matrix : ndarray of float32
        Shape (n, dim), finite.
    extractor : Extractor
        Settings (network, layer, crop) that made the vectors.
    skipped : tuple of (id, reason)
        Requested galaxies that have no vector, each with the reason.
    made : Made
        Number of rows and seconds of the extraction, if this process ran it.
    pictures : ndarray of uint8, optional
        Picture hashes, shape (n, 64); a row of zeros stands for an unknown hash. None if no hash
        is known.
    kind : str
        Kind of the catalog that the ids come from (see `kinds.KINDS`); empty if unknown.
    nothing_shown : tuple of (id, reason)
        Galaxies whose image shows no galaxy: it is blank, or most of its pixels are bad.
    framing : dict, optional
        Columns that set the crop of each galaxy (see `images.framing`); the crop is part of the
        image's digest. None if the crop is the same for all galaxies.

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
    pictures: Pictures | None = None
    kind: str = ""
    nothing_shown: tuple[tuple[str, str], ...] = ()
    framing: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        require_unique(self.ids, where="embedding table")
        if (
            self.matrix.ndim != 2
            or len(self.matrix) != len(self.ids)
            or len(self.digests) != len(self.ids)
        ):
            raise InputError(
                "embedding matrix",
                rule=f"have one row per id ({len(self.ids)})",
                found=self.matrix.shape,
            )
        if self.pictures is not None and self.pictures.shape != (len(self.ids), 2 * BYTES):
            raise InputError(
                "picture hashes",
                rule=f"have shape {(len(self), 2 * BYTES)}",
                found=self.pictures.shape,
            )
        # the sum is finite for almost every table, and needs less memory than a mask of all numbers
        if not np.isfinite(self.matrix.sum()) and not np.isfinite(self.matrix).all():
            row = int(np.argmin(np.isfinite(self.matrix).all(1)))
            raise InputError(
                "embedding is not finite", where=self.ids[row], rule="hold no NaN or infinity"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Return the length of an embedding."""
        return int(self.matrix.shape[1])

    @property
    def seen_ids(self) -> Ids:
        """Return ids of galaxies that the backbone was trained on; they are never scored."""
        return self.ids[self.among(TrainedOn.joined([self.extractor.trained_on]))]

    seen = renamed("seen", "seen_ids")

    def among(self, galaxies: TrainedOn) -> npt.NDArray[np.bool_]:
        """Return which rows belong to galaxies of a training set, shape (n,).

        Parameters
        ----------
        galaxies : TrainedOn
            Galaxies that a network was trained on.
        """
        return galaxies.contains(
            self.ids, files=self.digests, pictures=self.pictures, kind=self.kind
        )

    @property
    def file_keys(self) -> list[str]:
        """Return a text for each galaxy that equal image files share; empty if it is unknown."""
        # a sha256 of zeros means that the image file is unknown; where each galaxy has a crop of
        # its own, only the first digits depend on the file alone
        digits = None if self.framing is None else FILE_DIGITS
        return [str(digest)[:digits] if str(digest).strip("0") else "" for digest in self.digests]

    @property
    def grouping(self) -> Grouping:
        """Return groups of galaxies that share an image file; a split keeps each group together."""
        return Grouping().joined(SAME_FILE, key_groups(self.ids, self.file_keys))

    @property
    def groups(self) -> Mapping[str, str]:
        """Return, by galaxy id, the smallest id among galaxies with the same image file."""
        return self.grouping.groups

    def select(self, ids: Ids) -> EmbeddingTable:
        """Return the rows with the given ids, in the order of the ids; refuse a missing id.

        Parameters
        ----------
        ids : array of str
            Shape (m,).
        """
        rows = positions(self.ids, ids, where="embedding table")
        pictures = None if self.pictures is None else self.pictures[rows]
        return dataclasses.replace(
            self,
            ids=ids,
            digests=self.digests[rows],
            matrix=take_rows(self.matrix, rows),
            pictures=pictures,
            nothing_shown=_of_ids(self.nothing_shown, ids),
        )

    def write(self, path: str | Path) -> Path:
        """Write the embedding table as Parquet; its extractor (network, layer, crop) is metadata.

        Parameters
        ----------
        path : str or Path
            Parquet file.

        Raises
        ------
        OutputError
            The place cannot be written; an existing file is left as it was.
        """
        described = self.pictures is not None
        with writer(
            path,
            self.extractor,
            self.skipped,
            pictures=described,
            kind=self.kind,
            nothing_shown=self.nothing_shown,
            framing=self.framing,
        ) as append:
            for start in range(0, len(self), GROUP_ROWS):
                part = slice(start, start + GROUP_ROWS)
                pictures = None if self.pictures is None else self.pictures[part]
                append(self.ids[part], self.digests[part], self.matrix[part], pictures)
        return Path(path)

    @classmethod
    def read(cls, path: str | Path) -> EmbeddingTable:
        """Read a whole embedding table from a Parquet file.

        Parameters
        ----------
        path : str or Path
            Parquet file.

        Raises
        ------
        MissingFileError, InputError
            No such file; not Parquet; no `gzfeatures` metadata; a newer format.
        """
        return cls.open(path).having(None)

    @staticmethod
    def open(path: str | Path) -> TableFile:
        """Open an embedding table on disk, to read it batch by batch.

        Parameters
        ----------
        path : str or Path
            Parquet file.
        """
        return TableFile(path)


class TableFile:
    """Read an embedding table on disk batch by batch.

    Attributes
    ----------
    path : Path
    extractor : Extractor
    skipped : tuple of (id, reason)
    kind : str
        Kind of the catalog that the ids come from.
    nothing_shown : tuple of (id, reason)
    framing : dict, optional
        Columns that set the crop of each galaxy.
    made : Made
        Number of rows and seconds of the extraction, if this process ran it.
    """

    def __init__(self, path: str | Path, made: Made = Made()) -> None:
        self.path, self.made = require_file(path, "embedding table"), made
        with parsing("not a readable Parquet file", self.path), pq.ParquetFile(self.path) as file:
            schema, self._rows = file.schema_arrow, file.metadata.num_rows
            # pandas and Arrow keep metadata in the Arrow schema, other programs beside it in the
            # file's footer; if both have a key, that of the schema counts
            metadata = {**(file.metadata.metadata or {}), **(schema.metadata or {})}
            note = json.loads(metadata.get(b"gzfeatures", b"null"))
        if not isinstance(note, dict) or not set(COLUMNS) <= set(schema.names):
            raise InputError(
                "not an embedding table",
                where=self.path,
                rule=f"have columns {', '.join(COLUMNS)} and metadata key gzfeatures",
                found=", ".join(schema.names),
                remedy="write it with 'gzfeatures extract'",
            )
        with parsing("record of the table cannot be read", self.path):
            require_format("table", note.get("format", 0), max(FORMATS.values()), self.path)
            self.extractor = Extractor.fromdict(note.get("extractor", {}))
            self.skipped = tuple(
                (str(name), str(reason)) for name, reason in note.get("skipped", [])
            )
            self.kind = str(note.get("catalog", ""))
            self.nothing_shown = tuple(
                (str(name), str(reason)) for name, reason in note.get("nothing_shown", [])
            )
            self.framing = dict(note["framing"]) if note.get("framing") else None
        # batches are read as raw bytes of fixed lengths, so wrong column types would mix up
        # vectors: check them once
        self._described = PICTURES in schema.names
        width = schema.field(PICTURES).type if self._described else pa.binary(2 * BYTES)
        if width != pa.binary(2 * BYTES):
            raise InputError(
                f"column {PICTURES}",
                where=self.path,
                rule=f"hold {2 * BYTES} bytes",
                found=str(width),
            )
        kind = schema.field("embedding").type
        number = KINDS[self.extractor.stored]
        lists = pa.types.is_fixed_size_list(kind) and kind.list_size == self.extractor.dim
        # another program may have changed float32 to float64, which does no harm; but float16 has
        # fewer digits, so accept it only in tables that gzfeatures wrote as float16
        halves = lists and pa.types.is_float16(kind.value_type)
        if not lists or halves != pa.types.is_float16(number):
            raise InputError(
                "embedding column",
                where=self.path,
                rule=f"hold lists of {self.extractor.dim} numbers ({self.extractor.stored})",
                found=str(kind),
            )

    def __len__(self) -> int:
        return int(self._rows)

    def batches(self, rows: int = GROUP_ROWS) -> Iterator[EmbeddingTable]:
        """Yield the embedding table in order, at most `rows` rows at a time.

        Raises
        ------
        InputError
            A page is damaged, ids repeat within a batch, or a value is not finite.
        """
        for part in self._read((*COLUMNS, *([PICTURES] if self._described else [])), rows):
            with parsing(DAMAGED, self.path):
                names, digests = _texts(part[COLUMNS[0]]), _texts(part[COLUMNS[1]])
                matrix = self._vectors(part)
                pictures = _hashes(part[PICTURES]) if self._described else None
            yield self._table(names, digests, matrix, pictures)

    def having(self, ids: Ids | None) -> EmbeddingTable:
        """Return the table rows with the given ids (all rows for None), in the file's order.

        Only these rows are kept: in memory or, if they are many, in a temporary file (see
        `matrices.allocate`).

        Raises
        ------
        InputError
            For the reasons of `batches`.
        OutputError
            The disk has no room for the temporary file.
        """
        with parsing(DAMAGED, self.path):
            # read the ids first, because they tell how much memory the vectors of the wanted
            # galaxies need
            names, digests = (self._column(name) for name in COLUMNS[:2])
            kept = np.ones(len(names), dtype=bool) if ids is None else among(names, ids)
            pictures = None
            if self._described:
                parts = [_hashes(part[PICTURES]) for part in self._read([PICTURES])]
                pictures = np.concatenate([np.empty((0, 2 * BYTES), dtype=np.uint8), *parts])[kept]
            matrix = allocate(int(kept.sum()), self.extractor.dim)
            read = filled = 0
            for part in self._read(COLUMNS[2:], READ_ROWS):
                vectors = self._vectors(part)[kept[read : read + len(part)]]
                matrix[filled : filled + len(vectors)] = vectors
                read, filled = read + len(part), filled + len(vectors)
            # a truncated file can hold columns of different lengths, which would combine ids with
            # wrong vectors
            if not len(names) == len(digests) == read:
                raise ValueError(f"columns of {len(names)}, {len(digests)} and {read} rows")
            names, digests = names[kept], digests[kept]
        return self._table(names, digests, matrix, pictures)

    def hashes(self) -> tuple[Ids, Pictures | None]:
        """Return galaxy ids (n,) and picture hashes (n, 64); None if the file has no hashes."""
        names = [COLUMNS[0], *([PICTURES] if self._described else [])]
        parts = list(self._read(names))
        ids = np.concatenate(
            [np.empty(0, dtype=object), *(_texts(part[COLUMNS[0]]) for part in parts)]
        )
        if not self._described:
            return as_ids(ids, where=self.path), None
        kept = [_hashes(part[PICTURES]) for part in parts]
        return as_ids(ids, where=self.path), np.concatenate(
            [np.empty((0, 2 * BYTES), dtype=np.uint8), *kept]
        )

    def names(self) -> Ids:
        """Return the galaxy ids of the file, shape (n,); refuse repeated ids."""
        ids = as_ids(self._column(COLUMNS[0]), where=self.path)
        require_unique(ids, where="embedding table")
        return ids

    def id_column(self) -> pa.ChunkedArray:
        """Return the galaxy ids of the file as an Arrow column, n strings; refuse repeated ids."""
        with parsing(DAMAGED, self.path):
            parts = [part[COLUMNS[0]] for part in self._read(COLUMNS[:1])]
            column = pa.chunked_array(parts, pa.string())
            column.validate(full=True)
        require_id_column(column, where=self.path)
        return column

    def matrices(self, rows: int = GROUP_ROWS) -> Iterator[Matrix]:
        """Yield the vectors without ids, in order, at most `rows` at a time, shape (r, dim)."""
        for part in self._read(COLUMNS[2:], rows):
            with parsing(DAMAGED, self.path):
                yield self._vectors(part)

    def vectors_of(self, rows: npt.NDArray[np.intp]) -> Matrix:
        """Return the vectors with the given row numbers; read only their Parquet row groups."""
        taken = np.empty((len(rows), self.extractor.dim), dtype=np.float32)
        verified = {"memory_map": True, "page_checksum_verification": True}
        with parsing(DAMAGED, self.path), pq.ParquetFile(self.path, **verified) as file:
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            ends = np.cumsum(sizes)
            for group in np.unique(np.searchsorted(ends, rows, side="right")):
                here = np.flatnonzero((rows >= ends[group] - sizes[group]) & (rows < ends[group]))
                # with a batch size equal to the number of rows in the group, Arrow returns the
                # group as one batch
                batches = file.iter_batches(
                    sizes[group], row_groups=[int(group)], columns=list(COLUMNS[2:])
                )
                matrix = np.concatenate([self._vectors(part) for part in batches])
                taken[here] = matrix[rows[here] - (ends[group] - sizes[group])]
        return taken

    def _column(self, name: str) -> Ids:
        """Return one whole text column of the file, shape (n,)."""
        parts = [_texts(part[name]) for part in self._read([name])]
        return np.concatenate([np.empty(0, dtype=object), *parts])

    def _read(self, columns: Sequence[str], rows: int = GROUP_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the named columns batch by batch; raise an error for a wrong checksum."""
        verified = {"memory_map": True, "page_checksum_verification": True}
        with parsing(DAMAGED, self.path), pq.ParquetFile(self.path, **verified) as file:
            yield from file.iter_batches(rows, columns=list(columns))

    def _vectors(self, rows: pa.RecordBatch) -> Matrix:
        """Return the embeddings of a batch of rows, shape (n, dim)."""
        values = rows[COLUMNS[2]].flatten().to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float32).reshape(len(rows), self.extractor.dim)

    def _table(
        self, names: Ids, digests: Ids, matrix: Matrix, pictures: Pictures | None
    ) -> EmbeddingTable:
        """Return rows of this file as an embedding table, with the file's network, layer, crop."""
        ids = as_ids(names, where=self.path)
        return EmbeddingTable(
            ids,
            digests,
            matrix,
            self.extractor,
            self.skipped,
            pictures=pictures,
            kind=self.kind,
            nothing_shown=_of_ids(self.nothing_shown, ids),
            framing=self.framing,
        )


def _of_ids(listed: tuple[tuple[str, str], ...], ids: Ids) -> tuple[tuple[str, str], ...]:
    """Return those pairs (id, why the image shows no galaxy) whose id is among the given ids."""
    if not listed:
        return listed
    chosen = set(ids)
    return tuple(pair for pair in listed if pair[0] in chosen)


def _texts(column: pa.Array) -> Ids:
    """Return an Arrow column of text as an array of Python strings, shape (n,)."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)


def _hashes(column: pa.Array) -> Pictures:
    """Return picture hashes of an Arrow column, shape (n, 64), with zeros for null."""
    filled = column.fill_null(bytes(2 * BYTES)) if column.null_count else column
    # an Arrow slice shares the buffer of its whole column, so begin at the slice's offset
    start = filled.offset * 2 * BYTES
    stop = start + len(filled) * 2 * BYTES
    return (
        np.frombuffer(filled.buffers()[1], dtype=np.uint8)[start:stop]
        .reshape(len(filled), -1)
        .copy()
    )
