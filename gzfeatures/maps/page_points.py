"""Collect what a page draws of each galaxy: id, positions on one or more maps, colours, regions."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.ids import Ids
from gzfeatures.maps.columns import MapColumn
from gzfeatures.maps.regions import regions


@dataclasses.dataclass(frozen=True, eq=False)
class MapCube:
    """Store the cube around a map's galaxies, its centre and half side, to scale it to −1 … 1."""

    centre: npt.NDArray[np.float32]
    unit: float

    @classmethod
    def around(cls, coordinates: npt.NDArray[np.float32]) -> MapCube:
        """Return the smallest cube (or square) that contains all coordinates of a map."""
        low, high = coordinates.min(0), coordinates.max(0)
        return cls((low + high) / 2, float((high - low).max()) / 2 or 1.0)

    def placed(self, coordinates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scale map coordinates (n, 2 or 3) to the cube −1 … 1, (n, 3); z = 0 in a flat map."""
        places = np.zeros((len(coordinates), 3), dtype=np.float32)
        places[:, : coordinates.shape[1]] = (coordinates - self.centre) / self.unit
        return places


def point_data(
    ids: Ids,
    coordinates: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    columns: Sequence[MapColumn],
    *,
    cube: MapCube,
    layouts: Mapping[str, npt.NDArray[np.float32]],
    answers: Predictions | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return galaxies' ids, positions on one or more maps, colours and regions as JSON values.

    Parameters
    ----------
    ids : Ids
        Galaxies drawn as points, shape (n,).
    coordinates : ndarray of float32
        Their positions on the map, shape (n, 2 or 3).
    vectors : ndarray of float32
        Embeddings of the galaxies, shape (n, d).
    columns : sequence of MapColumn
        Columns that can colour the points.
    cube : MapCube
        Scales coordinates to the page.
    layouts : mapping of str to ndarray
        Positions of the galaxies on other maps, by map name, in the shape of `coordinates`.
    answers : Predictions, optional
        Predicted answers of the decision tree, which name the regions of the map.
    seed : int
        Seed of the regions.
    """
    named = regions(ids, vectors, coordinates, columns, answers, seed)
    scaled = {name: cube.placed(places) for name, places in layouts.items()}
    return {
        "ids": ids.tolist(),
        "coordinates": base64_of(cube.placed(coordinates), "<f4"),
        "layouts": [
            {"name": name, "places": base64_of(places, "<f4")} for name, places in scaled.items()
        ],
        "columns": [_described(column) for column in columns],
        "regions": [_described(column) for column in named],
    }


def _described(column: MapColumn) -> dict[str, Any]:
    """Encode a column that can colour the map as JSON values; the numbers become base64 text."""
    exact = column.values.dtype == np.float64
    kind = "<u2" if column.classes is not None else "<f8" if exact else "<f4"
    return {
        "name": column.name,
        "kind": column.kind,
        "exact": exact,
        "classes": column.classes,
        "values": base64_of(column.values, kind),
    }


def base64_of(array: npt.NDArray[Any], kind: str) -> str:
    """Encode an array as base64 text, in the type of numbers that the page reads."""
    return base64.b64encode(np.ascontiguousarray(array).astype(kind).tobytes()).decode()
