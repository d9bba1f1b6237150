from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import EXPERIMENTS

from gzfeatures.errors import GzError, InputError, MissingFileError, UnknownNameError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.label_scheme import LabelScheme
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.schemes import SCHEMES, scheme
from gzfeatures.galaxies.votes.column_names import GZ2, KAGGLE
from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS, Conditional

steady = settings(derandomize=True, deadline=None, max_examples=40)
PROMISED = {
    *(f"gz2-{n}class{twin}" for n in (2, 4, 8, 12) for twin in ("", "-faithful")),
    *(
        "hazra-3class",
        "tuning-fork",
        "engel-esa",
        "q1-3class",
        "q1-3class-faithful",
        "zhu-5class",
        "walmsley-7class",
    ),
    *("smooth-featured", "votes-37"),
}


def fractions(n: int, seed: int = 0) -> Conditional:
    random = np.random.default_rng(seed)
    values = np.empty((n, 37))
    for part in COLUMNS.values():
        drawn = random.exponential(size=(n, part.stop - part.start)) ** 3
        values[:, part] = drawn / drawn.sum(axis=1, keepdims=True)
    return Conditional(
        np.array([f"g{row:04d}" for row in range(n)], dtype=object), values, "weighted"
    )


def kaggle(votes: Conditional) -> Catalog:
    frame = pd.DataFrame(votes.cumulative().values, columns=list(KAGGLE.values()))
    return Catalog.of(frame.assign(GalaxyID=votes.ids))


def hart(votes: Conditional, strings: str = "Sb2t") -> Catalog:
    stems = list(GZ2.values())
    parts = [
        pd.DataFrame(votes.values, columns=[stem + suffix for stem in stems])
        for suffix in ("_weighted_fraction", "_debiased")
    ]
    return Catalog.of(
        pd.concat(parts, axis=1).assign(
            dr7objid=votes.ids, gz2_class=strings, total_classifications=40
        )
    )


def answers(**given_answers: float) -> Catalog:
    """One Kaggle galaxy with these cumulative fractions, whatever they sum to."""
    frame = pd.DataFrame(0.0, index=[0], columns=list(KAGGLE.values()))
    for name, value in given_answers.items():
        frame[KAGGLE[name.replace("_", "-")]] = value
    return Catalog.of(frame.assign(GalaxyID="g"))


def name_of(labels: Labels) -> str:
    return (
        str(labels.names[0])
        if len(labels)
        else next(reason for reason, ids in labels.left_out.items() if len(ids))
    )


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_accounts_for_every_galaxy(name: str) -> None:
    assert PROMISED <= set(SCHEMES)
    entry, catalog = SCHEMES[name], hart(fractions(300))
    labels = entry.label(catalog, seed=3)
    assert entry.name == name == labels.scheme and entry.source and labels.target == entry.target
    out = [galaxy for ids in labels.left_out.values() for galaxy in ids]
    assert len(labels) + len(out) == 300 and set(labels.ids) | set(out) == set(catalog.ids)
    assert labels.classes == tuple(entry.classes)
    assert labels.fingerprint == entry.label(catalog, seed=3).fingerprint
    if labels.soft is not None:
        assert (
            labels.soft.shape == (len(labels), len(labels.classes))
            and (labels.soft >= 0).all()
            and (labels.soft <= 1).all()
        )


@pytest.mark.parametrize("name", SCHEMES)
def test_labels_do_not_depend_on_the_order_of_rows_nor_on_the_other_galaxies(name: str) -> None:
    catalog = hart(fractions(200))
    everyone = SCHEMES[name].label(catalog, seed=1)
    some = SCHEMES[name].label(catalog.select(catalog.ids[150:50:-1]), seed=1)
    assert everyone.select(some.ids).fingerprint == some.fingerprint


def test_zhu_cuts_are_at_least_and_classes_exclude_each_other() -> None:
    zhu = SCHEMES["zhu-5class"]
    assert name_of(zhu.label(answers(smooth=0.469, completely_round=0.5))) == "smooth-round"
    assert name_of(zhu.label(answers(smooth=0.4689, completely_round=0.5))) == "no rule claims it"
    assert name_of(zhu.label(answers(smooth=0.9, cigar_shaped=0.5))) == "smooth-cigar"
    assert name_of(zhu.label(answers(features_or_disk=0.43, edge_on_yes=0.602))) == "edge-on"
    spiral = answers(features_or_disk=0.8, edge_on_no=0.715, spiral_yes=0.619)
    labels = zhu.label(spiral)
    assert name_of(labels) == "spiral" and labels.soft is not None
    assert labels.soft[0].tolist() == [0, 0, 0, 0, 0.619]
    both = zhu.label(answers(smooth=1.0, completely_round=0.5, in_between=0.5))
    assert name_of(both) == "two rules claim it" and both.conflicts.tolist() == ["g"]


