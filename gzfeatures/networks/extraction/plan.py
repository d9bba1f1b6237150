"""Pass: one network under one view, and the tables that its one forward pass fills."""

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
    """What is computed together: extractors that differ in their layer alone.

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
        """Number of the first extractor."""
        return self.members[0][0]

    def columns(self, vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
        """Number of each extractor and its share of joined vectors (n, dim)."""
        start = 0
        for number, dim in self.members:
            yield number, vectors[:, start : start + dim]
            start += dim


def plan_forwards(extractors: Sequence[Extractor]) -> list[ForwardPlan]:
    """Passes that fill the tables of `extractors`, each network run once per view."""
    groups: dict[Extractor, list[int]] = {}
    for number, extractor in enumerate(extractors):
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
    """Their different views, in the order in which they number them."""
    return tuple(dict.fromkeys(extractor.view for extractor in extractors))


def tables_of(joined: Iterable[tuple[ForwardPlan, Vectors]]) -> list[Vectors]:
    """Vectors of each table, from the joined ones of each pass."""
    tables = {number: part for task, vectors in joined for number, part in task.columns(vectors)}
    return [tables[number] for number in sorted(tables)]
