from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import dirichlet_multinomial

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.votes import votes
from gzfeatures.networks.setup.targets import (
    TARGETS,
    concentrations,
    joint,
    target_matrix,
    target_of,
    tree_fractions,
)

IDS = np.array(["a", "b", "c"], dtype=object)


def fractions(values: np.ndarray) -> Labels:
    return Labels(IDS, votes.ANSWERS, values, "fractions", scheme="votes-37")


def classes(soft: np.ndarray | None = None) -> Labels:
    return Labels(IDS, ("x", "y"), np.array([0, 1, 1]), scheme="toy", soft=soft)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(scale=st.floats(0, 60), seed=st.integers(0, 10_000))
def test_answers_of_a_question_sum_to_their_parents_fraction(scale: float, seed: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (16, 37)) * scale)
    for name in ("fractions", "counts"):
        found = TARGETS[name].probabilities(logits)
        assert found.min() >= 0 and found.max() <= 1 + 1e-12
        for question, columns in votes.COLUMNS.items():
            parent = votes.PARENTS[question]
            whole = torch.ones(16) if parent is None else found[:, votes.ANSWERS.index(parent)]
            assert torch.allclose(found[:, columns].sum(1), whole.double(), atol=1e-6)


def test_squared_error_leaves_unknown_answers_out() -> None:
    logits = torch.zeros(1, 37, requires_grad=True)
    truth = tree_fractions(torch.zeros(1, 37))
    truth[0, 5] += 0.3
    assert TARGETS["fractions"].loss(logits, truth, None, 0).item() == pytest.approx(0.09 / 37)
    truth[0, 6] = float("nan")
    loss = TARGETS["fractions"].loss(logits, truth, None, 0)
    assert loss.item() == pytest.approx(0.09 / 36)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_dirichlet_multinomial_is_the_published_likelihood() -> None:
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(0, 1, (3, 37)))
    counts = generator.integers(0, 12, (3, 37)).astype(float)
    alphas = concentrations(logits).numpy()
    expected = sum(
        dirichlet_multinomial.logpmf(
            counts[row, columns].astype(int), alphas[row, columns], int(counts[row, columns].sum())
        )
        for row in range(3)
        for columns in votes.COLUMNS.values()
    )
    loss = TARGETS["counts"].loss(logits, torch.from_numpy(counts), None, 0)
    assert loss.item() == pytest.approx(-expected / 3, rel=1e-9)
    assert TARGETS["counts"].loss(
        logits, torch.full((3, 37), float("nan")), None, 0
    ).item() == pytest.approx(0, abs=1e-9)


def test_classes_become_shares() -> None:
    soft = np.array([[0.3, 0.1], [np.nan, 0.5], [0.0, 0.0]])
    assert target_matrix(classes()).tolist() == [[1, 0], [0, 1], [0, 1]]
    assert np.allclose(target_matrix(classes(soft), "soft-classes"), [[0.75, 0.25], [0, 1], [0, 1]])
    assert target_matrix(classes(soft)).tolist() == [[1, 0], [0, 1], [0, 1]]


def test_class_weights_and_smoothing_reach_the_loss() -> None:
    logits, truth = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.eye(2)
    plain = TARGETS["classes"].loss(logits, truth, None, 0.0)
    assert TARGETS["classes"].loss(logits, truth, torch.tensor([0.1, 1.9]), 0.0) > plain
    assert TARGETS["classes"].loss(logits, torch.tensor([[1.0, 0.0]] * 2), None, 0.2) > TARGETS[
        "classes"
    ].loss(logits, torch.tensor([[1.0, 0.0]] * 2), None, 0.0)


def test_several_labels_at_once() -> None:
    labels = Labels(
        IDS, ("x", "y"), np.array([[True, True], [False, False], [True, False]]), "multi-label"
    )
    target = target_of(labels)
    assert target.kind == "multi-label"
    matrix = torch.from_numpy(target_matrix(labels))
    assert target.probabilities(torch.full((1, 2), 10.0)).min() > 0.99
    right, wrong = 20 * matrix - 10, 10 - 20 * matrix
    assert target.loss(right, matrix, None, 0.0) < 1e-3 < target.loss(wrong, matrix, None, 0.0)


