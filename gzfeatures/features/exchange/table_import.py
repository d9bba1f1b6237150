"""Make an embedding table from vectors that another program wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.features.exchange.vector_columns import ForeignVectors
from gzfeatures.features.exchange.vector_files import read_vectors
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.ids import Ids, among
from gzfeatures.images.image_set import ImageSet

UNKNOWN_FILE = "0" * 64
"""Stands for the digest of an image that nobody has seen."""


@dataclasses.dataclass(frozen=True)
class VectorSource:
    """Name a file of vectors, and the columns that hold the galaxy ids and the vectors.

    Parameters
    ----------
    path : Path
        See `read_vectors` for the kinds of files.
    id_column, vector : str, optional
        Columns or arrays of ids and vectors; by default they are recognised.
    ids_file : Path, optional
        File with the galaxy ids, if the file of vectors has none.
    encoder : str, optional
        Name of the network that made the vectors. A head can be applied to a table whose encoder
        has the same name as in its training; without a name, only to vectors of the same file.
    on_bad : {"raise", "skip"}
        For a vector with NaN or infinity: raise an error, or leave the galaxy out and list it.
    """

    path: Path
    id_column: str | None = None
    vector: str | None = None
    ids_file: Path | None = None
    encoder: str | None = None
    on_bad: str = "raise"


def import_table(source: VectorSource, images: ImageSet | None = None) -> EmbeddingTable:
    """Return an embedding table with the vectors from a file that another program wrote.

    Parameters
    ----------
    source : VectorSource
    images : ImageSet, optional
        Images of the galaxies: their digests tell which galaxies share an image and which ones a
        backbone was trained on. Without them nothing is known of the images.

    Returns
    -------
    EmbeddingTable
        In the order of the file. Its extractor says that the vectors were imported.

    Raises
    ------
    MissingFileError, MissingExtraError, InputError
        For the reasons of `read_vectors`; a vector is not finite, or a galaxy has no image.
    """
    vectors = read_vectors(source.path, source.id_column, source.vector, source.ids_file)
    kept = np.asarray(np.isfinite(vectors.matrix).all(axis=1), dtype=bool)
    bad = vectors.ids[~kept]
    if len(bad) and source.on_bad == "raise":
        raise InputError(
            f"{len(bad)} of {len(kept)} vectors are not finite",
            where=f"{source.path}, {vectors.column}",
            rule="hold no NaN or infinity",
            found=", ".join(bad[:5]),
            remedy="some programs write NaN for an image with one bad pixel; "
            "--on-bad skip leaves these galaxies out",
        )
    if not kept.any():
        raise InputError("no vector is left", where=source.path)
    ids = vectors.ids[kept]
    return EmbeddingTable(
        ids,
        _digests(ids, images),
        np.ascontiguousarray(vectors.matrix[kept]),
        imported_extractor(source, vectors),
        tuple((name, "vector is not finite") for name in bad),
        pictures=None if images is None else images.select(ids).picture_hashes(),
        kind="" if images is None else images.kind,
    )


def imported_extractor(source: VectorSource, vectors: ForeignVectors) -> Extractor:
    """Return settings (extractor) of imported vectors: encoder's name or file's sha256, length."""
    file = source.path
    if source.encoder is not None and not source.encoder.strip():
        raise InputError("name of the encoder", rule="not be empty")
    # if the user names no encoder, the file's sha256 stands for it: only vectors of the same file
    # surely have the same encoder
    if source.encoder is not None:
        origin = source.encoder
    elif file.is_dir():
        parts = sorted(path for path in file.rglob("*") if path.is_file())
        origin = fingerprint.of([fingerprint.of_file(path) for path in parts])
    else:
        origin = fingerprint.of_file(file)
    return Extractor.imported(
        source.encoder or file.stem, origin, vectors.column, vectors.matrix.shape[1]
    )


def _digests(ids: Ids, images: ImageSet | None) -> npt.NDArray[np.object_]:
    """Return the sha256 of each galaxy's image file; zeros if no images were given."""
    if images is None:
        return np.full(len(ids), UNKNOWN_FILE, dtype=object)
    lacking = ids[~among(ids, images.ids)]
    if len(lacking):
        raise InputError(
            f"{len(lacking)} of {len(ids)} galaxies have no image",
            found=", ".join(lacking[:5]),
            remedy="leave --images out, or name the folder that holds them all",
        )
    return np.array(images.select(ids).digests(), dtype=object)
