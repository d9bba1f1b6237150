"""Galaxies placed on a map: those of the map stay where they are."""

from __future__ import annotations

import dataclasses

import numpy as np
from tables_of import table_of

from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.maps.map import Map

N = 60


def chart_of(table: EmbeddingTable) -> Map:
    """Return a map with random positions of a table's galaxies."""
    places = np.random.default_rng(1).normal(size=(len(table), 2)).astype(np.float32)
    settings = {"n_neighbors": 5, "reach": 9.0, "extractor": table.extractor.fingerprint}
    space = FeatureSpace.fit(table.matrix)
    return Map(table.ids, places, settings, {}, space, space.vectors(table.matrix))


def test_a_mapped_galaxy_keeps_its_position_where_another_is_equal() -> None:
    matrix = np.random.default_rng(0).normal(size=(N, 6))
    matrix[1] = matrix[2] = matrix[0]
    table = table_of(matrix)
    chart = chart_of(table)
    places = chart.coordinates
    few = table.select(table.ids[[2, 7, 1]])
    np.testing.assert_array_equal(chart.place(few).coordinates, places[[2, 7, 1]])
    # a new galaxy that is equal to three of the map lies in their middle
    new = dataclasses.replace(few, ids=np.asarray(["new", "newer", "newest"], dtype=object))
    placed = chart.place(new).coordinates
    np.testing.assert_allclose(placed[0], places[:3].mean(0), atol=1e-5)
    np.testing.assert_allclose(placed[1], places[7], atol=1e-5)


def test_an_id_of_another_survey_does_not_decide_a_position() -> None:
    table = table_of(np.random.default_rng(0).normal(size=(N, 6)))
    chart = chart_of(table)
    # the images are those of other mapped galaxies, only the ids are those of the first five
    foreign = dataclasses.replace(table.select(table.ids[20:25]), ids=table.ids[:5])
    np.testing.assert_allclose(
        chart.place(foreign).coordinates, chart.coordinates[20:25], atol=1e-5
    )
