"""Claim: predict warns of a table that is drawn otherwise than the training galaxies, by size, and
of no other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables_of import table_of
from typer.testing import CliRunner
from verbs import app

from gzfeatures.errors import InputError
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.candidates import fit_heads
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.head import Head
from gzfeatures.unlabelled.familiarity import Familiarity
from gzfeatures.unlabelled.priors import Priors
from gzfeatures.unlabelled.shift import MOST, Shares, Shift, TableSample

OLD, NEW = np.array([0.3, 0.3, 0.05, 0.1, 0.25]), np.array([0.15, 0.3, 0.05, 0.1, 0.4])
CLASSES = ("a", "b", "c", "d", "e")


def galaxies(
    n: int, seed: int, shares: np.ndarray = OLD, moved: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with heavy tails, shape (n, 12), of classes with these shares; and the classes."""
    draw = np.random.default_rng(seed)
    codes = draw.choice(5, n, p=shares)
    vectors = 3.5 * np.eye(5, 12)[codes] + draw.standard_t(6, (n, 12))
    vectors[:, 7:] += moved
    return vectors, codes


def said(vectors: np.ndarray) -> np.ndarray:
    """Probabilities of a head that knows the shares OLD."""
    scores = -((vectors[:, None, :5] - 3.5 * np.eye(5)) ** 2).sum(2) / 3 + np.log(OLD)
    p = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(p / p.sum(1, keepdims=True))


def shift(m: int, n: int, seed: int, **other: Any) -> Shift:
    kept_out, table = galaxies(m, 2 * seed)[0], galaxies(n, 2 * seed + 1, **other)[0]
    return Shift.between(kept_out, table, Shares.of(said(kept_out)), Shares.of(said(table)))


@pytest.mark.parametrize(("m", "n", "draws"), [(300, 300, 60), (100, 300, 60), (1000, 5000, 20)])
def test_the_same_population_is_not_warned_of_in_95_of_100_draws(
    m: int, n: int, draws: int
) -> None:
    found = [shift(m, n, seed) for seed in range(draws)]
    assert np.mean([one.shifted for one in found]) <= 0.05
    # freed of noise: the plain sum of absolute differences is .06 and .08 in the mean at 300
    # galaxies a side
    assert np.mean([one.variation for one in found]) <= 0.05
    # an AUC of galaxies that were not learned from has its middle at one half
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.015)


def test_another_share_of_classes_is_warned_of() -> None:
    found = [shift(300, n, seed, shares=NEW) for seed in range(12) for n in (300, 5000)]
    assert np.mean([one.shares_shifted for one in found]) >= 0.8
    truth = (
        np.abs(
            said(galaxies(20_000, 0, shares=NEW)[0]).mean(0) - said(galaxies(20_000, 1)[0]).mean(0)
        ).sum()
        / 2
    )
    assert np.mean([one.variation for one in found]) == pytest.approx(truth, abs=0.02)
    line = next(one for one in found if one.shares_shifted).warning()
    assert (
        line is not None and "class shares differ by 0." in line and "--priors unlabelled" in line
    )


def test_another_population_is_warned_of_and_correcting_shares_is_no_remedy_for_it() -> None:
    for seed in range(4):
        found = shift(300, 1000, seed, moved=0.7)
        assert found.looks_shifted and found.auc_interval[0] < found.auc < found.auc_interval[1]
        line = found.warning(corrected=True)
        assert (
            line is not None
            and "with an AUC of 0.8" in line
            and "fit on some labelled galaxies" in line
        )
        assert "--priors" not in line


def test_a_difference_that_is_certain_but_small_is_not_warned_of() -> None:
    """A million galaxies make any difference significant; a share that differs by .02 is not worth
    a word."""
    p = np.repeat([[0.52, 0.48], [0.5, 0.5]], 500_000, axis=0)
    vectors = galaxies(400, 0)[0]
    found = Shift.between(
        vectors, galaxies(400, 1)[0], Shares.of(p[500_000:]), Shares.of(p[:500_000])
    )
    assert found.variation == pytest.approx(0.02) and found.variation_interval is not None
    assert found.variation_interval[0] > 0.019 and not found.shares_shifted


def test_the_interval_of_the_variation_holds_it() -> None:
    truth = 0.145
    held = []
    for seed in range(120):
        low, high = shift_of_shares(300, 800, seed)
        held.append(low <= truth <= high)
    assert np.mean(held) >= 0.8  # 90 % less three standard errors of 120 draws


