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
        Number of the round, from 0.
    labels : int
        Number of labels so far, also of galaxies set aside for tests.
    set_aside : int
        Number of labelled galaxies that were drawn at random and set aside for tests.
    classes : tuple of str
        Names of the classes so far.
    asked : list of dict
        Answers of this round: `galaxy_id`, `label`, `asked`, `who`, `when`.
    accuracy : Estimate, optional
        Share of the galaxies set aside that the head classifies correctly; None if they are fewer
        than 20.
    head : str, optional
        Name of the head that predicts; None with fewer than two classes.
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
            Campaign on the embedding table, still without answers; the answers are added to it.
        answers : mapping of str to Answer
            Galaxy id → answer; answers of later rounds, and galaxies of other tables, are ignored.
        number : int
            Number of the round.

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
