"""Choose galaxies to ask a person about, and set a random sample aside for tests.

A round has five questions, each about one galaxy: "which class is this?". Four galaxies are those
whose labels help the head most (see `next_questions`). The fifth is the next galaxy in a random
order of the whole table, which the seed fixes. The galaxies drawn in this order are a random sample
of the table, and are set aside: no head is trained on them. If the next galaxy in this order
already has a label, it is set aside with this label, the head is no longer trained on it, and the
round has one question less.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.splits.asked import QUEUE, RANDOM, USER
from gzfeatures.ids import Ids, positions
from gzfeatures.teaching import next_questions
from gzfeatures.teaching.logistic import OneAgainstRest
from gzfeatures.teaching.next_questions import Draws, Known

Reason = Literal["random", "queue", "user"]
EVERY = 5
"""Number of questions in a round, one of which is about a galaxy drawn at random."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """Store a person's label of a galaxy: class, who, when, and why the galaxy was asked about.

    Parameters
    ----------
    label : str
        Name of a class; empty if the person skipped the galaxy.
    asked : {"random", "queue", "user"}
        Why the galaxy was labelled: drawn at random, helpful for the head, or chosen by the person.
    round : int
        Number of the round, from 0.
    who, when : str
        Name of the person, and UTC time in ISO 8601.
    """

    label: str
    asked: Reason
    round: int = 0
    who: str = ""
    when: str = ""


@dataclasses.dataclass(frozen=True)
class GalaxyQuestion:
    """Store a galaxy to ask a person about, and why: drawn at random, or helpful for the head."""

    row: int
    asked: Reason


class Campaign:
    """Store a person's answers about galaxies, and choose the galaxies to ask about next.

    Parameters
    ----------
    ids : Ids
        Galaxy ids, shape (n,).
    vectors : ndarray of float16
        Compressed embeddings, shape (n, d), from `page_vectors`.
    seed : int
        Seed of the random order. With equal answers and an equal seed, questions are equal.

    Examples
    --------
    >>> ids = np.array([f"g{i}" for i in range(40)], dtype=object)
    >>> vectors = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float16)
    >>> campaign = Campaign(ids, vectors)
    >>> [question.asked for question in campaign.questions()]
    ['queue', 'queue', 'queue', 'queue', 'random']
    """

    def __init__(self, ids: Ids, vectors: npt.NDArray[np.float16], seed: int = 0) -> None:
        self.ids = ids
        self.vectors = vectors.astype(np.float64)
        self.seed = seed
        self.draws = Draws.of(ids, seed)
        self.answers: dict[int, Answer] = {}
        self.round = 0
        self._drawn: int | None = None

    @cached_property
    def typical(self) -> npt.NDArray[np.intp]:
        """Return ranks, shape (n,): 0 for the galaxy that is closest to its nearest neighbours."""
        return next_questions.typicality(self.vectors, self.draws.ranks)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    @property
    def known(self) -> Mapping[str, int]:
        """Return a mapping from galaxy id to row number, for all galaxies of the table."""
        return self._rows

    def row(self, galaxy_id: str) -> int:
        """Return the row number of a galaxy in the table; refuse an id that is not in the table."""
        if galaxy_id not in self._rows:
            positions(self.ids, np.asarray([galaxy_id], dtype=object), where="table")
        return self._rows[galaxy_id]

    def answer(self, row: int, answer: Answer) -> None:
        """Store an answer; if the galaxy was in the random test sample, it stays in the sample.

        Raises
        ------
        InputError
            The row is outside the table.
        """
        if not 0 <= row < len(self.ids):
            raise InputError("row of a galaxy", rule=f"lie in 0…{len(self.ids) - 1}", found=row)
        before = self.answers.get(row)
        if before is not None and before.asked == RANDOM:
            answer = dataclasses.replace(answer, asked=RANDOM)
        self.answers[row] = answer

    def rows_of(self, *asked: str) -> npt.NDArray[np.intp]:
        """Return row numbers of labelled galaxies that were asked about for the given reasons."""
        chosen = [r for r, each in self.answers.items() if each.asked in asked and each.label]
        return np.asarray(sorted(chosen), dtype=np.intp)

    @property
    def training(self) -> npt.NDArray[np.intp]:
        """Return row numbers of labelled galaxies that a head may be trained on."""
        return self.rows_of(QUEUE, USER)

    @property
    def set_aside(self) -> npt.NDArray[np.intp]:
        """Return row numbers of labelled galaxies in the random sample, which is kept for tests."""
        return self.rows_of(RANDOM)

    def classes(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Return the sorted class names that a person gave the galaxies in the given rows."""
        return tuple(sorted({self.answers[int(row)].label for row in rows}))

    def head(self) -> tuple[OneAgainstRest, tuple[str, ...]] | None:
        """Fit a head to answers not kept for tests, return it and its classes; None if under 2."""
        rows = self.training
        classes = self.classes(rows)
        if len(classes) < 2:
            return None
        codes = np.asarray([classes.index(self.answers[int(row)].label) for row in rows])
        return OneAgainstRest.fit(self.vectors[rows], codes, len(classes)), classes

    def questions(self) -> list[GalaxyQuestion]:
        """Return up to five galaxies to ask about in this round, one of them drawn at random."""
        free = np.ones(len(self.ids), dtype=bool)
        free[list(self.answers)] = False
        self._drawn = drawn = self._next_drawn()
        if drawn is not None:
            free[drawn] = False
        asked = [GalaxyQuestion(int(row), "queue") for row in self._queue(free)[: EVERY - 1]]
        if drawn is not None and drawn not in self.answers:
            asked.append(GalaxyQuestion(drawn, "random"))
        return asked

    def end_round(self) -> None:
        """Start the next round; if the galaxy drawn at random has an answer, keep it for tests."""
        if self._drawn is not None and self._drawn in self.answers:
            before = self.answers[self._drawn]
            self.answers[self._drawn] = dataclasses.replace(before, asked="random")
        self._drawn = None
        self.round += 1

    def _next_drawn(self) -> int | None:
        """Return the first row in random order whose galaxy is not yet kept for tests, or None."""
        done = {row for row, each in self.answers.items() if each.asked == RANDOM}
        return next((int(row) for row in self.draws.turns if int(row) not in done), None)

    def _queue(self, free: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Return row numbers of up to four galaxies whose labels would help the head most."""
        fitted, rows = self.head(), self.training
        known = Known(rows, len(self.rows_of(RANDOM, QUEUE, USER)))
        if fitted is not None:
            head, classes = fitted
            given = [self.answers[int(row)].label for row in rows]
            rarest = min(range(len(classes)), key=lambda code: given.count(classes[code]))
            known = dataclasses.replace(
                known, probabilities=head.probabilities(self.vectors), rarest=rarest
            )
        return next_questions.questions(
            self.vectors, known, free, self.typical, self.draws, EVERY - 1
        )
