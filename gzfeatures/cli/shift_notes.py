"""Compare new galaxies with galaxies kept out of training, and print how the two sets differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from gzfeatures.cli.console import say

if TYPE_CHECKING:
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.unlabelled.familiarity import Familiarity
    from gzfeatures.unlabelled.shift import Shares, Shift, TableSample


class KeptOut(Protocol):
    """Define what a head or network stores about galaxies that were kept out of its training."""

    @property
    def familiarity(self) -> Familiarity | None:
        """Return the object that measures how similar new galaxies are to the training galaxies."""

    @property
    def shares(self) -> Shares | None:
        """Return each class's mean predicted probability over galaxies kept out of training."""


def sample_for(kept_out: KeptOut) -> TableSample | None:
    """Return an empty sample of new galaxies; None if the model has no galaxies to compare with."""
    from gzfeatures.unlabelled.shift import TableSample

    return None if kept_out.familiarity is None else TableSample(kept_out.familiarity)


def compared(
    kept_out: KeptOut,
    predictions: Predictions,
    sample: TableSample | None,
    correct: bool,
    model: Literal["head", "network"] = "head",
) -> tuple[Predictions, dict[str, Any]]:
    """Warn if new galaxies differ from kept-out ones; adapt probabilities to their class shares.

    Parameters
    ----------
    kept_out : Head or OutputCalibration
        Head, or calibration of a network, with facts on galaxies kept out of training.
    predictions : Predictions
        Predictions of all new galaxies.
    sample : TableSample, optional
        Random sample of the new galaxies, in the coordinates of the stored ones.
    correct : bool
        Whether to correct probabilities for the class shares of the new galaxies.
    model : {"head", "network"}
        Word for the model in messages.

    Returns
    -------
    Predictions
        The predictions, with corrected probabilities if `correct`.
    dict
        `shift` (see `Shift.asdict`; None if unknown), and the estimated `class_shares` if
        `correct`.

    Raises
    ------
    InputError
        Class shares cannot be corrected, because the model stores none or galaxies are too few.
    """
    from gzfeatures.errors import InputError
    from gzfeatures.unlabelled.priors import Priors

    shift = _shift(kept_out, predictions, sample, model)
    result: dict[str, Any] = {"shift": None if shift is None else shift.asdict()}
    warning = None if shift is None else shift.warning(corrected=correct, model=model)
    if warning:
        say(f"warning: {warning}")
    if not correct:
        return predictions, result
    if kept_out.shares is None:
        raise InputError(
            "class shares cannot be corrected",
            rule=f"be those of a {model} on classes, with galaxies kept out of training",
            remedy=f"train the {model} again on a split that has a validation part",
        )
    # estimate class shares by expectation maximisation (Saerens+2002), since labels are unknown
    priors = Priors.of(predictions, kept_out.shares.mean)
    result["class_shares"] = priors.rows()
    return priors.corrected(predictions), result


def _shift(
    kept_out: KeptOut, predictions: Predictions, sample: TableSample | None, model: str
) -> Shift | None:
    """Measure how galaxies differ from those kept out of training; None for too few galaxies.

    If nothing can be compared, print the reason.
    """
    from gzfeatures.unlabelled.shift import FEWEST, Shares, Shift

    if sample is None:
        say(
            f"note: whether these galaxies are drawn like those of the {model} is not "
            "known: it keeps none of them"
        )
        return None
    reference, new = sample.known.reference, sample.coordinates
    # a classifier is trained to tell new galaxies from those kept out of training, which is
    # impossible for few galaxies
    if min(len(reference), len(new)) < FEWEST:
        say(
            f"note: whether these galaxies are drawn like those of the {model} is not "
            f"known: {len(new)} that were "
            f"not trained on and {len(reference)} kept out of training are too few to "
            f"compare ({FEWEST} or more each)"
        )
        return None
    of_table = None
    if kept_out.shares is None and predictions.kind == "classes":
        say(
            f"note: the {model} keeps no class shares of galaxies kept out of training, so "
            "that they cannot be compared"
        )
    if kept_out.shares is not None:
        # leave out training galaxies, whose predictions are more certain and would hide a shift
        p, seen = predictions.probabilities, predictions.seen
        of_table = Shares.of(p if seen is None else p[~seen])
    return Shift.between(reference, new, kept_out.shares, of_table)