def test_targets_that_the_labels_cannot_serve_are_refused() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown target; must be one of classes, soft-classes"
    ):
        target_of(classes(), "klasses")
    with pytest.raises(
        InputError, match="scheme toy: target fractions; must have fractions, found classes"
    ):
        target_of(classes(), "fractions")
    with pytest.raises(InputError, match="target soft-classes; must have vote fractions per class"):
        target_of(classes(), "soft-classes")
    other = Labels(IDS, ("x", "y"), np.zeros((3, 2)), "fractions", scheme="mine")
    with pytest.raises(
        InputError, match=r"follows the decision tree; must have the 37 answers.*sigmoid-fractions"
    ):
        target_of(other)
    assert target_of(other, "sigmoid-fractions").kind == "fractions"


def test_counts_need_votes_of_every_galaxy() -> None:
    labels = fractions(np.zeros((3, 37)))
    with pytest.raises(
        InputError, match="target counts: vote counts are missing; give a catalog of counts"
    ):
        target_matrix(labels, "counts")
    with pytest.raises(InputError, match="vote counts: 1 of 3 ids are not there, found c"):
        target_matrix(labels, "counts", votes.Counts(IDS[:2], np.ones((2, 37)), "count"))
    counts = votes.Counts(IDS[::-1], np.arange(3.0)[:, None].repeat(37, 1), "count")
    assert target_matrix(labels, "counts", counts)[:, 0].tolist() == [2, 1, 0]


def test_fractions_of_those_asked_are_not_taken_for_fractions_of_all() -> None:
    conditional = np.concatenate(
        [np.full((3, len(a)), 1 / len(a)) for a in votes.QUESTIONS.values()], axis=1
    )
    with pytest.raises(
        InputError,
        match=r"question edge-on exceed their parent's; must be cumulative.*found 0\.67 too much",
    ):
        target_matrix(fractions(conditional))
    cumulative = tree_fractions(torch.zeros(3, 37)).numpy()
    assert np.allclose(target_matrix(fractions(cumulative)), cumulative)
    assert target_matrix(fractions(conditional), "sigmoid-fractions").shape == (3, 37)


def test_two_targets_are_learned_side_by_side() -> None:
    first, second = TARGETS["classes"], TARGETS["fractions"]
    both = joint(first, 2, second, 3.0)
    logits = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (3, 39))).requires_grad_()
    shares, answers = (
        torch.eye(2, dtype=torch.float64)[[0, 1, 1]],
        tree_fractions(torch.zeros(3, 37)).double(),
    )
    targets = torch.hstack([shares, answers])
    apart = first.loss(logits[:, :2], shares, None, 0.1) + 3 * second.loss(
        logits[:, 2:], answers, None, 0
    )
    assert both.loss(logits, targets, None, 0.1).item() == pytest.approx(apart.item())
    assert torch.equal(both.probabilities(logits), first.probabilities(logits[:, :2]))
    targets[0, :2], targets[2, 2:] = (
        torch.nan,
        torch.nan,
    )  # one galaxy without a class, one without votes
    known = first.loss(logits[1:, :2], shares[1:], None, 0.1) + 3 * second.loss(
        logits[:2, 2:], answers[:2], None, 0
    )
    loss = both.loss(logits, targets, None, 0.1)
    assert loss.item() == pytest.approx(known.item())
    loss.backward()
    assert (
        torch.isfinite(logits.grad).all()
        and not logits.grad[0, :2].any()
        and not logits.grad[2, 2:].any()
    )
    targets[:, :2] = torch.nan
    assert torch.isfinite(both.loss(logits, targets, None, 0.1))


def test_an_unknown_fraction_of_soft_classes_is_not_zero() -> None:
    soft = np.array([[0.5, 0.3], [0.55, np.nan], [0.0, 0.0]])
    found = target_matrix(classes(soft), "soft-classes")
    np.testing.assert_allclose(found, [[0.625, 0.375], [0, 1], [0, 1]])
