from __future__ import annotations

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.label_scheme import LabelScheme
from gzfeatures.galaxies.labels.labels import Labels, Target
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.votes.column_names import GZ2
from gzfeatures.galaxies.votes.vote_columns import Choice, Form


def catalog(text: str) -> Catalog:
    return Catalog.of(pd.read_csv(io.StringIO(text), sep=r"\s+"))


def fates(labels: Labels) -> dict[str, str]:
    """Class of each labelled galaxy, and reason of each other galaxy."""
    if labels.target == "multi-label":
        names = [
            "+".join(name for name, true in zip(labels.classes, row, strict=True) if true)
            for row in labels.values
        ]
    else:
        names = labels.names.tolist()
    reasons = {galaxy: why for why, ids in labels.left_out.items() for galaxy in ids}
    return dict(zip(labels.ids.tolist(), names, strict=True)) | reasons


# classes drawn at random

BARS = LabelScheme(
    "bars",
    {"barred": (), "unbarred": ()},
    soft={"barred": "bar-yes", "unbarred": "bar-no"},
    draw=True,
)
NO_VOTER = "no volunteer voted for any of the classes"


@pytest.mark.parametrize("form", ["conditional", "cumulative"])
def test_no_class_is_drawn_where_nobody_was_asked_or_votes_are_missing(form: Form) -> None:
    parts = {
        "smooth": [40, 2, 10, 10],
        "features-or-disk": [0, 38, 30, 30],
        "star-or-artifact": [0, 0, 0, 0],
        "edge-on-yes": [0, 0, 30, np.nan],
        "edge-on-no": [0, 38, 0, np.nan],
        "bar-yes": [0, 38, 0, np.nan],
        "bar-no": [0, 0, 0, np.nan],
    }
    frame = pd.DataFrame({GZ2[answer] + "_count": counts for answer, counts in parts.items()})
    ids = ["smooth", "disk", "edge-on", "unknown"]
    galaxies = Catalog.of(frame.assign(galaxy_id=ids))
    scheme = dataclasses.replace(BARS, form=form)
    for seed in range(3):
        assert fates(scheme.label(galaxies, seed=seed)) == {
            "smooth": NO_VOTER,
            "disk": "barred",
            "edge-on": NO_VOTER,
            "unknown": "votes are missing",
        }


# a choice among votes that are not read

LETTERS = "dr7objid gz2_class total_classifications\n1 Ec 3\n2 Sb2m 3\n"
READY = "galaxy_id class5\na spiral\nb edge-on\n"


@pytest.mark.parametrize(("name", "text"), [("gz2-2class", LETTERS), ("zhu-5class", READY)])
@pytest.mark.parametrize(
    ("choice", "given"),
    [
        (Choice(min_votes=20), "--min-votes 20"),
        (Choice(campaign="nonsense"), "--campaign nonsense"),
        (Choice(measure="debiased", min_votes=3), "--measure debiased --min-votes 3"),
    ],
)
def test_a_choice_among_votes_is_refused_where_no_votes_are_read(
    name: str, text: str, choice: Choice, given: str
) -> None:
    assert len(SCHEMES[name].label(catalog(text))) == 2
    with pytest.raises(
        InputError,
        match=f"scheme {name}, .*: labels come from no votes; must .*, found {given}; leave these",
    ):
        SCHEMES[name].label(catalog(text), choice=choice)


# ready classes

FAR = {"far": ("redshift > 0.05",)}
READY_FAR = "galaxy_id class5 redshift\na spiral 0.02\nb edge-on 0.1\nc spiral -9999\n"


def test_reasons_to_leave_out_hold_for_ready_classes_too() -> None:
    scheme = dataclasses.replace(SCHEMES["zhu-5class"], leave_out=FAR)
    assert fates(scheme.label(catalog(READY_FAR))) == {
        "a": "spiral",
        "b": "far",
        "c": "far: not known of this galaxy",
    }
    cut = {"artifact": ("star-or-artifact > 0.3",)}
    with pytest.raises(InputError, match="no cumulative votes; must have columns of"):
        dataclasses.replace(scheme, leave_out=cut).label(catalog(READY_FAR))


def test_classes_that_only_a_column_gives_are_read_from_it_or_refused() -> None:
    scheme = LabelScheme("ready", {"spiral": (), "edge-on": ()}, column="class5")
    votes = "galaxy_id class5 smooth-or-featured-dr5_smooth\na spiral 3\nb edge-on 4\n"
    assert fates(scheme.label(catalog(votes))) == {"a": "spiral", "b": "edge-on"}
    with pytest.raises(InputError, match="no ready classes; must have the column class5 of scheme"):
        scheme.label(catalog(READY.replace("class5", "class6")))


# counts that are missing in part

