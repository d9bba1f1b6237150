from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.votes import gz2_class_strings
from gzfeatures.galaxies.votes.gz2_class_strings import parse

steady = settings(derandomize=True, deadline=None, max_examples=200)
STRINGS = [
    word
    for line in (Path(__file__).with_name("gz2_class_strings.txt")).read_text().splitlines()
    if not line.startswith("#")
    for word in line.split()
]

odd = st.sampled_from(["", *"rldiomu"])


@steady
@given(
    st.sampled_from(["", "B"]),
    st.sampled_from("abcd"),
    st.sampled_from(["", *"1234+?"]),
    st.sampled_from(["", *"tml"]),
    odd,
)
def test_every_letter_of_a_disk_is_read_in_its_place(
    bar: str, bulge: str, arms: str, winding: str, feature: str
) -> None:
    text = f"S{bar}{bulge}{arms}{winding}" + (f"({feature})" if feature else "")
    assert parse(text) == gz2_class_strings.Parts("S", "", "", bar, bulge, arms, winding, feature)


@steady
@given(st.sampled_from("ric"), odd)
def test_roundness_and_odd_feature_share_letters_but_not_places(
    roundness: str, feature: str
) -> None:
    parts = parse(f"E{roundness}" + (f"({feature})" if feature else ""))
    assert parts is not None and (parts.roundness, parts.odd, parts.winding) == (
        roundness,
        feature,
        "",
    )


@steady
@given(st.text(alphabet="ESABabcdericntml1234+?()ou ", max_size=10))
def test_what_is_read_can_be_written_again(text: str) -> None:
    parts = parse(text)
    if parts is not None:
        edge = f"e{parts.edge}" if parts.edge else ""
        suffix = f"({parts.odd})" if parts.odd else ""
        head = (
            parts.form
            + parts.roundness
            + edge
            + parts.bar
            + parts.bulge
            + parts.arms
            + parts.winding
        )
        assert head + suffix == text


@pytest.mark.parametrize(
    "text",
    ["", "E", "S", "Ee", "SBer", "Sb(m", "Sb2t(x)", " Sb", "Sb2t ", "sb", "nan", "Sb2t(m)(r)"],
)
def test_strings_outside_the_grammar_are_not_read(text: str) -> None:
    assert parse(text) is None


def test_columns_are_read_once_per_distinct_string_and_keep_gaps() -> None:
    letters, codes = gz2_class_strings.parse_column(
        pd.Series(["Sb2t", None, "Ei(m)", "bad", "Sb2t"], dtype="str")
    )
    assert codes.tolist() == [0, -1, 1, -1, 0]
    assert letters["winding"].tolist() == ["t", ""] and letters["odd"].tolist() == ["", "m"]


def test_the_817_published_strings_are_read_and_49_and_14_were_wrong() -> None:
    assert len(STRINGS) == len(set(STRINGS)) == 817
    catalog = Catalog.of(pd.DataFrame({"galaxy_id": STRINGS, "gz2_class": STRINGS}))
    changed = {}
    for number in (2, 4, 8, 12):
        corrected = SCHEMES[f"gz2-{number}class"].label(catalog)
        faithful = SCHEMES[f"gz2-{number}class-faithful"].label(catalog)
        assert len(corrected) == len(faithful) == 817 and not len(corrected.conflicts)
        changed[number] = int((corrected.codes != faithful.codes).sum())
    assert changed == {2: 0, 4: 0, 8: 14, 12: 49}
    two = SCHEMES["gz2-2class"].label(catalog).counts
    assert two == {"elliptical": 24, "spiral": 793}
    wrong = {
        text: (corrected_name, faithful_name)
        for text, corrected_name, faithful_name in zip(
            STRINGS,
            SCHEMES["gz2-12class"].label(catalog).names,
            SCHEMES["gz2-12class-faithful"].label(catalog).names,
            strict=True,
        )
        if corrected_name != faithful_name
    }
    assert wrong["Sb(m)"] == ("s0", "sb") and wrong["SBb2l(m)"] == ("sbc", "sbb")


