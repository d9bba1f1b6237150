"""Campaigns: what is asked, what is set aside, and that the head that teaches is the best one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gzfeatures.errors import InputError
from gzfeatures.teaching import next_questions
from gzfeatures.teaching.campaign import Answer, Campaign
from gzfeatures.teaching.logistic import STRENGTH, OneAgainstRest
from gzfeatures.teaching.next_questions import Draws
from gzfeatures.teaching.page_vectors import page_vectors


def galaxies(n: int = 300, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, page vectors and classes of n galaxies."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, k, n)
    vectors = page_vectors((random.normal(size=(n, 8)) + 2 * np.eye(8)[codes]).astype(np.float32))
    return np.asarray([f"g{i}" for i in range(n)], dtype=object), vectors, codes


def taught(campaign: Campaign, codes: np.ndarray, rounds: int) -> list[int]:
    """Rows asked about in so many rounds, all answered truly."""
    asked = []
    for _ in range(rounds):
        for question in campaign.questions():
            label = f"c{codes[question.row]}"
            campaign.answer(question.row, Answer(label, question.asked, campaign.round))
            asked.append(question.row)
        campaign.end_round()
    return asked


def test_the_head_is_scikit_learns_balanced_logistic_head() -> None:
    _, vectors, codes = galaxies()
    rows = vectors.astype(np.float64)
    ours = OneAgainstRest.fit(rows, (codes == 2).astype(np.int64), 2).probabilities(rows)[:, 1]
    theirs = LogisticRegression(C=STRENGTH, class_weight="balanced", tol=1e-10).fit(
        rows, codes == 2
    )
    np.testing.assert_allclose(ours, theirs.predict_proba(rows)[:, 1], atol=1e-5)


def test_every_fifth_question_is_the_next_of_a_random_order_and_never_trains() -> None:
    ids, vectors, codes = galaxies()
    campaign = Campaign(ids, vectors, seed=3)
    asked = taught(campaign, codes, 12)
    assert len(asked) == len(set(asked)) >= 56
    # the random sample is the beginning of the order, also where the queue came first
    np.testing.assert_array_equal(np.sort(campaign.draws.turns[:12]), campaign.set_aside)
    assert not set(campaign.training) & set(campaign.set_aside)
    assert len(campaign.training) + len(campaign.set_aside) == len(asked)


def test_equal_answers_and_seed_give_equal_questions_whatever_the_order_of_rows() -> None:
    ids, vectors, codes = galaxies()
    order = np.random.default_rng(5).permutation(len(ids))
    first, second = Campaign(ids, vectors), Campaign(ids[order], vectors[order])
    same = ids[taught(first, codes, 8)], ids[order][taught(second, codes[order], 8)]
    np.testing.assert_array_equal(*same)
    other = Campaign(ids, vectors, seed=1)
    assert list(ids[taught(other, codes, 8)]) != list(same[0])


def test_a_labelled_galaxy_that_is_drawn_is_forgotten_by_the_head() -> None:
    ids, vectors, _ = galaxies()
    campaign = Campaign(ids, vectors)
    first = int(campaign.draws.turns[0])
    campaign.answer(first, Answer("c0", "user"))
    assert list(campaign.training) == [first]
    assert [question.asked for question in campaign.questions()] == ["queue"] * 4
    campaign.end_round()
    assert list(campaign.set_aside) == [first] and not len(campaign.training)
    # whoever labels it again does not bring it back
    campaign.answer(first, Answer("c1", "user"))
    assert list(campaign.set_aside) == [first]


def test_galaxies_passed_over_are_neither_asked_again_nor_learned() -> None:
    ids, vectors, _ = galaxies(60)
    campaign = Campaign(ids, vectors)
    (one, *_) = campaign.questions()
    campaign.answer(one.row, Answer("", "queue"))
    assert one.row not in {question.row for question in campaign.questions()}
    assert not len(campaign.training)


def test_the_queue_asks_where_the_head_is_uncertain_and_never_for_two_alike() -> None:
    vectors = np.array([[0.0, 0], [0, 1e-4], [0, 3], [5, 0], [-5, 0]] + [[5.5, 0]] * 95)
    p = 1 / (1 + np.exp(-vectors[:, :1]))
    draws = Draws.of(np.asarray([f"g{i:03}" for i in range(100)], dtype=object), 0)
    free = np.ones(100, dtype=bool)
    free[[3, 4]] = False
    chosen = next_questions.informative(
        vectors, np.hstack([1 - p, p]), np.array([3, 4]), free, draws, 2
    )
    assert chosen[0] == 2 and chosen[1] in (0, 1)


def test_typical_galaxies_come_first_and_the_rarest_class_is_asked_for_later() -> None:
    ids, vectors, _ = galaxies(200, k=2)
    campaign = Campaign(ids, vectors)
    third = set(np.argsort(campaign.typical)[:67])
    assert {question.row for question in campaign.questions()[:4]} <= third
    # after twenty labels one question is a probable member of the class with the fewest
    for row in range(24):
        campaign.answer(row, Answer("rare" if row < 3 else "usual", "user"))
    head, classes = campaign.head()
    p = head.probabilities(campaign.vectors)[:, classes.index("rare")]
    rows = [question.row for question in campaign.questions() if question.asked == "queue"]
    free = sorted(set(range(200)) - set(range(24)), key=lambda row: -p[row])
    assert rows[-1] in free[:48] and not set(rows[:-1]) <= set(free[:48])


def test_scores_within_a_millionth_tie_and_go_by_id() -> None:
    p = np.array([[0.5, 0.5], [0.4, 0.6], [0.4 - 2e-8, 0.6 + 2e-8], [0.9, 0.1]])
    draws = Draws.of(np.asarray(["d", "b", "c", "a"], dtype=object), 0)
    assert list(next_questions.most_certain(p, 1, np.ones(4, dtype=bool), draws, 3)) == [1, 2, 0]
    labelled, codes = np.array([0, 1, 3]), np.array([0, 0, 1])
    assert list(next_questions.disagreements(p, labelled, codes, draws, 5)) == [3, 1]


def test_equal_vectors_and_a_row_outside_the_table() -> None:
    vectors = page_vectors(np.ones((30, 4), dtype=np.float32))
    assert not vectors.any()
    campaign = Campaign(np.asarray([str(i) for i in range(30)], dtype=object), vectors)
    assert taught(campaign, np.arange(30) % 2, 7)
    with pytest.raises(InputError, match="lie in 0…29"):
        campaign.answer(30, Answer("a", "user"))
    with pytest.raises(InputError):
        campaign.row("nobody")