def shift_of_shares(m: int, n: int, seed: int) -> tuple[float, float]:
    from gzfeatures.unlabelled.shift import _variation

    draw = np.random.default_rng(seed)
    old, new = (
        np.eye(5)[draw.choice(5, m, p=OLD)],
        np.eye(5)[draw.choice(5, n, p=[0.155, 0.3, 0.05, 0.1, 0.395])],
    )
    return _variation(Shares.of(old), Shares.of(new))[1]


def test_expectation_maximisation_finds_the_shares_and_mends_the_probabilities() -> None:
    for seed in range(5):
        vectors, codes = galaxies(2000, seed, shares=NEW)
        ids = np.array([f"g{i}" for i in range(2000)], dtype=object)
        plain = Predictions(ids, said(vectors), CLASSES)
        priors = Priors.of(plain, OLD)
        assert np.abs(priors.after - np.bincount(codes, minlength=5) / 2000).max() <= 0.03
        mended = priors.corrected(plain)
        losses = [
            -np.log(each.probabilities[np.arange(2000), codes]).mean() for each in (plain, mended)
        ]
        assert losses[1] < losses[0]
        np.testing.assert_allclose(mended.probabilities.mean(0), priors.after, atol=1e-4)


def test_equal_shares_change_nothing_and_unfit_galaxies_are_not_estimated_from() -> None:
    vectors, _ = galaxies(4000, 1)
    ids = np.array([f"g{i}" for i in range(4000)], dtype=object)
    plain = Predictions(ids, said(vectors), CLASSES)
    assert np.abs(Priors.of(plain, OLD).after - OLD).max() <= 0.03
    strange = np.arange(4000) < 1000
    spoilt = plain.probabilities.copy()
    spoilt[strange] = np.eye(5)[2]
    for mark in ("seen", "unfamiliar"):
        marked = Predictions(ids, spoilt, CLASSES, **{mark: strange})  # type: ignore[arg-type]
        assert np.abs(Priors.of(marked, OLD).after - OLD).max() <= 0.03
    with pytest.raises(
        InputError, match="galaxies to estimate class shares from; must be 30 or more"
    ):
        Priors.of(plain.select(ids[:29]), OLD)


def test_class_sets_keep_their_promise_in_every_class_under_other_shares() -> None:
    held: list[list[float]] = []
    for seed in range(8):
        vectors, codes = galaxies(3000, 2 * seed)
        ids = np.array([f"g{i}" for i in range(3000)], dtype=object)
        sets = Conformal.of(Predictions(ids, said(vectors), CLASSES), Labels(ids, CLASSES, codes))
        vectors, codes = galaxies(3000, 2 * seed + 1, shares=NEW)
        plain = Predictions(ids, said(vectors), CLASSES)
        plain = dataclasses.replace(plain, sets=sets.sets(plain))
        mended = Priors.of(plain, OLD).corrected(plain)
        assert mended.sets is not None and plain.sets is not None
        assert (
            mended.sets[np.arange(3000), mended.codes].all() and (mended.sets >= plain.sets).all()
        )
        held.append([mended.sets[codes == c, c].mean() for c in range(5)])
    assert np.mean(held, axis=0).min() >= 0.88  # class c has 150 calibration galaxies a trial


def test_the_sample_of_a_table_is_bounded_and_the_same_however_the_table_is_cut() -> None:
    vectors = galaxies(6000, 0)[0].astype(np.float32)
    known = Familiarity.of(vectors[:1000], vectors[1000:1500])
    ids, seen = np.array([f"g{i}" for i in range(6000)], dtype=object), np.arange(6000) % 2 == 0
    whole, parts = TableSample(known), TableSample(known)
    whole.add(ids, vectors, seen)
    for start in range(0, 6000, 700):
        part = slice(start, start + 700)
        parts.add(ids[part], vectors[part], seen[part])
    assert len(whole.coordinates) == MOST
    np.testing.assert_allclose(whole.coordinates, parts.coordinates, rtol=1e-4, atol=1e-4)
    few = TableSample(known)
    few.add(ids, vectors, ~(np.arange(6000) < 7))
    assert len(few.coordinates) == 7  # none that was trained on


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vectors, codes = galaxies(1200, 0)
    table = table_of(vectors)
    labels = Labels(table.ids, CLASSES, codes)
    split = Split.draw(labels, (0.5, 0.3, 0.2), seed=0)
    folder = tmp_path_factory.mktemp("heads")
    return fit_heads([table], labels, split, [HeadChoice(name="lda")], seed=0, folder=folder)[0][1]


