"""EmbeddingTable: ids, image digests and vectors with their provenance; Parquet in and out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.files import existing, written_whole
from gzfeatures.galaxies.ids import Ids, as_ids, positions, require_unique
from gzfeatures.images.views import View

FORMAT = 1
"""Raise when a reader of the old number would misread a new file; readers refuse a higher number."""


@dataclasses.dataclass(frozen=True)
class Extractor:
    """Everything that changes a vector, and nothing else.

    Parameters
    ----------
    backbone : str
        Name, for people; not part of the fingerprint.
    architecture : str
        Network that computes the vectors.
    weights : str
        Sha256 of the weights file, or `random:<seed>`.
    layer : str
        Node of the network whose output is the vector.
    dim : int
        Length of the vector.
    view : View
        Pixels the network sees.
    mean, std : three floats
        Normalisation of pixels in [0, 1].
    precision : {"float32", "bfloat16", "float16", "int8"}
        Arithmetic of the forward pass.
    engine : str
        Library that ran it.
    stride_on : {"conv1", "conv2"}
        Convolution of a bottleneck that carries the stride.
    trained_on : str, optional
        Training ids as written by `TrainedOn.encode`, if the weights were trained on galaxies.
    """

    backbone: str
    architecture: str
    weights: str
    layer: str
    dim: int
    view: View
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    precision: str = "float32"
    engine: str = "torch"
    stride_on: str = "conv2"
    trained_on: str | None = None

    def asdict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return fields

    @classmethod
    def fromdict(cls, fields: dict[str, Any]) -> Extractor:
        """Inverse of `asdict`; unknown or missing fields are an InputError."""
        try:
            fields = {**fields, "view": View(**fields["view"])}
            fields |= {key: tuple(fields[key]) for key in ("mean", "std") if key in fields}
            return cls(**fields)
        except (TypeError, KeyError) as error:
            raise InputError("extractor record cannot be read", found=str(error)) from None

    @property
    def fingerprint(self) -> str:
        """Sha256 of all that changes a vector (not the backbone's name, nor what it was trained on)."""
        fields = self.asdict()
        del fields["backbone"], fields["trained_on"]
        return fingerprint.of({**fields, "format": FORMAT})


@dataclasses.dataclass(frozen=True)
class Made:
    """How a table came about; not stored with it.

    Parameters
    ----------
    computed, reused : int
        Rows computed now, and rows found in the store.
    seconds : float
        Wall time of the whole extraction.
    images_per_second : float
        Rate of the computed rows once the network was ready; 0 where none was computed.
    """

    computed: int
    reused: int
    seconds: float
    images_per_second: float


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
    made : Made, optional
        How an extraction that just ran went; None for a table that was read.

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
    made: Made | None = None

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

    def select(self, ids: Ids) -> EmbeddingTable:
        """Rows of these ids, in this order; an id without a row is an InputError."""
        rows = positions(self.ids, ids, where="embedding table")
        return dataclasses.replace(self, ids=ids, digests=self.digests[rows], matrix=self.matrix[rows])

    def write(self, path: str | Path) -> Path:
        """Write Parquet: `galaxy_id`, `image_sha256`, `embedding`; metadata key `gzfeatures`.

        Raises
        ------
        OutputError
            The place cannot be written; an existing file is left as it was.
        """
        path = Path(path)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(self.matrix).reshape(-1)), self.dim)
        note = {"format": FORMAT, "extractor": self.extractor.asdict(), "skipped": [list(s) for s in self.skipped]}
        table = pa.table(
            {
                "galaxy_id": pa.array(self.ids, pa.string()),
                "image_sha256": pa.array(self.digests, pa.string()),
                "embedding": vectors,
            }
        ).replace_schema_metadata({"gzfeatures": json.dumps(note)})
        with written_whole(path) as temporary:
            pq.write_table(table, temporary, use_dictionary=["image_sha256"], compression="zstd")
        return path

    @classmethod
    def read(cls, path: str | Path) -> EmbeddingTable:
        """Read a table written by `write`.

        Raises
        ------
        MissingFileError, InputError
            No such file; not Parquet; no `gzfeatures` metadata; a newer format.
        """
        path = existing(path, "embedding table")
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError("not a readable Parquet file", where=path, found=str(error)) from None
        note = json.loads((table.schema.metadata or {}).get(b"gzfeatures", b"null"))
        missing = {"galaxy_id", "image_sha256", "embedding"} - set(table.column_names)
        if note is None or missing:
            raise InputError(
                "not an embedding table",
                where=path,
                rule="have columns galaxy_id, image_sha256, embedding and metadata key gzfeatures",
                found=", ".join(table.column_names),
                remedy="write it with 'gzfeatures extract'",
            )
        if note["format"] > FORMAT:
            raise InputError("table format is newer", where=path, rule=f"be at most {FORMAT}", found=note["format"])
        column = table["embedding"].combine_chunks()
        matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), column.type.list_size)
        return cls(
            as_ids(table["galaxy_id"].to_numpy(), where=path),
            table["image_sha256"].to_numpy().astype(object),
            matrix.astype(np.float32, copy=False),
            Extractor.fromdict(note["extractor"]),
            tuple((name, reason) for name, reason in note["skipped"]),
        )
