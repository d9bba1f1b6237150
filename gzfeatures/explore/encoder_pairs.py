"""Compare every two encoders of a run: do galaxies have the same neighbours in their embeddings?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from gzfeatures.explore.class_differences import ClassDifference, class_differences
from gzfeatures.explore.table_similarity import TableSimilarity, compare_tables
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids

NEIGHBOURS = 10
"""Number of nearest neighbours that are compared."""


@dataclasses.dataclass(frozen=True)
class EncoderPair:
    """Store how similar the embeddings of two encoders are, overall and for each class.

    Parameters
    ----------
    one, other : str
        Names of the encoders.
    similarity : TableSimilarity
        Share of common neighbours, and alignment (CKA).
    classes : tuple of ClassDifference
        The classes, the one that differs most first; empty for labels that are no classes.
    """

    one: str
    other: str
    similarity: TableSimilarity
    classes: tuple[ClassDifference, ...] = ()

    @property
    def different(self) -> tuple[ClassDifference, ...]:
        """Return the classes whose share of same-class neighbours differs between the encoders."""
        return tuple(row for row in self.classes if row.differs)

    def brief(self) -> dict[str, Any]:
        """Return the main numbers of the comparison as a dict, with column titles as keys."""
        differ = ", ".join(f"{row.name} {row.difference:+.2f}" for row in self.different)
        return {
            "encoder": self.one,
            "other encoder": self.other,
            "neighbours shared": self.similarity.neighbour_overlap,
            "CKA": self.similarity.cka,
            "classes that differ": differ or "none",
        }

    def asdict(self) -> dict[str, Any]:
        """Return the comparison of two encoders as JSON values."""
        return {
            "one": self.one,
            "other": self.other,
            **dataclasses.asdict(self.similarity),
            "classes": [row.asdict() for row in self.classes],
        }


def encoder_pairs(tables: Sequence[Path], labels: Labels, ids: Ids) -> tuple[EncoderPair, ...]:
    """Compare every two of the given embedding tables, on the given galaxies.

    Parameters
    ----------
    tables : sequence of Path
        Embedding tables; of tables made with equal settings, only the first is used.
    labels : Labels
        Labels of the galaxies; if these are classes, classes are compared too.
    ids : Ids
        Galaxies that no table's encoder was trained on, such as the test galaxies of a split.

    Returns
    -------
    tuple of EncoderPair
        Pairs in the order of the tables; empty if fewer than two tables have different settings, or
        galaxies are too few.

    Raises
    ------
    MissingFileError, InputError
        A table is missing or damaged.
    """
    opened = {EmbeddingTable.open(path).extractor.fingerprint: path for path in reversed(tables)}
    paths = [path for path in tables if path in opened.values()]
    # with at most 20 galaxies most neighbours are shared by chance, so the comparison says nothing
    if len(paths) < 2 or len(ids) <= 2 * NEIGHBOURS:
        return ()
    read = [EmbeddingTable.open(path).having(ids) for path in paths]
    names = _names([table.extractor.backbone for table in read], paths)
    pairs = []
    for one, other in combinations(range(len(read)), 2):
        two = read[one], read[other]
        rows: Sequence[ClassDifference] = ()
        if labels.target == "classes":
            rows = class_differences(*two, labels, k=NEIGHBOURS)
        similarity = compare_tables(*two, k=NEIGHBOURS)
        pairs.append(EncoderPair(names[one], names[other], similarity, tuple(rows)))
    return tuple(pairs)


def _names(backbones: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the names of encoders; the file name is added to names that occur twice."""
    return [
        name if backbones.count(name) == 1 else f"{name} ({path.stem})"
        for name, path in zip(backbones, paths, strict=True)
    ]
