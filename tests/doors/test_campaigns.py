"""Votes of several campaigns, and of other Galaxy Zoos, in one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.experiment.sample import load_sample
from gzfeatures.experiment.settings.sample import Galaxies
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.votes import vote_columns
from gzfeatures.galaxies.votes.campaigns import MARKED, campaigns, foreign
from gzfeatures.galaxies.votes.vote_columns import Choice


def columns_of(mark: str, suffix: str = "") -> list[str]:
    """Every column that a campaign's known answers stand in."""
    names = {
        f"{question}-{mark}_{part}{suffix}"
        for question, *parts in MARKED[mark].values()
        for part in parts
    }
    return sorted(names)


def rows(*galaxies: dict[str, int]) -> pd.DataFrame:
    """Counts of galaxies, 0 where a column is not named."""
    frame = pd.DataFrame(list(galaxies)).fillna(0).astype(int)
    frame.insert(0, "id_str", [f"g{row}" for row in range(len(frame))])
    return frame


def smooth(mark: str, answer: str = "smooth") -> dict[str, int]:
    third = "problem" if mark in ("cd", "euclid", "jwst") else "artifact"
    features = "features" if mark in ("hubble", "candels") else "featured-or-disk"
    votes = {"smooth": 4, features: 4, third: 2} | {
        features if answer == "features" else answer: 30
    }
    return {f"smooth-or-featured-{mark}_{name}": number for name, number in votes.items()}


def round_of(mark: str) -> dict[str, int]:
    word = {"completely": "completely", "round": "round"}[MARKED[mark]["completely-round"][1]]
    return smooth(mark) | {f"how-rounded-{mark}_{word}": 28, f"how-rounded-{mark}_in-between": 2}


@pytest.mark.parametrize("first", ["dr12", "dr5", "gz2", "jwst", "hubble"])
@pytest.mark.parametrize("second", ["dr8", "candels", "euclid", "ukidss"])
def test_each_galaxy_is_labelled_by_the_campaign_that_asked_it(first: str, second: str) -> None:
    frame = rows(
        smooth(first), smooth(second), smooth(first, "features"), smooth(second, "features")
    )
    labels = SCHEMES["q1-3class"].label(Catalog.of(frame))
    assert labels.names.tolist() == ["smooth", "smooth", "features-or-disk", "features-or-disk"]
    assert labels.origin is not None and labels.origin.galaxies == {first: 2, second: 2}


def test_the_order_of_columns_decides_nothing() -> None:
    frame = rows(round_of("dr12"), round_of("dr5"), smooth("dr5", "features"))
    scheme = SCHEMES["walmsley-7class"]
    missing = {
        column: 0 for mark in ("dr12", "dr5") for column in columns_of(mark) if column not in frame
    }
    frame = frame.assign(**missing)
    labels = [
        scheme.label(Catalog.of(frame[["id_str", *order]]))
        for order in (sorted(frame.columns[1:]), sorted(frame.columns[1:], reverse=True))
    ]
    assert labels[0].fingerprint == labels[1].fingerprint
    assert dict(zip(labels[0].ids, labels[0].names, strict=True)) == {"g0": "round", "g1": "round"}


def test_a_galaxy_of_two_campaigns_is_left_out_until_one_is_named() -> None:
    catalog = Catalog.of(rows(smooth("dr5") | smooth("dr8", "features"), smooth("dr5")))
    labels = SCHEMES["q1-3class"].label(catalog)
    left_out = {reason: ids.tolist() for reason, ids in labels.left_out.items()}
    assert left_out == {"two campaigns asked it (--campaign names one)": ["g0"]}
    first = SCHEMES["q1-3class"].label(catalog, choice=Choice(campaign="dr5"))
    assert first.names.tolist() == ["smooth", "smooth"]
    second = SCHEMES["q1-3class"].label(catalog, choice=Choice(campaign="dr8"))
    assert dict(zip(second.ids, second.names, strict=True)) == {"g0": "features-or-disk"}
    assert second.left_out["votes are missing"].tolist() == ["g1"]
    with pytest.raises(
        UnknownNameError, match="unknown campaign; must be one of dr5, dr8, found dr9"
    ):
        SCHEMES["q1-3class"].label(catalog, choice=Choice(campaign="dr9"))


