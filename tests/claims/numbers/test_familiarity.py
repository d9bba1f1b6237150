"""familiarity_p is a promise: of galaxies drawn like the calibration galaxies a share of at most a
has p ≤ a."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.unlabelled.familiarity import LEVEL, Familiarity


def galaxies(n: int, seed: int, dim: int = 24) -> np.ndarray:
    """Two clumps of unequal size with heavy tails: no distance of ours fits them exactly."""
    draw = np.random.default_rng(seed)
    centre = np.where(draw.random((n, 1)) < 0.8, 3.0, -3.0) * np.linspace(1, 0.2, dim)
    return (centre + draw.standard_t(4, (n, dim))).astype(np.float32)


def strangers(n: int) -> np.ndarray:
    """Vectors along the directions in which the galaxies above hardly differ."""
    return (np.random.default_rng(2).normal(size=(n, 24)) * np.linspace(0.2, 9, 24)).astype(
        np.float32
    )


def test_a_share_of_at_most_a_of_new_galaxies_has_a_p_value_of_at_most_a() -> None:
    shares = []
    for seed in range(100):
        known = Familiarity.of(galaxies(300, 3 * seed), galaxies(150, 3 * seed + 1))
        shares.append(
            [(known.p_values(galaxies(100, 3 * seed + 2)) <= a).mean() for a in (0.01, 0.05, 0.2)]
        )
    # 10,000 new galaxies: three standard errors, of which calibration galaxies shared by 100 are
    # the larger part
    for share, a, slack in zip(
        np.mean(shares, 0), (0.01, 0.05, 0.2), (0.003, 0.008, 0.015), strict=True
    ):
        assert a - slack - 1 / 151 <= share <= a + slack


def test_vectors_of_another_kind_are_flagged() -> None:
    known = Familiarity.of(galaxies(2000, 0), galaxies(500, 1))
    assert (known.p_values(strangers(200)) < LEVEL).mean() >= 0.9


def test_the_contrast_sharpens_the_distance_and_leaves_the_promise_as_it_is() -> None:
    training, kept_out, fresh = galaxies(2000, 0), galaxies(500, 1), galaxies(4000, 2)
    others = galaxies(600, 4) + np.float32(2.5) * (np.arange(24) % 3 == 0).astype(np.float32)
    bare, sharp = (
        Familiarity.of(training, kept_out),
        Familiarity.of(training, kept_out, others[:300]),
    )
    found = [(each.p_values(others[300:]) < 0.05).mean() for each in (bare, sharp)]
    assert found[1] > found[0] + 0.2
    assert (sharp.p_values(fresh) < 0.05).mean() == pytest.approx(0.05, abs=0.03)


def test_fewer_than_100_calibration_galaxies_can_flag_none_and_say_so() -> None:
    few, enough = (Familiarity.of(galaxies(300, 0), galaxies(m, 1)) for m in (99, 100))
    far = strangers(20)
    assert few.why_none_flagged is not None and "99 calibration galaxies" in few.why_none_flagged
    assert few.p_values(far).min() == pytest.approx(0.01) and not (few.p_values(far) < LEVEL).any()
    assert enough.why_none_flagged is None and enough.p_values(far).min() < LEVEL


def test_a_calibration_galaxy_is_compared_with_the_others_only() -> None:
    kept_out = galaxies(400, 1)
    p = Familiarity.of(galaxies(1000, 0), kept_out).p_values_of_calibration(kept_out)
    assert np.allclose(np.sort(p), np.arange(1, 401) / 400)


def test_a_head_read_from_a_file_gives_the_same_p_values_to_the_bit() -> None:
    known = Familiarity.of(galaxies(1000, 0), galaxies(300, 1), galaxies(50, 7) * 3)
    read = Familiarity.fromdict(known.asdict())
    assert np.array_equal(known.p_values(galaxies(200, 2)), read.p_values(galaxies(200, 2)))
    assert np.array_equal(known.reference, read.reference)


def test_rows_of_zeros_and_scaled_rows_have_a_p_value() -> None:
    known = Familiarity.of(galaxies(500, 0), galaxies(200, 1))
    rows = galaxies(10, 2)
    assert np.array_equal(
        known.p_values(rows), known.p_values(rows * np.float32(1e-3))
    )  # a dimmed vector
    assert np.isfinite(known.p_values(np.zeros((1, 24), np.float32))).all()


@pytest.mark.parametrize(
    "field", ["axes", "spread", "distances", "reference", "centre", "contrast"]
)
def test_a_damaged_record_is_refused(field: str) -> None:
    known = Familiarity.of(galaxies(500, 0), galaxies(200, 1), galaxies(50, 7) * 3)
    with pytest.raises((InputError, ValueError)):
        Familiarity.fromdict(known.asdict() | {field: "AAAA"})
    with pytest.raises(InputError, match="hold finite numbers"):
        dataclasses.replace(known, spread=known.spread * np.nan)


def test_too_few_galaxies_or_equal_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="be learned from 2 or more training galaxies"):
        Familiarity.of(galaxies(1, 0), galaxies(5, 1))
    with pytest.raises(InputError, match="vectors are all equal"):
        Familiarity.of(np.ones((50, 4), np.float32), galaxies(5, 1, 4))


def test_predictions_carry_the_p_value_through_every_format_and_say_how_many_are_unfamiliar(
    tmp_path: Path,
) -> None:
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    known = Predictions(
        np.array(["a", "b", "c"], dtype=object),
        p,
        ("disk", "smooth"),
        sets=np.array([[True, False], [False, False], [True, True]]),
        unfamiliar=np.array([False, True, False]),
        familiarity=np.array([0.5, 0.003, 1.0]),
    )
    assert known.summary == {
        "rows": 3,
        "classes": {"disk": 2, "smooth": 1},
        "unsure": 1,
        "unfamiliar": 1,
    }
    for ending in ("csv", "parquet", "fits"):
        read = Predictions.read(known.write(tmp_path / f"p.{ending}"))
        assert read.familiarity is not None and np.array_equal(read.familiarity, [0.5, 0.003, 1.0])
        assert read.empty_because is not None and read.empty_because.tolist() == [
            "",
            "unfamiliar",
            "",
        ]
    with pytest.raises(InputError, match=r"familiarity_p; must lie in \(0, 1\]"):
        dataclasses.replace(known, familiarity=np.array([0.5, 0.0, 1.0]))


def test_unfamiliar_calibration_galaxies_count_as_missed_so_that_sets_keep_their_promise() -> None:
    n, draw = 2000, np.random.default_rng(0)
    truth = draw.integers(0, 2, n)
    p = np.clip(np.where(truth == 0, 0.7, 0.3) + draw.normal(0, 0.25, n), 0.01, 0.99)
    ids = np.array([f"g{k}" for k in range(n)], dtype=object)
    labels = Labels(ids, ("x", "y"), truth)
    strange = draw.random(n) < 0.05  # these will have an empty set, which is a miss
    said = Predictions(ids, np.stack([p, 1 - p], 1), ("x", "y"), unfamiliar=strange)
    half = ids[: n // 2]
    sets = Conformal.of(said.select(half), labels.select(half), 0.9)
    report = sets.coverage_report(said.select(ids[n // 2 :]), labels.select(ids[n // 2 :]))
    assert report["interval"][1] >= 0.9 and report["reached"] == pytest.approx(0.9, abs=0.025)
