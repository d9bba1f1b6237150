"""Plan forward passes: embeddings from several layers of one network need only one pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.features.extractor import Extractor
from gzfeatures.images.view import View

Pixels: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class ForwardPlan:
    """Store one forward pass of a network, and which embedding tables its output is split into.

    Parameters
    ----------
    extractor : Extractor
        Network, weights and settings of the pass; its layer is the layers of all tables, joined by
        +.
    members : tuple of (int, int)
        Number of each table, and the length of its embeddings.
    view : int
        Index of the network's view (crop and size) in the list of all views.
    """

    extractor: Extractor
    members: tuple[tuple[int, int], ...]
    view: int

    @property
    def first(self) -> int:
        """Return the lowest number of an embedding table that this forward pass computes."""
        return self.members[0][0]

    def columns(self, vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
        """Split a network's output (n, dim) by table; yield each table's number and vectors."""
        start = 0
        for number, dim in self.members:
            yield number, vectors[:, start : start + dim]
            start += dim


def plan_forwards(extractors: Sequence[Extractor]) -> list[ForwardPlan]:
    """Plan one forward pass for all embedding tables with equal network, image crop and size."""
    groups: dict[Extractor, list[int]] = {}
    for number, extractor in enumerate(extractors):
        # an extractor says how a table's embeddings are made (network, layer, crop); tables that
        # differ only in the layer share one forward pass, which returns all these layers
        groups.setdefault(dataclasses.replace(extractor, layer="", dim=0), []).append(number)
    views = views_of(extractors)
    return [
        ForwardPlan(
            dataclasses.replace(
                key,
                layer="+".join(extractors[n].layer for n in numbers),
                dim=sum(extractors[n].dim for n in numbers),
            ),
            tuple((n, extractors[n].dim) for n in numbers),
            views.index(key.view),
        )
        for key, numbers in groups.items()
    ]


def views_of(extractors: Iterable[Extractor]) -> tuple[View, ...]:
    """Return the views (image crop and size) of several extractors, each different view once."""
    return tuple(dict.fromkeys(extractor.view for extractor in extractors))


def tables_of(joined: Iterable[tuple[ForwardPlan, Vectors]]) -> list[Vectors]:
    """Split the outputs of forward passes into embedding tables, and return the tables in order."""
    tables = {number: part for task, vectors in joined for number, part in task.columns(vectors)}
    return [tables[number] for number in sorted(tables)]