def test_kaggle_s_and_hart_s_fractions_are_not_one_measure_of_one_campaign() -> None:
    stems = [
        f"t01_smooth_or_features_{a}"
        for a in ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact")
    ]
    from gzfeatures.galaxies.votes.column_names import KAGGLE

    frame = pd.DataFrame(0.0, index=[0], columns=list(KAGGLE.values())).assign(GalaxyID=["1"])
    frame[["Class1.1", "Class1.2", "Class1.3"]] = [[0.9, 0.1, 0.0]]
    for stem, value in zip(stems, (0.2, 0.8, 0.0), strict=True):
        frame[f"{stem}_weighted_fraction"] = value
    catalog = Catalog.of(frame)
    assert len(SCHEMES["q1-3class"].label(catalog)) == 0
    names = [
        SCHEMES["q1-3class"].label(catalog, choice=Choice(campaign=name)).names.tolist()
        for name in ("kaggle", "gz2")
    ]
    assert names == [["smooth"], ["features-or-disk"]]


@pytest.mark.parametrize("mark", MARKED)
@pytest.mark.parametrize("suffix", ["", "_fraction", "_debiased"])
def test_every_known_answer_of_every_campaign_is_found_under_its_mark(
    mark: str, suffix: str
) -> None:
    found = list(campaigns(columns_of(mark, suffix)))
    assert [name for name, _, _ in found] == [mark]
    assert set(found[0][2]) == set(MARKED[mark])


@pytest.mark.parametrize("mark", ["hubble", "candels"])
def test_what_is_asked_behind_clumps_is_never_read_as_galaxy_zoo_2_s_question(mark: str) -> None:
    frame = rows(
        smooth(mark, "features")
        | {f"disk-edge-on-{mark}_yes": 30, f"disk-edge-on-{mark}_no": 1}
        | {f"how-rounded-{mark}_{name}": 1 for name in ("completely", "in-between", "cigar-shaped")}
        | {f"has-spiral-arms-{mark}_yes": 1, f"has-spiral-arms-{mark}_no": 0}
    )
    with pytest.raises(InputError, match=f"{mark} has none on edge-on-yes"):
        SCHEMES["zhu-5class"].label(Catalog.of(frame))


def test_hubble_s_published_table_is_told_by_its_clumps() -> None:
    stem = "t01_smooth_or_features_"
    columns = {
        "survey_id": [20001],
        f"{stem}a01_smooth_weighted_fraction": [0.1],
        f"{stem}a02_features_or_disk_weighted_fraction": [0.9],
        f"{stem}a03_star_or_artifact_weighted_fraction": [0.0],
        f"{stem}a01_smooth_fraction": [0.1],
        "t02_edgeon_a01_yes_weighted_fraction": [0.9],
        "t12_clumpy_a01_yes_fraction": [0.5],
        "t06_odd_a01_yes_weighted_fraction": [0.2],
        "t06_odd_a02_no_weighted_fraction": [0.8],
    }
    catalog = Catalog.of(pd.DataFrame(columns))
    assert catalog.kind == "hubble"
    labels = SCHEMES["q1-3class"].label(catalog)
    assert labels.names.tolist() == ["features-or-disk"] and labels.origin is not None
    assert labels.origin.measures == {"hubble": "weighted fractions"}
    assert catalog.votes("conditional", ("weighted",)).answer("odd-yes").tolist() == [0.2]
    assert np.isnan(catalog.votes("conditional", ("weighted",)).answer("edge-on-yes")).all()


