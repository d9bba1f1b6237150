"""Simulate volunteers who follow the decision tree, and build catalogs of their votes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from graphlib import TopologicalSorter

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.galaxies.votes.column_names import GZ2, GZ2_SUFFIXES, KAGGLE
from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS, NEXT, QUESTIONS, Counts
from gzfeatures.synthetic.vote_probabilities import Chances

WALK: tuple[str, ...] = tuple(
    TopologicalSorter(
        {
            question: {
                q for q, answers in QUESTIONS.items() for a in answers if NEXT[a] == question
            }
            for question in QUESTIONS
        }
    ).static_order()
)
"""Questions of the decision tree, each of them after the questions that lead to it."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """Store simulated volunteers of one galaxy: their care, and random numbers for their votes.

    The same volunteers can classify the galaxy at two distances. Debiasing of real votes estimates
    how the votes would change.

    Parameters
    ----------
    luck : ndarray of float64
        Random numbers in [0, 1), one for each question, shape (volunteers, 11).
    care : ndarray of float64
        Probability of an earnest answer, shape (volunteers,); otherwise the answer is a guess.
    """

    luck: Chances
    care: Chances

    @classmethod
    def draw(cls, rng: np.random.Generator, mean: float = 40.0) -> Panel:
        """Draw about `mean` simulated volunteers, at least 20, most of them careful."""
        number = max(int(rng.normal(mean, 5)), 20)
        return cls(
            rng.random((number, len(QUESTIONS))),
            np.where(rng.random(number) < 0.06, 0.4, rng.beta(30, 1, number)),
        )

    @property
    def weights(self) -> Chances:
        """Return the weight of each volunteer's votes, shape (volunteers,), less for the careless.

        The formula is from Willett+2013, section 3.
        """
        return np.minimum(1.0, (self.care / 0.6) ** 8.5)

    def votes(self, chances: Chances) -> npt.NDArray[np.bool_]:
        """Return the answers that each simulated volunteer gives about a galaxy.

        Parameters
        ----------
        chances : ndarray of float64
            Probability of each answer by an earnest volunteer who is asked the question, shape
            (37,).

        Returns
        -------
        ndarray of bool
            True for the chosen answers, shape (volunteers, 37); False for all answers to questions
            that a volunteer was not asked.
        """
        # draw no random numbers here but use those in `luck`, so that the same volunteers can vote
        # on two images of a galaxy
        answers = np.zeros((len(self.luck), len(ANSWERS)), dtype=bool)
        for column, part in enumerate(COLUMNS.values()):
            options = part.stop - part.start
            earnest = self.care[:, None] * chances[part] + (1 - self.care[:, None]) / options
            chosen = (self.luck[:, column, None] >= earnest.cumsum(1)[:, :-1]).sum(1)
            answers[np.arange(len(answers)), part.start + chosen] = True
        return answers & self._asked_answers(answers)

    def _asked_answers(self, answers: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return True for answers whose question a volunteer is asked, shape (volunteers, 37)."""
        on_way = {question: np.full(len(answers), question == WALK[0]) for question in WALK}
        for question in WALK:
            for answer, chosen in zip(
                QUESTIONS[question], answers[:, COLUMNS[question]].T, strict=True
            ):
                after = NEXT[answer]
                if after is not None:
                    # combine with "or", because several answers can lead to one question: any of
                    # them suffices
                    on_way[after] |= on_way[question] & chosen
        return np.column_stack(
            [on_way[question] for question, choices in QUESTIONS.items() for _ in choices]
        )