def table_at(folder: Path, n: int, seed: int, **other: Any) -> EmbeddingTable:
    table = table_of(galaxies(n, seed, **other)[0], ids=[f"new{i}" for i in range(n)])
    table.write(folder / "table.parquet")
    return table


def predict(head: Path, folder: Path, *words: str) -> tuple[dict[str, Any], str]:
    made = CliRunner().invoke(
        app,
        [
            "predict",
            str(head),
            str(folder / "table.parquet"),
            "-o",
            str(folder / "p.parquet"),
            "--json",
            *words,
        ],
        catch_exceptions=False,
    )
    assert made.exit_code == 0, made.output
    return json.loads(made.stdout), made.stderr


def test_predict_warns_in_one_line_of_other_galaxies_and_is_silent_of_the_same(
    head: Path, tmp_path: Path
) -> None:
    table_at(tmp_path, 500, 7)
    found, words = predict(head, tmp_path)
    assert not found["shift"]["shifted"] and "warning" not in words and "class_shares" not in found
    table_at(tmp_path, 500, 8, moved=1.5)
    found, words = predict(head, tmp_path)
    assert (
        found["shift"]["shifted"]
        and found["shift"]["galaxies"] == 500
        and found["shift"]["kept_out"] == 361
    )
    assert [
        line.startswith("warning: galaxies of this table") for line in words.splitlines()
    ].count(True) == 1


def test_predict_corrects_class_shares_on_request_and_shows_them(
    head: Path, tmp_path: Path
) -> None:
    table = table_at(tmp_path, 1500, 9, shares=np.array([0.1, 0.15, 0.05, 0.1, 0.6]))
    found, words = predict(head, tmp_path)
    assert "class shares differ by" in words and "--priors unlabelled" in words
    plain = Predictions.read(tmp_path / "p.parquet")
    found, words = predict(head, tmp_path, "--priors", "unlabelled")
    assert "class shares differ by" not in words
    shares = {row["class"]: row for row in found["class_shares"]}
    truth = (
        np.bincount(galaxies(1500, 9, shares=np.array([0.1, 0.15, 0.05, 0.1, 0.6]))[1], minlength=5)
        / 1500
    )
    for name, share in zip(CLASSES, truth, strict=True):
        assert shares[name]["after"] == pytest.approx(share, abs=0.03)
    assert abs(shares["e"]["after"] - truth[4]) < abs(shares["e"]["before"] - truth[4])
    mended = Predictions.read(tmp_path / "p.parquet")
    assert plain.sets is not None and mended.sets is not None and (mended.sets >= plain.sets).all()
    assert (
        np.array_equal(mended.ids, table.ids)
        and mended.probabilities[:, 4].mean() > plain.probabilities[:, 4].mean()
    )


def test_a_head_of_before_and_a_table_that_is_too_small_say_that_nothing_is_known(
    head: Path, tmp_path: Path
) -> None:
    table_at(tmp_path, 20, 3)
    found, words = predict(head, tmp_path)
    assert found["shift"] is None and "20 that were not trained on and 361 kept out" in words
    table_at(tmp_path, 300, 3)
    old = dataclasses.replace(Head.read(head), familiarity=None, shares=None, sets=None).write(
        tmp_path / "old.skops"
    )
    found, words = predict(old, tmp_path)
    assert found["shift"] is None and words.count("is not known: it keeps none of them") == 1
    refused = CliRunner().invoke(
        app,
        [
            "predict",
            str(old),
            str(tmp_path / "table.parquet"),
            "-o",
            str(tmp_path / "x.csv"),
            "--priors",
            "unlabelled",
        ],
    )
    assert isinstance(refused.exception, InputError) and "class shares cannot be corrected" in str(
        refused.exception
    )
    assert not (tmp_path / "x.csv").exists()


def test_a_head_read_from_a_file_keeps_its_class_shares(head: Path) -> None:
    shares = Head.read(head).shares
    assert shares is not None and shares.n == 361 and shares.mean.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="hold arrays of shapes that agree"):
        Shares.fromdict(shares.asdict() | {"mean": [0.5, 0.5]})
    with pytest.raises(InputError, match="50 or more a side"):
        Shift.between(np.zeros((49, 3)), np.zeros((50, 3)))
