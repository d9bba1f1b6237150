"""Modules are found by the names they had in version 0.1, with a warning."""

from __future__ import annotations

import contextlib
import importlib

import pytest

from gzfeatures import _moved


def test_every_old_name_leads_somewhere() -> None:
    table = _moved._table()
    for old, new in table["modules"].items():
        importlib.import_module(f"gzfeatures.{new}")
        for name in table["names"].get(old, {}).values():
            elsewhere, _, current = name.rpartition(".")
            module = importlib.import_module(f"gzfeatures.{elsewhere or new}")
            assert hasattr(module, current), (old, name)
    assert table["names"].keys() <= table["modules"].keys()


def test_an_old_module_is_imported_with_a_warning_that_says_where_it_is_now() -> None:
    with pytest.warns(
        DeprecationWarning,
        match=r"results\.metrics\.evaluate is gzfeatures\.evaluation\.metrics\.ev",
    ):
        from gzfeatures.results.metrics import evaluate  # type: ignore[import-not-found]
    assert evaluate is importlib.import_module("gzfeatures.evaluation.metrics").evaluate


def test_an_old_module_whose_place_a_folder_took_is_imported_too() -> None:
    with pytest.warns(DeprecationWarning):
        from gzfeatures.galaxies.labels import Labels  # type: ignore[attr-defined]
    assert Labels is importlib.import_module("gzfeatures.galaxies.labels.labels").Labels


@pytest.mark.parametrize(
    ("old", "names"),
    [
        ("results.neighbours", "AMONG EXACT_UP_TO RECALL_SAMPLE duplicates nearest similar"),
        ("results.neighbours", "Nearest twin_groups"),
        ("networks.learner", "DEFAULT_MONITOR SMOOTHED Diverged Learner"),
        ("galaxies.votes", "ANSWERS COLUMNS GZ2 GZ2_SUFFIXES KAGGLE NEXT PARENTS QUESTIONS Counts"),
        ("galaxies.votes", "Conditional Cumulative columns"),
    ],
)
def test_a_module_that_was_divided_is_whole_under_its_old_name(old: str, names: str) -> None:
    module = importlib.import_module(f"gzfeatures.{old}")
    for name in names.split():
        with pytest.warns(DeprecationWarning, match=rf"{old}\.{name} is "):
            assert getattr(module, name) is not None


def test_a_renamed_class_is_found_by_its_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="LabelledSample"):
        from gzfeatures.cohort import Cohort  # type: ignore[import-not-found]
    assert Cohort.__name__ == "LabelledSample"


def test_a_name_that_left_its_module_is_found_by_the_modules_old_name() -> None:
    with pytest.warns(DeprecationWarning, match=r"draw is gzfeatures\.report\.drawings\.draw"):
        from gzfeatures.results.document import draw  # type: ignore[import-not-found]
    assert draw is importlib.import_module("gzfeatures.report.drawings").draw


def test_what_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("gzfeatures.results.nothing")
    with pytest.raises(ImportError):
        exec("from gzfeatures.galaxies.labels import nothing")  # noqa: S102


@pytest.mark.parametrize(
    ("module", "owner", "old"),
    [
        ("features.table", "EmbeddingTable", "seen"),
        ("evaluation.predictions", "Predictions", "unmarked"),
        ("features.store", "Store", "shelf"),
        ("images.image_set", "ImageCheck", "found"),
    ],
)
def test_a_renamed_attribute_of_a_public_class_is_found_by_its_old_name(
    module: str, owner: str, old: str
) -> None:
    kind = getattr(importlib.import_module(f"gzfeatures.{module}"), owner)
    one = object.__new__(kind)
    with (
        pytest.warns(DeprecationWarning, match=rf"{owner}\.{old} is \."),
        contextlib.suppress(AttributeError),
    ):
        getattr(one, old)