def test_a_catalog_of_ready_classes_needs_no_votes() -> None:
    frame = pd.DataFrame({"GalaxyID": [1, 2, 3], "class5": ["spiral", None, "edge-on"]})
    labels = SCHEMES["zhu-5class"].label(Catalog.of(frame))
    assert labels.names.tolist() == ["spiral", "edge-on"] and labels.left_out[
        "class column is empty"
    ].tolist() == ["2"]
    with pytest.raises(
        InputError,
        match=r"galaxy 3: unknown class name; must be one of smooth-round, .* or empty, found disk",
    ):
        SCHEMES["zhu-5class"].label(Catalog.of(frame.assign(class5=["spiral", "", "disk"])))


def test_hazra_cuts_are_strict_and_its_overlap_is_reported() -> None:
    corrected, faithful = SCHEMES["hazra-3class"], SCHEMES["hazra-3class-faithful"]
    assert (
        name_of(corrected.label(answers(smooth=0.8, completely_round=0.7))) == "no rule claims it"
    )
    assert (
        name_of(corrected.label(answers(smooth=0.9, completely_round=0.4))) == "no rule claims it"
    )
    assert name_of(corrected.label(answers(features_or_disk=0.9, edge_on_yes=0.5))) == "edge-on"
    assert name_of(faithful.label(answers(features_or_disk=0.9, edge_on_yes=0.5))) == "spiral"
    both = answers(smooth=0.9, completely_round=0.45, in_between=0.45)
    assert name_of(corrected.label(both)) == "two rules claim it"
    assert name_of(faithful.label(both)) == "elliptical"
    assert (
        corrected.label(both).conflicts.tolist() == faithful.label(both).conflicts.tolist() == ["g"]
    )


def test_tuning_fork_flags_may_be_several_or_none() -> None:
    votes = fractions(1)
    votes.values[:] = 0
    for name in ("smooth", "bar-yes", "merger"):
        votes.values[0, ANSWERS.index(name)] = 0.6
    votes.values[0, ANSWERS.index("spiral-yes")] = 0.5  # a half rounds to even, so to 0
    labels = SCHEMES["tuning-fork"].label(hart(votes))
    assert labels.target == "multi-label"
    assert labels.counts == {
        "elliptical": 1,
        "edge-on": 0,
        "barred": 1,
        "spiral": 0,
        "bulge": 0,
        "merger": 1,
    }


def test_q1_takes_the_most_voted_answer_and_leaves_ties_out() -> None:
    q1 = SCHEMES["q1-3class"]
    assert (
        name_of(q1.label(answers(smooth=0.3, features_or_disk=0.6, star_or_artifact=0.1)))
        == "features-or-disk"
    )
    assert (
        name_of(q1.label(answers(smooth=0.45, features_or_disk=0.45, star_or_artifact=0.1)))
        == "no rule claims it"
    )


def test_q1_faithful_draws_each_answer_as_often_as_it_was_voted() -> None:
    votes = fractions(4000)
    votes.values[:, :3] = [0.5, 0.3, 0.2]
    catalog = kaggle(votes)
    drawn = SCHEMES["q1-3class-faithful"].label(catalog, seed=0)
    shares = np.array(list(drawn.counts.values())) / 4000
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=4 * np.sqrt(0.25 / 4000))
    other = SCHEMES["q1-3class-faithful"].label(catalog, seed=1)
    agreeing = (drawn.codes == other.codes).mean()
    assert agreeing == pytest.approx(0.25 + 0.09 + 0.04, abs=0.04)  # two independent draws


