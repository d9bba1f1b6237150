"""Rank galaxies by words of the Galaxy Zoo decision tree, joined by and, or and not.

A query has phrases of `answer_words`, commas, "and", "or", "not" ("no", "without") and parentheses.
It is read by fixed rules, without a network. Scores are predicted vote fractions: "and" is the
minimum, "or" the maximum, "not" is 1 minus the score (Zadeh 1965,
doi:10.1016/S0019-9958(65)90241-X).
"""

from __future__ import annotations

import dataclasses
import re
from difflib import get_close_matches
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.galaxies.votes.answer_words import SHARED, WORDS
from gzfeatures.galaxies.votes.votes import ANSWERS

Array = npt.NDArray[np.float64]
_TOKEN = re.compile(r"[^\W_]+|[(),;:&|!+]")
_JOINT = re.compile(
    r"(?<=[^\W_])[-\u2010\u2011\u2013_](?=[^\W_])|[\s\"“”„«»]"
    r"|(?:\.+|…)(?=[\s)\"“”„«»]|$)|\?+(?=[\s)\"“”„«»]*$)"
)
"""What may stand between words and means nothing: hyphens, blanks, quotes, stops, a last `?`."""
_SIGNS = {",": "and", ";": "and", ":": "and", "&": "and", "+": "and", "|": "or", "!": "not"}
_NOT = ("not", "no", "without")
LONGEST = 1000
"""Most characters of a query; parentheses nest at most 50 deep in it."""
DEEPEST = 50


@dataclasses.dataclass(frozen=True)
class Answered:
    """Score galaxies by the predicted vote fraction of one Galaxy Zoo answer, such as a bar."""

    answer: str

    def score(self, fractions: Array) -> Array:
        """Return the answer's vote fraction, (n,), from Galaxy Zoo's 37 vote fractions, (n, 37)."""
        return fractions[:, ANSWERS.index(self.answer)]

    def __str__(self) -> str:
        return self.answer


@dataclasses.dataclass(frozen=True)
class Combined:
    """Score galaxies by several conditions joined by "and" or "or", or by one negated condition."""

    operator: Literal["and", "or", "not"]
    parts: tuple[Answered | Combined, ...]

    def score(self, fractions: Array) -> Array:
        """Return how well galaxies fit the condition, 0 to 1, (n,), by vote fractions (n, 37)."""
        scores = [part.score(fractions) for part in self.parts]
        if self.operator == "not":
            return 1 - scores[0]
        return np.asarray((np.min if self.operator == "and" else np.max)(scores, axis=0))

    def __str__(self) -> str:
        if self.operator == "not":
            return f"not {self.parts[0]}"
        return f"({f' {self.operator} '.join(map(str, self.parts))})"


Condition = Answered | Combined


@cache
def phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return a dict from phrase (a tuple of words) to the decision-tree answers it can mean.

    Examples
    --------
    >>> phrases()["edge", "on"]
    ('edge-on-yes',)
    """
    spoken = {answer: (answer.replace("-", " "), *words) for answer, words in WORDS.items()}
    single = {tuple(text.split()): (answer,) for answer, texts in spoken.items() for text in texts}
    return single | {tuple(text.split()): answers for text, answers in SHARED.items()}


def read_query(text: str) -> Condition:
    """Parse a query such as "spiral, not bar" to conditions on answers of the decision tree.

    Parameters
    ----------
    text : str
        A query such as "edge-on, no bulge" or "spiral and (ring or merger) and not bar".

    Raises
    ------
    UnknownNameError
        A word means no answer; the nearest known phrases are named.
    InputError
        The query is empty, too long, its parentheses do not match, or it has a sign without
        meaning here, such as ">" or the minus of "-bar".

    Examples
    --------
    >>> str(read_query("edge-on, no bulge, odd: ring"))
    '(edge-on-yes and (bulge-none or bulge-shape-none) and odd-yes and ring)'
    >>> str(read_query("spiral or not two arms"))
    '(spiral-yes or not arms-2)'
    """
    if len(text) > LONGEST:
        raise InputError("query", rule=f"have at most {LONGEST} characters", found=len(text))
    reader = _Reader([_SIGNS.get(token, token) for token in _tokens(text)], text)
    condition = reader.any_of(0)
    if reader.place < len(reader.tokens):
        raise InputError("query", where=text, rule="close what it opens", found=reader.next)
    return condition


def _tokens(text: str) -> list[str]:
    """Split a query into words and signs; refuse signs that mean nothing here.

    A sign that is left out can turn the meaning round: "spiral ¬bar" would ask for bars.
    """
    folded = re.sub(r"['’]", "", text.lower())
    tokens, place = [], 0
    while place < len(folded):
        joint = _JOINT.match(folded, place)
        found = joint or _TOKEN.match(folded, place)
        if found is None:
            raise InputError(
                "sign in a query",
                where=text,
                rule="be a comma, a parenthesis, or one of ; : & + | !",
                found=folded[place],
                remedy='write what it means as a word: "and", "or", "not", "more than 4 arms"',
            )
        if joint is None:
            tokens.append(found.group())
        place = found.end()
    return tokens


class _Reader:
    """Parse the words of a query; "not" binds more strongly than "and", "and" than "or"."""

    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens, self.text, self.place = tokens, text, 0

    @property
    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def any_of(self, depth: int) -> Condition:
        parts = [self.all_of(depth)]
        while self.next == "or":
            self.place += 1
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else Combined("or", tuple(parts))

    def all_of(self, depth: int) -> Condition:
        parts = [self.one(depth)]
        # join two phrases without a word between them, as in "barred spiral", by "and"
        while self.next not in ("", "or", ")"):
            while self.next == "and":
                self.place += 1
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else Combined("and", tuple(parts))

    def one(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise InputError("query", rule=f"nest at most {DEEPEST} deep")
        # try phrases before "no" is read as a negation, because "no bulge" is an answer of the
        # decision tree
        for length in range(min(6, len(self.tokens) - self.place), 0, -1):
            answers = phrases().get(tuple(self.tokens[self.place : self.place + length]))
            if answers is not None:
                self.place += length
                parts = tuple(map(Answered, answers))
                return parts[0] if len(parts) == 1 else Combined("or", parts)
        if self.next in _NOT:
            self.place += 1
            return Combined("not", (self.one(depth + 1),))
        if self.next == "(":
            self.place += 1
            inner = self.any_of(depth + 1)
            if self.next != ")":
                raise InputError("query", where=self.text, rule="close its parentheses")
            self.place += 1
            return inner
        raise self._unknown()

    def _unknown(self) -> InputError | UnknownNameError:
        """Return the error for an unknown word of a query; the error suggests similar words."""
        if self.next in ("", "and", "or", ")"):
            return InputError(
                "query", where=self.text, rule="have words of the decision tree", found=self.next
            )
        known = [" ".join(phrase) for phrase in phrases()]
        rest = " ".join(self.tokens[self.place : self.place + 2])
        near = [*get_close_matches(self.next, known, 3, 0.5), *get_close_matches(rest, known, 2)]
        # the word may be part of a longer phrase, so suggest these phrases too
        near += [phrase for phrase in known if self.next in phrase.split()]
        return UnknownNameError(
            "word of the query",
            where=self.text,
            rule="be a word of the decision tree",
            found=self.next,
            remedy=f"nearest: {', '.join(dict.fromkeys(near or sorted(known)[:5]))}",
        )