LETTERS: dict[str, str] = {
    "smooth": "E",
    "features-or-disk": "S",
    "star-or-artifact": "A",
    "completely-round": "r",
    "in-between": "i",
    "cigar-shaped": "c",
    "bulge-shape-rounded": "er",
    "bulge-shape-boxy": "eb",
    "bulge-shape-none": "en",
    "bar-yes": "B",
    "bar-no": "",
    "bulge-dominant": "a",
    "bulge-obvious": "b",
    "bulge-just-noticeable": "c",
    "bulge-none": "d",
    "arms-1": "1",
    "arms-2": "2",
    "arms-3": "3",
    "arms-4": "4",
    "arms-more-than-4": "+",
    "arms-cant-tell": "?",
    "winding-tight": "t",
    "winding-medium": "m",
    "winding-loose": "l",
    "ring": "(r)",
    "lens-or-arc": "(l)",
    "disturbed": "(d)",
    "irregular": "(i)",
    "other": "(o)",
    "merger": "(m)",
    "dust-lane": "(u)",
}
"""Answer → letters that stand for it in a class string of GZ2."""


def gz2_class(debiased: Mapping[str, Chances]) -> str:
    """Return a galaxy's class string, such as `Sb2m`, by the rules of the GZ2 catalog.

    The string has letters for the most common answer to the first question, then for the most
    common answer to each question to which that answer leads (Willett+2013,
    doi:10.1093/mnras/stt1458).

    Parameters
    ----------
    debiased : mapping of str to ndarray
        Question → debiased vote fraction of each answer.
    """

    def most(question: str) -> str:
        return QUESTIONS[question][int(np.argmax(debiased[question]))]

    def letters(*questions: str) -> str:
        return "".join(LETTERS[most(question)] for question in questions)

    name = letters("smooth-or-features")
    if name == "A":
        return name
    if name == "E":
        name += letters("rounded")
    elif most("edge-on") == "edge-on-yes":
        name += letters("bulge-shape")
    else:
        name += letters("bar", "bulge-prominence")
        if most("spiral") == "spiral-yes":
            name += letters("arms-number", "arms-winding")
    return name + (letters("odd-feature") if most("odd") == "odd-yes" else "")


def kaggle_table(weights: Counts) -> pd.DataFrame:
    """Build a table like the Kaggle solutions: `GalaxyID` and 37 cumulative vote fractions.

    If no volunteer was asked whether anything is odd, because all chose "star or artifact", the
    answer "no" gets the fraction 1.
    """
    fractions = weights.conditional()
    values = fractions.values.copy()
    odd = COLUMNS["odd"]
    values[np.isnan(values[:, odd]).all(1), odd] = 0.0, 1.0
    values = dataclasses.replace(fractions, values=values).cumulative().values
    return pd.DataFrame(
        {"GalaxyID": weights.ids, **dict(zip(KAGGLE.values(), values.T, strict=True))}
    )


def hart_table(counts: Counts, weights: Counts, debiased: Counts) -> pd.DataFrame:
    """Build a table of simulated votes with the columns of the catalog of Hart+2016.

    Columns: class string, totals, and counts, weights and conditional fractions of the 37 answers.

    Parameters
    ----------
    counts, weights : Counts
        Votes, unweighted and weighted by the consistency of the volunteers.
    debiased : Counts
        Weighted votes of the same volunteers for the same galaxies, shown nearer.

    Returns
    -------
    DataFrame
        `asset_id`, `gz2_class`, `total_classifications`, `total_votes`, and five columns per
        answer. As in the published table, answers to a question that nobody was asked have
        fraction 0.
    """
    measures = {
        "count": counts.values.astype(np.int64),
        "weight": weights.values,
        "fraction": np.nan_to_num(counts.conditional().values),
        "weighted": np.nan_to_num(weights.conditional().values),
        "debiased": np.nan_to_num(debiased.conditional().values),
    }
    first = COLUMNS["smooth-or-features"]
    return pd.DataFrame(
        {
            "asset_id": counts.ids,
            "gz2_class": [
                gz2_class({name: row[part] for name, part in COLUMNS.items()})
                for row in measures["debiased"]
            ],
            "total_classifications": measures["count"][:, first].sum(1),
            "total_votes": measures["count"].sum(1),
            **{
                stem + GZ2_SUFFIXES[measure]: measures[measure][:, column]
                for column, stem in enumerate(GZ2.values())
                for measure in GZ2_SUFFIXES
            },
        }
    )
