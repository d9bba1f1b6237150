"""Galaxies placed on a map: those of the map stay where they are."""

from __future__ import annotations

import dataclasses

import numpy as np
from tables_of import table_of

from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.maps.map import Map

N = 60


def test_a_mapped_galaxy_keeps_its_position_where_another_is_equal() -> None:
    matrix = np.random.default_rng(0).normal(size=(N, 6))
    matrix[1] = matrix[2] = matrix[0]
    table = table_of(matrix)
    places = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
    settings = {"n_neighbors": 5, "reach": 9.0, "extractor": table.extractor.fingerprint}
    space = FeatureSpace.fit(table.matrix)
    chart = Map(table.ids, places, settings, {}, space, space.vectors(table.matrix))
    few = table.select(table.ids[[2, 7, 1]])
    np.testing.assert_array_equal(chart.place(few).coordinates, places[[2, 7, 1]])
    # a new galaxy that is equal to three of the map lies in their middle
    new = dataclasses.replace(few, ids=np.asarray(["new", "newer", "newest"], dtype=object))
    placed = chart.place(new).coordinates
    np.testing.assert_allclose(placed[0], places[:3].mean(0), atol=1e-5)
    np.testing.assert_allclose(placed[1], places[7], atol=1e-5)
