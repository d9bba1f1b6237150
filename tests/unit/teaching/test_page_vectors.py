"""Vectors of a page hold predicted answers beside principal components, in a fixed share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.ids import as_ids
from gzfeatures.maps.map import Map
from gzfeatures.maps.map_page import MapPage
from gzfeatures.maps.teaching_data import teaching_data
from gzfeatures.session.teaching_session import TeachingSession
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.teaching.page_vectors import (
    ANSWERS,
    COMPONENTS,
    answers_of_page,
    page_vectors,
    table_digest,
)

N, A = 200, 37
RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.normal(size=(N, 100)).astype(np.float32)
FRACTIONS = RANDOM.uniform(size=(N, A))
IDS = as_ids([f"g{row:03d}" for row in range(N)])


def test_answers_take_the_place_of_the_last_components_and_a_fixed_share_of_the_length() -> None:
    vectors = page_vectors(MATRIX, FRACTIONS).astype(np.float64)
    assert vectors.shape == (N, COMPONENTS) == page_vectors(MATRIX).shape
    lengths = (vectors**2).mean(0)
    assert lengths[-A:].sum() == pytest.approx(ANSWERS, abs=2e-3)
    assert lengths.sum() == pytest.approx(1, abs=2e-3)
    # the components are those without answers, in another scale
    alone = page_vectors(MATRIX, components=COMPONENTS - A).astype(np.float64)
    np.testing.assert_allclose(vectors[:, :-A], alone * np.sqrt(1 - ANSWERS), atol=2e-3)
    # answers are measured from their mean, in one scale for all
    centred = FRACTIONS - FRACTIONS.mean(0)
    ratio = vectors[:, -A:] / centred
    assert np.median(ratio) > 0
    np.testing.assert_allclose(vectors[:, -A:], centred * np.median(ratio), atol=2e-3)


def test_a_galaxy_without_answers_counts_as_an_average_one_and_equal_answers_as_none() -> None:
    some = FRACTIONS.copy()
    some[7] = np.nan
    vectors = page_vectors(MATRIX, some)
    assert np.isfinite(vectors).all() and (vectors[7, -A:] == 0).all()
    assert (page_vectors(MATRIX, np.full((N, A), 0.5))[:, -A:] == 0).all()
    assert (page_vectors(MATRIX, np.full((N, A), np.nan))[:, -A:] == 0).all()
    assert (page_vectors(np.ones((N, 5), np.float32), FRACTIONS)[:, -A:] != 0).any()


def test_a_page_learns_from_the_answers_of_its_own_galaxies_in_any_order(tmp_path: Path) -> None:
    names = tuple(f"a{i}" for i in range(A))
    turned = np.arange(N)[::-1][: N - 3]  # other order, three galaxies lack
    answers = Predictions(IDS[turned], FRACTIONS[turned], names, kind="fractions")
    found = answers_of_page(IDS, answers)
    assert found is not None
    np.testing.assert_array_equal(found[3:], FRACTIONS[3:])
    assert np.isnan(found[:3]).all()
    page = teaching_data(IDS, MATRIX, answers=answers)
    assert page is not None
    assert page["digest"] == table_digest(IDS, page_vectors(MATRIX, found))
    assert page["digest"] != table_digest(IDS, page_vectors(MATRIX))
    # the map's page, and the session that records rounds, take the same vectors
    drawn = MapPage(IDS, MATRIX[:, :2], MATRIX, {}, {}, answers=answers)._teaching()
    assert drawn is not None and drawn["digest"] == page["digest"]
    table = table_of(MATRIX, ids=list(IDS))
    chart = Map(IDS, MATRIX[:, :2], {}, {}, FeatureSpace.fit(MATRIX), MATRIX)
    session = TeachingSession(table, chart, AnswersFile(tmp_path / "mine.csv"), answers=answers)
    assert table_digest(IDS, session._page_vectors) == page["digest"]


def test_few_galaxies_of_long_vectors_get_no_more_numbers_than_asked() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 512)).astype(np.float32)
    assert page_vectors(rows).shape == (40, 39)
    assert page_vectors(rows[:2]).shape == (2, 1)