def test_a_question_counts_for_walmsley_where_more_than_half_reached_it() -> None:
    walmsley = SCHEMES["walmsley-7class"]
    barred = {
        "features_or_disk": 0.8,
        "edge_on_no": 0.6,
        "edge_on_yes": 0.2,
        "bar_yes": 0.4,
        "bar_no": 0.2,
    }
    assert name_of(walmsley.label(answers(**barred))) == "barred"
    assert name_of(walmsley.label(answers(**barred | {"edge_on_no": 0.5}))) == "no rule claims it"
    unbarred = barred | {"bar_yes": 0.2, "bar_no": 0.4, "spiral_yes": 0.4, "spiral_no": 0.2}
    assert name_of(walmsley.label(answers(**unbarred))) == "unbarred-spiral"
    assert name_of(walmsley.label(answers(**unbarred | {"spiral_yes": 0.1}))) == "featured-other"
    assert name_of(walmsley.label(answers(**unbarred | {"bar_yes": 0.4}))) == "no rule claims it"
    assert (
        name_of(walmsley.label(answers(features_or_disk=0.6, edge_on_yes=0.5, edge_on_no=0.1)))
        == "edge-on"
    )
    assert (
        name_of(walmsley.label(answers(smooth=0.6, in_between=0.3, cigar_shaped=0.2)))
        == "in-between"
    )


def test_smooth_featured_asks_for_votes_and_no_artifact() -> None:
    votes = fractions(4)
    votes.values[:, :3] = [[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.3, 0.3, 0.4], [0.6, 0.4, 0.0]]
    catalog = hart(votes)
    catalog.frame["total_classifications"] = [20, 40, 40, 19]
    labels = SCHEMES["smooth-featured"].label(catalog)
    assert labels.names.tolist() == ["smooth", "featured"]
    assert {reason: ids.tolist() for reason, ids in labels.left_out.items()} == {
        "fewer than 20 votes": ["g0003"],
        "artifact": ["g0002"],
    }
    unknown = SCHEMES["smooth-featured"].label(kaggle(votes)).left_out
    assert {reason: ids.tolist() for reason, ids in unknown.items()} == {
        "fewer than 20 votes: not known in this catalog": [],
        "artifact": ["g0002"],
    }
    rules = {"a": ("wins smooth",), "b": ("wins features-or-disk",)}
    with pytest.raises(
        InputError,
        match=r"no numeric column for votes; must have a column votes, found .*; join the table",
    ):
        LabelScheme("strict", rules, leave_out={"few": ("votes < 20",)}).label(kaggle(votes))


def test_engel_takes_the_first_letter_from_either_name_of_the_column() -> None:
    frame = pd.DataFrame({"specobjid": [1, 2, 3, 4], "gz2class": ["Ei(m)", "SBb2t", "A", "?"]})
    labels = SCHEMES["engel-esa"].label(Catalog.of(frame))
    assert labels.names.tolist() == ["elliptical", "spiral", "artifact"]
    assert labels.left_out["gz2_class is missing or cannot be read"].tolist() == ["4"]


def test_votes_37_are_the_cumulative_fractions_themselves() -> None:
    votes = fractions(20)
    labels = SCHEMES["votes-37"].label(kaggle(votes))
    assert labels.target == "fractions" and labels.classes == ANSWERS
    np.testing.assert_array_equal(labels.values, votes.cumulative().values)
    debiased = SCHEMES["votes-37-debiased"].label(hart(votes))
    np.testing.assert_array_equal(debiased.values, votes.values)


def test_unknown_votes_are_a_reason_of_their_own_where_no_rule_can_decide() -> None:
    votes = fractions(3)
    votes.values[:, :3] = [0.1, 0.9, 0.0]
    votes.values[0, :3] = np.nan
    votes.values[1, COLUMNS["edge-on"]] = np.nan
    votes.values[2, :2] = [0.9, 0.1]
    votes.values[2, COLUMNS["edge-on"]] = np.nan
    votes.values[2, COLUMNS["rounded"]] = [0.9, 0.1, 0.0]
    labels = SCHEMES["zhu-5class"].label(hart(votes))
    assert labels.names.tolist() == ["smooth-round"]
    assert labels.left_out["votes are missing"].tolist() == ["g0000", "g0001"]


def test_a_scheme_says_what_the_catalog_lacks() -> None:
    with pytest.raises(
        InputError,
        match=r"no class strings; must have a column gz2_class or gz2class; scheme gz2-4class "
        r"works on",
    ):
        SCHEMES["gz2-4class"].label(kaggle(fractions(2)))
    with pytest.raises(
        InputError,
        match=r"no cumulative votes; must have columns of weighted or .* votes on smooth, "
        r"completely-round",
    ):
        SCHEMES["hazra-3class"].label(Catalog.of(pd.DataFrame({"galaxy_id": ["a"]})))


