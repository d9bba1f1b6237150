"""Summarise what labelling has achieved at the end of each round of questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from gzfeatures.galaxies.splits.asked import FEWEST
from gzfeatures.teaching.campaign import Answer, Campaign
from gzfeatures.teaching.random_sample import Estimate

HEAD = "logistic of the page"


@dataclasses.dataclass(frozen=True)
class RoundRecord:
    """Store the questions of a round of labelling, and the head's accuracy after the round.

    Parameters
    ----------
    number : int
        Of the round, from 0.
    labels : int
        Labels so far, those set aside included.
    set_aside : int
        Labels of galaxies drawn at random.
    classes : tuple of str
    asked : list of dict
        Answers of this round: `galaxy_id`, `label`, `asked`, `who`, `when`.
    accuracy : Estimate, optional
        Share of the set-aside galaxies that the head gets right; None below 20 of them.
    head : str, optional
        What predicts them; None with fewer than two classes.
    """

    number: int
    labels: int
    set_aside: int
    classes: tuple[str, ...]
    asked: list[dict[str, str]]
    accuracy: Estimate | None = None
    head: str | None = None

    @classmethod
    def of(cls, campaign: Campaign, answers: Mapping[str, Answer], number: int) -> RoundRecord:
        """Return the summary of a round of labelling, from all answers up to this round.

        Parameters
        ----------
        campaign : Campaign
            Of the table, without answers.
        answers : mapping of str to Answer
            By galaxy id; later rounds and galaxies of other tables count for nothing.
        number : int
            Of the round.

        Examples
        --------
        >>> ids = np.array([f"g{i}" for i in range(40)], dtype=object)
        >>> campaign = Campaign(ids, np.random.default_rng(0).normal(size=(40, 4)))
        >>> RoundRecord.of(campaign, {"g1": Answer("odd", "user")}, 0).labels
        1
        """
        so_far = {name: each for name, each in answers.items() if each.round <= number}
        for name, answer in so_far.items():
            if name in campaign.known:
                campaign.answer(campaign.row(name), answer)
        rows, drawn, fitted = campaign.training, campaign.set_aside, campaign.head()
        accuracy = None
        if fitted is not None and len(drawn) >= FEWEST:
            head, classes = fitted
            told = head.probabilities(campaign.vectors[drawn]).argmax(1)
            right = [
                classes[code] == campaign.answers[int(row)].label
                for code, row in zip(told, drawn, strict=True)
            ]
            accuracy = Estimate.of_share(int(np.sum(right)), len(drawn))
        asked = [
            {"galaxy_id": name, "label": each.label, "asked": each.asked}
            | {"who": each.who, "when": each.when}
            for name, each in so_far.items()
            if each.round == number and name in campaign.known
        ]
        return cls(
            number,
            len(rows) + len(drawn),
            len(drawn),
            campaign.classes([*rows, *drawn]),
            asked,
            accuracy,
            None if fitted is None else HEAD,
        )
