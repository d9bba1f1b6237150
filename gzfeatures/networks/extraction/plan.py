"""Plan forward passes, so that the embeddings of several layers of a network need one pass."""

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
    """Hold one forward pass of a network, which gives the embeddings of one or several layers.

    Parameters
    ----------
    extractor : Extractor
        Gives the layers of all of them, one after the other.
    members : tuple of (int, int)
        Number and length of vector of each.
    view : int
        Number of the pass's view among those of all passes.
    """

    extractor: Extractor
    members: tuple[tuple[int, int], ...]
    view: int

    @property
    def first(self) -> int:
        """Return the number of the first table that this forward pass fills."""
        return self.members[0][0]

    def columns(self, vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
        """Yield the number of each table, and its columns of the joined embeddings (n, dim)."""
        start = 0
        for number, dim in self.members:
            yield number, vectors[:, start : start + dim]
            start += dim


def plan_forwards(extractors: Sequence[Extractor]) -> list[ForwardPlan]:
    """Plan one forward pass for each network and each view (crop and size of an image)."""
    groups: dict[Extractor, list[int]] = {}
    for number, extractor in enumerate(extractors):
        # extractors that are equal except for their layer share a forward pass, which returns all
        # of these layers
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
    """Return the views (crop and size of an image) of extractors, in order, without repeats."""
    return tuple(dict.fromkeys(extractor.view for extractor in extractors))


def tables_of(joined: Iterable[tuple[ForwardPlan, Vectors]]) -> list[Vectors]:
    """Return the embeddings of each table, cut from the joined embeddings of each forward pass."""
    tables = {number: part for task, vectors in joined for number, part in task.columns(vectors)}
    return [tables[number] for number in sorted(tables)]