def test_faithful_reading_takes_a_bare_e_for_a_cigar_as_its_source_did() -> None:
    assert parse("E", "anywhere") is not None and parse("E", "anywhere").roundness == "c"  # type: ignore[union-attr]
    assert parse("x", "anywhere") is None


FULL = {"e0": 40_015, "e3": 47_166, "e7": 10_489, "edge-on": 19_606, "s0": 18_209, "sb0": 5_023}
FULL |= {"sba": 18_415, "sbb": 17_086, "sbc": 5_057, "sa": 35_062, "sb": 18_527, "sc": 4_445}


def test_a_full_size_catalog_with_the_published_frequencies_has_the_published_counts() -> None:
    """The published 12-class totals, spread over the published strings, give the totals of the
    other schemes."""
    strings = pd.Series(STRINGS)
    catalog = Catalog.of(pd.DataFrame({"galaxy_id": strings, "gz2_class": strings}))
    names = pd.Series(SCHEMES["gz2-12class-faithful"].label(catalog).names)
    drawn = ["A"] * 595
    for name, total in FULL.items():
        members = strings[names == name].tolist()
        drawn += [members[place % len(members)] for place in range(total)]
    full = Catalog.of(
        pd.DataFrame({"galaxy_id": [f"g{row}" for row in range(len(drawn))], "gz2_class": drawn})
    )
    assert len(full) == 239_695
    labels = {
        number: SCHEMES[f"gz2-{number}class-faithful"].label(full) for number in (2, 4, 8, 12)
    }
    assert {number: len(found) for number, found in labels.items()} == dict.fromkeys(
        (2, 4, 8, 12), 239_100
    )
    assert labels[2].counts == {"elliptical": 97_670, "spiral": 141_430}
    assert labels[4].counts == {"en": 97_670, "edge-on": 19_606, "sb": 45_581, "s": 76_243}
    assert labels[8].counts["sbabc"] == 40_558 and labels[8].counts["sabc"] == 58_034
    assert labels[12].counts == FULL
    assert {reason: len(ids) for reason, ids in labels[12].left_out.items()} == {
        "star or artifact": 595
    }
    corrected = SCHEMES["gz2-12class"].label(full).counts
    assert sum(corrected.values()) == 239_100
    assert (
        corrected["s0"] > FULL["s0"]
        and corrected["sb"] < FULL["sb"]
        and corrected["e0"] == FULL["e0"]
    )


@pytest.mark.data
def test_real_hart16_rows_that_the_correction_changes(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "hart16" / "hart16_1000.csv")
    labels = {name: SCHEMES[name].label(catalog) for name in SCHEMES if name.startswith("gz2-")}
    changed = {
        number: int(
            (
                labels[f"gz2-{number}class"].codes != labels[f"gz2-{number}class-faithful"].codes
            ).sum()
        )
        for number in (8, 12)
    }
    assert changed == {8: 86, 12: 94}
    before, after = labels["gz2-12class-faithful"].counts, labels["gz2-12class"].counts
    moved = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert moved == {
        "s0": (69, 144),
        "sb": (130, 48),
        "sb0": (14, 25),
        "sbb": (54, 42),
        "sbc": (12, 13),
        "sc": (8, 15),
    }


def test_letters_of_a_field_are_those_that_the_grammar_reads() -> None:
    signs = "ESABabcdeimnorltu1234+?"
    forms = [f"E{sign}" for sign in signs] + [f"Se{sign}" for sign in signs]
    disks = [f"S{bar}{bulge}" for bar in ("", *signs) for bulge in signs]
    arms = [f"Sa{number}{winding}" for number in ("", *signs) for winding in ("", *signs)]
    odd_features = [f"A({sign})" for sign in signs]
    read = [parse(text) for text in (*forms, *disks, *arms, *odd_features)]
    known = [parts for parts in read if parts is not None]
    for field, letters in gz2_class_strings.LETTERS._asdict().items():
        assert {getattr(parts, field) for parts in known} - {""} == set(letters), field