@steady
@given(
    st.integers(0, 10_000),
    st.sampled_from(["zhu-5class", "walmsley-7class", "q1-3class", "hazra-3class"]),
)
def test_kaggle_and_hart_forms_of_the_same_votes_give_the_same_labels(seed: int, name: str) -> None:
    votes = fractions(30, seed)
    first, second = SCHEMES[name].label(kaggle(votes)), SCHEMES[name].label(hart(votes))
    assert first.fingerprint == second.fingerprint


# schemes of one's own

TOML = """
source = "me"
[classes]
round = ["Class1.1 > 0.8", "completely-round > 0.5"]
disk = ["features-or-disk > smooth"]
[leave_out]
"few votes" = ["classifications < 30"]
"""


def test_a_scheme_of_ones_own_is_a_short_file(tmp_path: Path) -> None:
    (tmp_path / "Round_or_disk.toml").write_text(TOML)
    own = scheme(tmp_path / "Round_or_disk.toml")
    assert (
        own.name == "round-or-disk"
        and scheme(str(tmp_path / "Round_or_disk.toml")).classes == own.classes
    )
    votes = fractions(3)
    votes.values[:, :3] = [[0.9, 0.1, 0], [0.1, 0.9, 0], [0.5, 0.4, 0.1]]
    votes.values[:, COLUMNS["rounded"]] = [1, 0, 0]
    assert own.label(hart(votes)).names.tolist() == ["round", "disk"]


def test_the_example_file_of_the_experiments_is_a_scheme() -> None:
    example = scheme(EXPERIMENTS / "schemes" / "tuning-fork-4class.toml")
    labels = example.label(answers(features_or_disk=0.9, bar_no=0.75, edge_on_yes=0.75, odd_no=0.9))
    assert (
        example.name == "tuning-fork-4class"
        and name_of(labels) == "spiral"
        and len(labels.conflicts) == 1
    )


def test_the_same_scheme_in_python() -> None:
    own = LabelScheme(
        "barred-or-not",
        {"barred": ("wins bar-yes",), "unbarred": ("wins bar-no",)},
        form="conditional",
    )
    labels = own.label(hart(fractions(50)))
    assert len(labels) == 50 and set(labels.names) == {"barred", "unbarred"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes = 3", r"scheme file; must have a table \[classes\], .* found classes"),
        (
            "colour = 'red'\n[classes]\na=['wins smooth']\nb=['wins merger']",
            "scheme file; .* found colour",
        ),
        (
            "[classes]\na = 'wins smooth'\nb = ['wins merger']",
            r"classes.a: conditions; must be a list of texts, found wins smooth",
        ),
        ("[classes]\na = ['wins smooth']", "scheme has too few classes; must have two or more"),
        (
            "[classes]\nA = ['wins smooth']\nb = ['wins merger']",
            "name; must be lower case letters and digits with hyphens, found A",
        ),
        (
            "[classes]\na = ['smooth => 1']\nb = ['wins merger']",
            "condition cannot be read; must look like .*, found smooth => 1",
        ),
        (
            "[classes]\na = ['smooth > inf']\nb = ['wins merger']",
            "threshold; must be a finite number, found smooth > inf",
        ),
        (
            "[classes]\na = ['wins smoth']\nb = ['wins merger']",
            "unknown answer; .* found smoth; did you mean 'smooth'",
        ),
        (
            "[classes]\na = ['smooth > brigt']\nb = ['wins merger']",
            "unknown answer; .* found brigt",
        ),
        (
            "[classes]\na = ['colour in r']\nb = ['wins merger']",
            "unknown part of gz2_class; must be one of form, roundness",
        ),
        (
            "form = 'x'\n[classes]\na = ['wins smooth']\nb = ['wins merger']",
            "form; must be one of cumulative, conditional, found x",
        ),
        (
            "measures = ['x']\n[classes]\na = ['wins smooth']\nb = ['wins merger']",
            "measures; must be one of count, weight",
        ),
        (
            "draw = true\n[classes]\na = []\nb = []",
            "soft labels; must name an answer for each class",
        ),
        (
            "[classes]\na = []\nb = ['wins merger']",
            "class without conditions; must have at least one",
        ),
        (
            "[classes]\na = ['wins smooth']\nb = ['wins merger']\n[soft]\nc = 'smooth'",
            "soft labels; must name an answer for each class, found {'c': 'smooth'}",
        ),
        (
            "[classes]\na = ['wins smooth']\nb = ['wins merger']\n[soft]\na = 'smoth'\nb = "
            "'merger'",
            "unknown answer; .* found smoth",
        ),
        ("[classes", "scheme cannot be read; must be TOML"),
        (
            "[classes]\na = ['wins smooth']\nb = ['wins merger']\n[leave_out]\n"
            "'no rule claims it' = ['redshift > 0.05']",
            "reason to leave out; must have a name of its own, found no rule claims it; choose",
        ),
        (
            "[classes]\na = ['bar in b']\nb = ['form in E']",
            "letter of bar; must be one of B, or - for none, found bar in b",
        ),
        (
            "target = 'multi-label'\n[classes]\na = []\nb = ['wins merger']",
            "class without conditions; must have at least one",
        ),
        (
            "[classes]\na = ['wins smooth']\nb = ['wins merger']\n[leave_out]\nfar = []",
            "reason to leave out without conditions; must have at least one, found {'far'",
        ),
        (
            "draw = true\n[classes]\na = ['smooth > 0.5']\nb = []\n[soft]\na = 'smooth'\nb = "
            "'merger'",
            "conditions of drawn classes; must be empty, because",
        ),
        (
            "target = 'fractions'\ndraw = true\n[classes]\na = ['smooth']\nb = ['merger']",
            "draw; must be left out of a scheme without one class per galaxy, found target fract",
        ),
        (
            "target = 'multi-label'\ncolumn = 'x'\n[classes]\na = []\nb = []",
            "column; must be left out of a scheme without one class per galaxy",
        ),
    ],
)
def test_a_broken_scheme_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(GzError, match=message):
        scheme(tmp_path / "own.toml")