ARMS = {"two": ("arms-2 > 0.5",), "more": ("arms-3 > 0.5",)}
ARM_COUNTS = """
galaxy_id smooth-or-featured-X_smooth smooth-or-featured-X_featured-or-disk \
smooth-or-featured-X_artifact disk-edge-on-X_yes disk-edge-on-X_no has-spiral-arms-X_yes \
has-spiral-arms-X_no spiral-arm-count-X_1 spiral-arm-count-X_2 spiral-arm-count-X_3 \
spiral-arm-count-X_4 spiral-arm-count-X_more-than-4 spiral-arm-count-X_cant-tell
full 5 35 0 0 35 35 0 0 35 0 0 0 0
few 5 35 0 0 35 0 35 0 0 0 0 0 0
gap 5 35 0 0 35 35 0 nan nan nan nan nan {}
"""


@pytest.mark.parametrize(("campaign", "last"), [("dr12", "nan"), ("dr5", "nan"), ("dr5", "0")])
@pytest.mark.parametrize("target", ["classes", "multi-label"])
def test_missing_counts_beside_a_zero_are_no_word_that_nobody_was_asked(
    campaign: str, last: str, target: Target
) -> None:
    galaxies = catalog(ARM_COUNTS.replace("-X_", f"-{campaign}_").format(last))
    # the campaign DR12 did not offer the answer "can't tell": nobody can have chosen it
    if campaign == "dr12":
        columns = [name for name in galaxies.frame.columns if "cant-tell" not in name]
        galaxies = Catalog.of(galaxies.frame[columns])
    scheme = LabelScheme("arms", ARMS, form="conditional", target=target)
    if target == "classes":
        scheme = scheme.with_others("class")
    none = "" if target == "multi-label" else "none-of-these"
    assert fates(scheme.label(galaxies)) == {
        "full": "two",
        "few": none,
        "gap": "votes are missing",
    }


def test_a_known_part_of_the_votes_for_a_bar_is_no_word_that_nobody_was_asked() -> None:
    galaxies = catalog(
        "galaxy_id smooth-or-featured-dr5_smooth smooth-or-featured-dr5_featured-or-disk "
        "smooth-or-featured-dr5_artifact disk-edge-on-dr5_yes disk-edge-on-dr5_no "
        "bar-dr5_strong bar-dr5_weak bar-dr5_no\n"
        "full 5 35 0 0 35 20 15 0\ngap 5 35 0 0 35 nan 3 0\nunasked 40 0 0 0 0 0 0 0\n"
    )
    rules = {"barred": ("bar-yes > 0.5",), "unbarred": ("bar-no >= 0.5",)}
    scheme = LabelScheme("bars", rules, form="conditional", others="class")
    assert fates(scheme.label(galaxies)) == {
        "full": "barred",
        "gap": "votes are missing",
        "unasked": "none-of-these",
    }


def test_an_answer_that_a_campaign_did_not_offer_is_unknown_with_its_question() -> None:
    galaxies = catalog(
        "galaxy_id has-spiral-arms-dr12_yes_fraction spiral-arm-count-dr12_1_fraction "
        "spiral-arm-count-dr12_2_fraction\na 0.9 0.2 0.8\nb 0.9 nan nan\n"
    )
    read = galaxies.votes("conditional", ("fraction",))
    np.testing.assert_array_equal(read.answer("arms-cant-tell"), [0.0, np.nan])


# sentinels

SMOOTH = """
galaxy_id smooth-or-featured-dr5_smooth smooth-or-featured-dr5_featured-or-disk \
smooth-or-featured-dr5_artifact redshift REDSHIFT_SIMPLE_BIN
near 30 5 5 0.02 -999
far 30 5 5 0.1 9
lost 30 5 5 -9999 -9999
other 30 5 5 -999 -9999
"""
DISK = {"smooth": ("smooth > 0.5",), "disk": ("features-or-disk > 0.5",)}


def test_a_sentinel_is_an_unknown_number_in_every_condition() -> None:
    galaxies = catalog(SMOOTH)
    rules = {"near": ("redshift < 0.05",), "far": ("redshift >= 0.05",)}
    assert fates(LabelScheme("nearness", rules).label(galaxies)) == {
        "near": "near",
        "far": "far",
        "lost": "votes are missing",
        "other": "votes are missing",
    }
    near = LabelScheme("near-only", DISK, leave_out={"far": ("redshift > 0.05",)})
    assert fates(near.label(galaxies)) == {
        "near": "smooth",
        "far": "far",
        "lost": "far: not known of this galaxy",
        "other": "far: not known of this galaxy",
    }


@pytest.mark.parametrize("name", ["redshift_bin", "REDSHIFT_SIMPLE_BIN"])
def test_a_bin_below_all_bins_is_known_and_a_bin_without_redshift_is_not(name: str) -> None:
    near = LabelScheme("near-only", DISK, leave_out={"far": (f"{name} > 4",)})
    assert fates(near.label(catalog(SMOOTH))) == {
        "near": "smooth",
        "far": "far",
        "lost": "far: not known of this galaxy",
        "other": "far: not known of this galaxy",
    }


# few volunteers, and votes that decide "if known"

FIRST = """
galaxy_id smooth-or-featured-dr5_smooth smooth-or-featured-dr5_featured-or-disk \
smooth-or-featured-dr5_artifact
many 30 5 5
artifact 10 15 15
one 0 0 1
"""