def test_candels_published_table_is_read_by_its_own_names() -> None:
    stem = "t00_smooth_or_featured_"
    parts = zip(("a0_smooth", "a1_features", "a2_artifact"), (0.2, 0.7, 0.1), strict=True)
    frame = pd.DataFrame(
        {"ID": ["COS_1"]} | {f"{stem}{name}_frac": [value] for name, value in parts}
    )
    labels = SCHEMES["q1-3class"].label(Catalog.of(frame))
    assert labels.names.tolist() == ["features-or-disk"] and labels.origin is not None
    assert labels.origin.measures == {"candels": "fractions"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            ["smooth-or-featured-lsst_smooth", "smooth-or-featured-lsst_featured-or-disk"],
            "votes of Galaxy Zoo 'lsst' are not read: its questions are not known here",
        ),
        (
            ["smooth_or_featured_smooth", "smooth_or_featured_artifact_star_zoom"],
            "votes of Galaxy Zoo 'euclid-mer' are not read: the columns of Euclid's MER catalog",
        ),
        (
            ["MORPH_SMOOTH_OR_FEATURED_SMOOTH", "MORPH_SMOOTH_OR_FEATURED_ARTIFACT_STAR_ZOOM"],
            "votes of Galaxy Zoo 'euclid-mer' are not read",
        ),
    ],
)
def test_votes_of_a_galaxy_zoo_that_is_not_known_are_refused_by_name(
    columns: list[str], message: str
) -> None:
    frame = pd.DataFrame({"galaxy_id": ["a"]} | {name: [30] for name in columns})
    with pytest.raises(InputError, match=message):
        SCHEMES["q1-3class"].label(Catalog.of(frame))


def test_unmarked_columns_are_understood_by_the_answers_among_them() -> None:
    def told(*columns: str) -> dict[str, tuple[str, ...]]:
        return dict(
            next(found for name, measure, found in campaigns(columns) if measure == "count")
        )

    assert told("bar_strong", "bar_weak", "bar_no")["bar-yes"] == ("bar_strong", "bar_weak")
    assert told("bar_yes", "bar_no")["bar-yes"] == ("bar_yes",)
    assert told("smooth-or-featured_problem")["star-or-artifact"] == ("smooth-or-featured_problem",)
    clumpy = told("smooth-or-featured_features", "disk-edge-on_yes")
    assert clumpy == {"features-or-disk": ("smooth-or-featured_features",)}
    assert foreign(["smooth-or-featured_total-votes", "smooth-or-featured-dr5_smooth"]) == {}


def test_galaxies_of_a_campaign_with_other_questions_are_left_out_by_its_name() -> None:
    frame = rows(round_of("dr5"), smooth("hubble"))
    frame = frame.assign(**{column: 0 for column in columns_of("dr5") if column not in frame})
    labels = SCHEMES["zhu-5class"].label(Catalog.of(frame))
    assert labels.names.tolist() == ["smooth-round"]
    assert labels.left_out["campaign hubble did not ask what the scheme needs"].tolist() == ["g1"]


def test_one_measure_is_read_of_all_campaigns_where_all_have_it() -> None:
    count = {column: 1 for mark in ("dr5", "dr8") for column in columns_of(mark)}
    fraction = dict.fromkeys(columns_of("dr5", "_fraction"), 0.5)
    read = vote_columns.chosen(
        [*count, *fraction], "cumulative", vote_columns.RAW, ["smooth"], vote_columns.ANY
    )
    assert {source.campaign: source.measure for source in read} == {"dr5": "count", "dr8": "count"}


def test_votes_of_an_unknown_campaign_beside_known_ones_are_said_not_to_be_read() -> None:
    catalog = Catalog.of(rows(smooth("dr5"), smooth("lsst")))
    assert catalog.notes == [
        "votes of Galaxy Zoo 'lsst' are not read: its questions are not known here"
    ]
    labels = SCHEMES["q1-3class"].label(catalog)
    assert labels.ids.tolist() == ["g0"] and labels.left_out["votes are missing"].tolist() == ["g1"]


def test_an_experiment_says_which_votes_it_reads(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    frame = rows(
        smooth("dr5") | smooth("dr8", "features"), smooth("dr5"), smooth("dr5", "features")
    )
    frame.rename(columns={"id_str": "thing"}).to_csv(tmp_path / "votes.csv", index=False)
    random = np.random.default_rng(0)
    for name in frame["id_str"]:
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(
            images / f"{name}.png"
        )
    settings = Galaxies(
        catalog=tmp_path / "votes.csv",
        images=images,
        scheme="q1-3class",
        id_column="thing",
        campaign="dr5",
    )
    cohort = load_sample(settings.model_copy(update={"split": (1.0, 0.0, 0.0)}), 0, tmp_path)
    assert cohort.labels.names.tolist() == ["smooth", "smooth", "features-or-disk"]
    assert Galaxies(catalog="c", images="i", measure="count", min_votes=5).choice == Choice(
        None, "count", 5
    )