def test_unknown_names_list_the_legal_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"unknown scheme; must be one of gz2-2class, .*; did you mean 'zhu-5class'",
    ):
        scheme("zhu-5clas")
    with pytest.raises(MissingFileError, match="scheme not found"):
        scheme(tmp_path / "none.toml")


# the real tables


@pytest.mark.data
def test_zhu_from_real_votes_is_the_published_class_of_every_galaxy_that_has_both(
    shared_data: Path,
) -> None:
    from_votes = SCHEMES["zhu-5class"].label(Catalog.read(shared_data / "gz2" / "votes.csv"))
    published = Catalog.read(shared_data / "gz2" / "classes.csv")
    ready = SCHEMES["zhu-5class"].label(published)
    both = from_votes.ids[np.isin(from_votes.ids, ready.ids)]
    assert len(both) > 1900
    assert (from_votes.select(both).codes == ready.select(both).codes).all()
    voted = np.concatenate([from_votes.ids, *from_votes.left_out.values()])
    classed = voted[np.isin(voted, ready.ids)]
    assert set(classed) == set(from_votes.ids)  # and no galaxy has a class in one table only
    assert not len(from_votes.conflicts)
    assert len(SCHEMES["zhu-5class"].label(Catalog.read(shared_data / "gz2" / "bulk.csv"))) > 21_000


@pytest.mark.data
def test_hazra_cuts_on_real_kaggle_rows_overlap(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "catalogs" / "kaggle_training_solutions_part.csv")
    frame = catalog.frame
    round_, between = (
        (frame["Class1.1"] > 0.8) & (frame["Class7.1"] > 0.4),
        (frame["Class1.1"] > 0.8) & (frame["Class7.2"] > 0.4),
    )
    labels = SCHEMES["hazra-3class"].label(catalog)
    assert set(labels.conflicts) == set(catalog.ids[(round_ & between).to_numpy()])
    assert len(labels.conflicts) == 87
    assert labels.counts["round"] == int((round_ & ~between).sum())
    assert SCHEMES["hazra-3class-faithful"].label(catalog).counts["elliptical"] == int(round_.sum())


@pytest.mark.data
def test_every_scheme_works_on_a_real_table(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "hart16" / "hart16_1000.csv")
    for name, entry in SCHEMES.items():
        labels = entry.label(catalog)
        assert len(labels) > 400, name
        assert all(number > 0 for number in labels.counts.values()), name


def test_columns_of_ready_classes_are_those_of_the_schemes() -> None:
    from gzfeatures.galaxies.catalogs.kinds import READY_CLASSES

    named = {
        scheme.column: (name, tuple(scheme.classes))
        for name, scheme in SCHEMES.items()
        if scheme.column
    }
    assert named == {
        column: (ready.scheme, ready.classes) for column, ready in READY_CLASSES.items()
    }