def test_a_class_is_false_by_many_volunteers_only() -> None:
    scheme = LabelScheme("several", DISK, target="multi-label")
    assert fates(scheme.label(catalog(FIRST)))["one"] == ""
    assert fates(scheme.label(catalog(FIRST), choice=Choice(min_votes=20))) == {
        "many": "smooth",
        "artifact": "",
        "one": "asked of fewer than 20 volunteers",
    }


def test_volunteers_of_a_later_question_have_seen_the_galaxy() -> None:
    galaxies = catalog(FIRST)
    later = {"has-spiral-arms-dr5_yes": [20, 1, 0], "has-spiral-arms-dr5_no": [20, 1, 0]}
    frame = galaxies.frame.assign(**later).drop(columns="smooth-or-featured-dr5_artifact")
    scheme = LabelScheme(
        "arms",
        {"arms": ("spiral-yes > 0.9",), "none": ("spiral-no > 0.9",)},
        target="multi-label",
        form="conditional",
    )
    left_out = scheme.label(Catalog.of(frame), choice=Choice(min_votes=40)).left_out
    assert "many" not in [galaxy for ids in left_out.values() for galaxy in ids]


@pytest.mark.parametrize("known", ["", " if known"])
def test_a_cut_on_an_answer_excludes_galaxies_if_its_votes_are_known(known: str) -> None:
    cut = {"artifact": (f"star-or-artifact > 0.3{known}",)}
    labels = LabelScheme("real", DISK, leave_out=cut).label(catalog(FIRST))
    assert fates(labels) == {"many": "smooth", "artifact": "artifact", "one": "artifact"}
    assert not [reason for reason in labels.left_out if "not known" in reason]


def test_a_galaxy_without_any_known_fraction_is_left_out() -> None:
    galaxies = catalog(
        "galaxy_id bar-dr5_strong bar-dr5_weak bar-dr5_no\nmany 10 5 25\nfew 1 0 2\nunasked 0 0 0\n"
    )
    answers = {"bar": ("bar-yes",), "no-bar": ("bar-no",)}
    scheme = LabelScheme("bars", answers, target="fractions", form="conditional")
    labels = scheme.label(galaxies)
    np.testing.assert_allclose(labels.values, [[0.375, 0.625], [1 / 3, 2 / 3]])
    none = {"none of its vote fractions is known": ["unasked"]}
    assert {why: ids.tolist() for why, ids in labels.left_out.items()} == none
    labels = scheme.label(galaxies, choice=Choice(min_votes=20))
    np.testing.assert_allclose(labels.values, [[0.375, 0.625]])
    assert {why: ids.tolist() for why, ids in labels.left_out.items()} == none | {
        "asked of fewer than 20 volunteers": ["few"]
    }


# thresholds


@pytest.mark.parametrize("answer", ["bar-yes", "Class3.1", GZ2["bar-yes"]])
@pytest.mark.parametrize("limit", ["30", "-0.1", "1.001"])
def test_a_vote_fraction_is_compared_with_a_fraction(answer: str, limit: str) -> None:
    with pytest.raises(
        InputError,
        match=rf"scheme s: threshold of a vote fraction; must lie in \[0, 1\], .*{limit}",
    ):
        LabelScheme("s", {**DISK, "smooth": (f"{answer} > {limit}",)})
    for legal in ("bar-yes >= 0", "bar-yes <= 1", "classifications > 30", "redshift > -1"):
        LabelScheme("s", {**DISK, "smooth": (legal,)})


def test_a_sum_of_two_columns_is_compared_as_the_number_that_it_is() -> None:
    galaxies = catalog(
        "galaxy_id bar-dr5_strong_fraction bar-dr5_weak_fraction bar-dr5_no_fraction\n"
        "a 0.1 0.2 0.7\nb 0.1 0.3 0.6\n"
    )
    rules = {"barred": ("bar-yes > 0.3",), "unbarred": ("bar-yes <= 0.3",)}
    scheme = LabelScheme("bars", rules, form="conditional")
    assert fates(scheme.label(galaxies)) == {"a": "unbarred", "b": "barred"}


@pytest.mark.parametrize("volunteers", [5, 10, 20, 40])
def test_a_fraction_of_all_volunteers_is_their_number_over_all(volunteers: int) -> None:
    featured, edge_on = np.meshgrid(np.arange(1, volunteers + 1), np.arange(volunteers + 1))
    possible = edge_on <= featured
    featured, edge_on = featured[possible], edge_on[possible]
    counts = {
        "smooth": volunteers - featured,
        "features-or-disk": featured,
        "star-or-artifact": np.zeros_like(featured),
        "edge-on-yes": edge_on,
        "edge-on-no": featured - edge_on,
    }
    frame = pd.DataFrame({GZ2[answer] + "_count": numbers for answer, numbers in counts.items()})
    galaxies = Catalog.of(frame.assign(galaxy_id=[f"g{row}" for row in range(len(frame))]))
    for part in range(volunteers + 1):
        limit = part / volunteers
        rules = {"edge-on": (f"edge-on-yes >= {limit}",), "other": (f"edge-on-yes < {limit}",)}
        labels = LabelScheme("edges", rules).label(galaxies)
        assert (labels.codes == (edge_on < part)).all()
