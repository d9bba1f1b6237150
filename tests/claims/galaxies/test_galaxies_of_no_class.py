"""Claim: galaxies whose votes are known and that no rule claims can be a class, and no other galaxy
becomes one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner
from verbs import app

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.experiment.config import load
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.classes_from_votes import (
    NO_RULE,
    NO_VOTES,
    NONE_OF_THESE,
    without_class,
)
from gzfeatures.galaxies.labels.label_scheme import LabelScheme
from gzfeatures.galaxies.labels.schemes import SCHEMES, scheme
from gzfeatures.galaxies.votes.column_names import KAGGLE
from gzfeatures.galaxies.votes.vote_columns import Choice

QUESTION = "t01_smooth_or_features_a0"
STEMS = (f"{QUESTION}1_smooth", f"{QUESTION}2_features_or_disk", f"{QUESTION}3_star_or_artifact")
RULES = LabelScheme(
    "round-or-disk",
    {
        "round": ("smooth > 0.6",),
        "disk": ("features-or-disk > 0.6",),
        "rounder": ("smooth > 0.85",),
    },
    leave_out={"artifact": ("star-or-artifact > 0.5",)},
)


def invoke(words: list[str]) -> Result:
    return CliRunner().invoke(app, words, catch_exceptions=False)


def votes() -> pd.DataFrame:
    """One galaxy of each fate: a class, no rule, two rules, an artifact, a missing vote."""
    rows = {"round": (0.7, 0.3, 0.0), "plain": (0.5, 0.5, 0.0), "two": (0.9, 0.1, 0.0)}
    rows |= {"artifact": (0.2, 0.2, 0.6), "unknown": (np.nan, 0.4, 0.0)}
    frame = pd.DataFrame(list(rows.values()), columns=[f"{stem}_fraction" for stem in STEMS])
    return frame.assign(dr7objid=list(rows), gz2_class="Er")


def test_only_galaxies_that_were_judged_and_claimed_by_no_rule_are_none_of_these() -> None:
    catalog = Catalog.of(votes())
    left, own = RULES.label(catalog), RULES.with_others("class").label(catalog)
    assert own.classes == (*left.classes, NONE_OF_THESE)
    assert dict(zip(own.ids, own.names, strict=True)) == {"round": "round", "plain": NONE_OF_THESE}
    assert left.left_out[NO_RULE].tolist() == ["plain"] and NO_RULE not in own.left_out
    fates = {reason: ids.tolist() for reason, ids in left.left_out.items() if reason != NO_RULE}
    assert {reason: ids.tolist() for reason, ids in own.left_out.items()} == fates
    assert (
        fates[NO_VOTES] == ["unknown"]
        and fates["artifact"] == ["artifact"]
        and own.conflicts.tolist() == ["two"]
    )
    assert without_class(left) == without_class(own) == pytest.approx(1 / 3)


def test_a_vote_that_is_missing_further_down_the_tree_is_no_answer_no() -> None:
    """Whether the second galaxy is edge-on is not known, so neither is whether a rule claims it."""
    frame = pd.DataFrame({"dr7objid": ["face-on", "unknown"], "gz2_class": "Er"})
    shares = {STEMS[0]: 0.2, STEMS[1]: 0.8, STEMS[2]: 0.0}
    edge = "t02_edgeon_a0"
    for stem, share in {
        **shares,
        f"{edge}4_yes": [0.1, np.nan],
        f"{edge}5_no": [0.9, np.nan],
    }.items():
        frame[f"{stem}_fraction"] = share
    rules = LabelScheme(
        "edges", {"smooth": ("smooth > 0.5",), "edge-on": ("edge-on-yes > 0.5",)}, others="class"
    )
    labels = rules.label(Catalog.of(frame))
    assert labels.ids.tolist() == ["face-on"] and labels.names.tolist() == [NONE_OF_THESE]
    assert labels.left_out[NO_VOTES].tolist() == ["unknown"]


@pytest.mark.parametrize(
    "name", [name for name, entry in SCHEMES.items() if entry.target == "classes"]
)
def test_every_scheme_keeps_its_labels_and_adds_what_no_rule_claimed(name: str) -> None:
    draw = np.random.default_rng(5)
    frame = pd.DataFrame(draw.random((400, 37)), columns=list(KAGGLE.values()))
    strings = draw.choice(["Er", "Ec", "Sb2t", "Ser", "A", "S"], 400)
    catalog = Catalog.of(frame.assign(GalaxyID=[f"g{i}" for i in range(400)], gz2_class=strings))
    if SCHEMES[name].draw:
        with pytest.raises(InputError, match="without one ruled class per galaxy"):
            SCHEMES[name].with_others("class")
        return
    left, own = SCHEMES[name].label(catalog), SCHEMES[name].with_others("class").label(catalog)
    ruled = own.names != NONE_OF_THESE
    assert (
        own.ids[ruled].tolist() == left.ids.tolist()
        and own.names[ruled].tolist() == left.names.tolist()
    )
    assert (
        own.ids[~ruled].tolist() == left.left_out.get(NO_RULE, np.empty(0, dtype=object)).tolist()
    )
    assert own.soft is None  # no answer's fraction says how much a galaxy belongs to no class
    assert SCHEMES[name].with_others("left-out").label(catalog).fingerprint == left.fingerprint


def test_a_galaxy_of_too_few_volunteers_is_not_none_of_these() -> None:
    frame = pd.DataFrame({"dr7objid": ["many", "few"], "gz2_class": "Er"})
    for stem, count, share in zip(STEMS, ([20, 2], [20, 2], [0, 0]), (0.5, 0.5, 0.0), strict=True):
        frame[f"{stem}_count"], frame[f"{stem}_fraction"] = count, share
    rules = LabelScheme(
        "two",
        {"smooth": ("smooth > 0.6",), "disk": ("features-or-disk > 0.6",)},
        measures=("count",),
        others="class",
    )
    labels = rules.label(Catalog.of(frame), choice=Choice(min_votes=10))
    assert labels.ids.tolist() == ["many"] and labels.names.tolist() == [NONE_OF_THESE]


def test_a_scheme_that_cannot_have_such_a_class_says_so(tmp_path: Path) -> None:
    for name in ("tuning-fork", "votes-37"):
        with pytest.raises(
            InputError, match="others; must be left out of a scheme without one ruled class"
        ):
            SCHEMES[name].with_others("class")
    with pytest.raises(InputError, match="others; must be one of class, left out"):
        dataclasses.replace(RULES, others="none")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="none-of-these has rules of its own"):
        dataclasses.replace(
            RULES, classes={**RULES.classes, NONE_OF_THESE: ("ring > 0.9",)}, others="class"
        )
    file = tmp_path / "mine.toml"
    file.write_text(
        'others = "class"\n[classes]\nround = ["smooth > 0.6"]\ndisk = ["features-or-disk > 0.6"]\n'
    )
    assert scheme(file).others == "class" and scheme(file).with_others(None).others == "class"


def test_label_says_the_share_without_a_class_and_gives_it_one_on_request(tmp_path: Path) -> None:
    file, rules, output = tmp_path / "votes.csv", tmp_path / "mine.toml", tmp_path / "labels.csv"
    votes().to_csv(file, index=False)
    rules.write_text('[classes]\nround = ["smooth > 0.6"]\ndisk = ["features-or-disk > 0.6"]\n')
    words = ["label", str(file), "--scheme", str(rules), "-o", str(output), "--json"]
    left = invoke(words)
    assert left.exit_code == 0 and '"without_class": 0.5,' in left.stdout
    assert (
        "50.0% of the galaxies that could be judged have no class in mine (left out" in left.stderr
    )
    own = invoke([*words, "--others", "class"])
    assert own.exit_code == 0 and "(they are none-of-these)" in own.stderr
    assert sorted(pd.read_csv(output).label) == [NONE_OF_THESE, NONE_OF_THESE, "round", "round"]
    drawn = invoke(
        [
            "sample",
            str(file),
            "-s",
            str(rules),
            "-o",
            str(tmp_path / "s.csv"),
            "--others",
            "class",
            "--json",
        ]
    )
    assert drawn.exit_code == 0 and f'"{NONE_OF_THESE}"' in drawn.stdout


def test_an_experiment_takes_others_and_keeps_its_fingerprint_without(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        'name = "small"\n[galaxies]\ncatalog = "v.csv"\nimages = "i"\n[[networks]]\nname = '
        '"small-cnn"\n',
        "utf-8",
    )
    plain, own = load(file), load(file, ["galaxies.others=class"])
    assert own.galaxies.others == "class" and own.fingerprint != plain.fingerprint
    fields = plain.model_dump(mode="json", exclude={"description"})
    for younger in ("others", "reading", "target", "redshift", "as_number"):
        del fields["galaxies"][younger]  # earlier runs had none of them
    del fields["sizes"], fields["networks"][0]["members"]
    assert fingerprint.of(fields) == plain.fingerprint
    with pytest.raises(InputError, match="others: belongs to a scheme"):
        load(file, ["galaxies.others=class", "galaxies.labels=labels.csv"])
