"""Search an embedding table for galaxies like given examples: ids, image files or files of ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.explore.examples import rank_by_examples
from gzfeatures.explore.nearest import require_neighbours
from gzfeatures.features.exchange.vector_files import ids_of_file
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.matrices import BLOCK
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.ids import Ids, as_ids, positions
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.reading import Reading

Matrix = npt.NDArray[np.float32]
FILES_OF_IDS = frozenset(
    {".csv", ".txt", ".parquet", ".feather", ".fits", ".vot", ".xml", ".ecsv", ".gz"}
)
"""Endings of files that are read as lists of ids; a file with another ending is an image."""


def similar_to_examples(
    table: EmbeddingTable | TableFile,
    like: Sequence[str | Path],
    unlike: Sequence[str | Path],
    k: int,
    *,
    metric: str = "euclidean",
    reading: Reading | None = None,
) -> pd.DataFrame:
    """Find galaxies of a table that are similar to examples and different from counterexamples.

    Parameters
    ----------
    table : EmbeddingTable or TableFile
        Embeddings to search; a file is read block by block.
    like, unlike : sequence of str or Path
        Examples and counterexamples: ids of the table, image files or files of ids.
    k : int
        Number of galaxies to return.
    metric : {"euclidean", "cosine"}
        Distance by which embeddings are compared.
    reading : Reading, optional
        Options for reading image files.

    Returns
    -------
    DataFrame
        `galaxy_id`, `rank` from 1, `distance`, `score` (see `rank_by_examples`).

    Raises
    ------
    InputError
        An example is neither an id nor a file; an id is both in `like` and in `unlike`; the table
        has fewer than `k` other galaxies; or embeddings of images cannot be computed as those of
        the table were.
    """
    names = table.ids if isinstance(table, EmbeddingTable) else table.names()
    wanted, strange = (_sorted_out(part, names) for part in (like, unlike))
    both = sorted({*wanted.ids} & {*strange.ids})
    if both:
        raise InputError("example", rule="be like or unlike, not both", found=both[0])
    rows = [positions(names, part.ids, where="embedding table") for part in (wanted, strange)]
    examples = np.concatenate(rows)
    require_neighbours(k, len(names) - len(examples), own=False)
    vectors = [
        np.concatenate([_vectors(table, these), *_of_images(part.files, table.extractor, reading)])
        for these, part in zip(rows, (wanted, strange), strict=True)
    ]
    if isinstance(table, EmbeddingTable):
        matrix = table.matrix
        blocks = (matrix[start : start + BLOCK] for start in range(0, len(matrix), BLOCK))
    else:
        blocks = table.matrices()  # type: ignore[assignment]
    found, distances, scores = rank_by_examples(
        blocks, vectors[0], vectors[1], k, examples=examples, metric=metric
    )
    return pd.DataFrame(
        {
            "galaxy_id": names[found],
            "rank": np.arange(1, len(found) + 1),
            "distance": distances,
            "score": scores,
        }
    )


class _Examples:
    """Store the examples of a search: ids of galaxies in the table, and image files."""

    def __init__(self) -> None:
        self.ids: Ids = np.zeros(0, dtype=object)
        self.files: list[Path] = []


def _sorted_out(examples: Sequence[str | Path], names: Ids) -> _Examples:
    """Separate examples into ids and image files; a text counts as an id if the table has it."""
    known, sorted_out, ids = set(names), _Examples(), []
    for example in examples:
        if str(example) in known and not isinstance(example, Path):
            ids.append(str(example))
        elif Path(example).suffix.lower() in FILES_OF_IDS and Path(example).exists():
            ids += list(ids_of_file(example))
        elif Path(example).is_file():
            sorted_out.files.append(Path(example))
        else:
            raise InputError(
                "example",
                rule="be an id of the table, an image file or a file of ids",
                found=str(example),
            )
    if ids:
        sorted_out.ids = as_ids(list(dict.fromkeys(ids)))
    return sorted_out


def _vectors(table: EmbeddingTable | TableFile, rows: npt.NDArray[np.intp]) -> Matrix:
    """Return the embeddings in the given rows of a table, shape (len(rows), dim)."""
    if isinstance(table, EmbeddingTable):
        return np.asarray(table.matrix[rows], dtype=np.float32)
    return table.vectors_of(rows)


def _of_images(
    paths: Sequence[Path], extractor: Extractor, reading: Reading | None
) -> list[Matrix]:
    """Yield each image file's embedding, shape (1, dim), computed as those of the table were."""
    if not paths:
        return []
    # import only here: the import loads PyTorch for seconds, and a search with ids needs no network
    from gzfeatures.errors import NETWORK, require_packages
    from gzfeatures.features.store import Store
    from gzfeatures.networks.extraction.extract import compute_table
    from gzfeatures.networks.extraction.spec import Extraction

    require_packages("vectors of image files", *NETWORK)
    extraction = Extraction.repeating(extractor, store=Store.default())
    if extraction.extractor.fingerprint != extractor.fingerprint:
        raise InputError(
            "vectors of image files would be other ones than those of the table",
            where=extractor.backbone,
            rule=f"have fingerprint {extractor.fingerprint[:12]}",
            found=extraction.extractor.fingerprint[:12],
            remedy="extract the images beside the table's and name their ids",
        )
    return [compute_table(ImageSet.of(each, reading=reading), extraction).matrix for each in paths]
