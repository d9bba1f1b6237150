"""Words of the decision tree: what a query means, and what is not understood."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.explore.word_search import phrases, read_query
from gzfeatures.galaxies.votes.answer_words import WORDS
from gzfeatures.galaxies.votes.votes import ANSWERS


def test_every_answer_has_words_and_no_phrase_means_two() -> None:
    assert set(WORDS) == set(ANSWERS) and len(ANSWERS) == 37
    spoken = [text for answer, words in WORDS.items() for text in words]
    assert len(spoken) == len(set(spoken))
    for answer, words in WORDS.items():
        for text in (answer, *words):
            assert str(read_query(text)) == answer, text
    # an answer's own name is not another answer's phrase
    for answer in ANSWERS:
        assert phrases()[tuple(answer.split("-"))] == (answer,)


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        (
            "Edge-on, no bulge, odd: ring",
            "(edge-on-yes and (bulge-none or bulge-shape-none) and odd-yes and ring)",
        ),
        ("barred spiral", "(bar-yes and spiral-yes)"),
        ("ring or merger and not bar", "(ring or (merger and not bar-yes))"),
        ("(ring OR merger) & !dust", "((ring or merger) and not dust-lane)"),
        ("smooth without merger", "(smooth and not merger)"),
        ("can't tell arms", "arms-cant-tell"),
        ('"edge\u2011on", “no bar”.', "(edge-on-yes and bar-no)"),
    ],
)
def test_queries_mean_what_they_say(query: str, meaning: str) -> None:
    assert str(read_query(query)) == meaning


def test_scores_are_smallest_largest_and_rest() -> None:
    fractions = np.zeros((2, 37))
    for answer, values in {"ring": (0.2, 0.9), "merger": (0.6, 0.1)}.items():
        fractions[:, ANSWERS.index(answer)] = values
    scores = {text: read_query(text).score(fractions).tolist() for text in
              ("ring merger", "ring or merger", "not ring")}  # fmt: skip
    assert scores["ring merger"] == [0.2, 0.1] and scores["ring or merger"] == [0.6, 0.9]
    assert scores["not ring"] == pytest.approx([0.8, 0.1])


@pytest.mark.parametrize(
    ("query", "words"), [("spirl", "spiral"), ("galaxy with a merge", "merge"), ("tow arms", "two")]
)
def test_an_unknown_word_names_the_nearest_known_ones(query: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match="nearest: ") as caught:
        read_query(query)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "query", ["", " , ", "ring and", "not", "(ring", "ring)", "x" * 2000, "(" * 400 + "ring"]
)
def test_a_query_that_says_nothing_is_refused(query: str) -> None:
    with pytest.raises(InputError):
        read_query(query)


@pytest.mark.parametrize(
    ("query", "sign"),
    [
        ("spiral -bar", "-"),
        ("spiral - bar", "-"),
        ('"spiral" -"bar"', "-"),
        ("spiral –bar", "–"),
        ("spiral − bar", "−"),
        ("spiral ¬bar", "¬"),
        ("spiral ~bar", "~"),
        ("spiral ≠ bar", "≠"),
        ("spiral \\ bar", "\\\\"),
        ("spiral/bar", "/"),
        (">4 arms", ">"),
        ("< 3 arms", "<"),
        ("bar?ring", r"\?"),
        ("bar ? ring", r"\?"),
        ("a.b", r"\."),
        (".bar", r"\."),
        ("bar = spiral", "="),
    ],
)
def test_a_sign_without_meaning_is_refused(query: str, sign: str) -> None:
    with pytest.raises(InputError, match=f"sign in a query; must .*, found .*{sign}.*; write"):
        read_query(query)


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("merger?", "merger"),
        ("merger? ", "merger"),
        ("spiral. no bar", "spiral no bar"),
        ("bulge...", "bulge"),
        ("“merger?”", "merger"),
        ("(merger?)", "merger"),
        ('"spiral." bar', "spiral bar"),
        ("ring…", "ring"),
        ("ring… bar", "ring bar"),
        ("(bar.)", "bar"),
        ("(spiral or ring...) not bar.", "(spiral or ring) not bar"),
    ],
)
def test_stops_and_a_last_question_mark_mean_nothing(query: str, plain: str) -> None:
    assert read_query(query) == read_query(plain)


def test_a_word_of_another_alphabet_is_one_word() -> None:
    with pytest.raises(UnknownNameError, match="found spirál; nearest: spiral"):
        read_query("spirál")
