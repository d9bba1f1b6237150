"""Print how the galaxies of a table differ from the galaxies that a head was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gzfeatures.cli.console import say

if TYPE_CHECKING:
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.heads.head import Head
    from gzfeatures.unlabelled.shift import Shift, TableSample


def sample_for(head: Head) -> TableSample | None:
    """Return an empty sample for a table's galaxies; None for a head without kept-out galaxies."""
    from gzfeatures.unlabelled.shift import TableSample

    return None if head.familiarity is None else TableSample(head.familiarity)


def compared(
    head: Head | None, predictions: Predictions, sample: TableSample | None, correct: bool
) -> tuple[Predictions, dict[str, Any]]:
    """Compare a table with the head's kept-out galaxies; correct class shares if asked to.

    Parameters
    ----------
    head : Head, optional
        None of a network without a head, which keeps nothing to compare with.
    predictions : Predictions
        Of the whole table.
    sample : TableSample, optional
        Galaxies of the table that were met.
    correct : bool
        Correct the probabilities to the class shares of this table.

    Returns
    -------
    Predictions
        Corrected where that was asked for.
    dict
        `shift` (see `Shift.asdict`; None where it is not known), and `class_shares` where they were
        corrected.

    Raises
    ------
    InputError
        Class shares cannot be corrected: the head keeps none, or galaxies are too few.
    """
    from gzfeatures.errors import InputError
    from gzfeatures.unlabelled.priors import Priors

    shift = None if head is None else _shift(head, predictions, sample)
    result: dict[str, Any] = {"shift": None if shift is None else shift.asdict()}
    warning = None if shift is None else shift.warning(corrected=correct)
    if warning:
        say(f"warning: {warning}")
    if not correct:
        return predictions, result
    if head is None or head.shares is None:
        raise InputError(
            "class shares cannot be corrected",
            rule="be those of a head on classes, fitted with galaxies kept out of training",
            remedy="fit the head again on a split that has a validation part",
        )
    # estimate class shares by expectation maximisation (Saerens+2002), since labels are unknown
    priors = Priors.of(predictions, head.shares.mean)
    result["class_shares"] = priors.rows()
    return priors.corrected(predictions), result


def _shift(head: Head, predictions: Predictions, sample: TableSample | None) -> Shift | None:
    """Measure the shift between a table and a head's kept-out galaxies; None for too few galaxies.

    The reason is printed where nothing can be compared.
    """
    from gzfeatures.unlabelled.shift import FEWEST, Shares, Shift

    if sample is None:
        say(
            "note: whether this table's galaxies are drawn like those of the head is not "
            "known: it keeps none of them"
        )
        return None
    kept_out, new = sample.known.reference, sample.coordinates
    # a classifier cannot distinguish samples that are smaller than this
    if min(len(kept_out), len(new)) < FEWEST:
        say(
            "note: whether this table's galaxies are drawn like those of the head is not "
            f"known: {len(new)} that were "
            f"not trained on and {len(kept_out)} kept out of training are too few to "
            f"compare ({FEWEST} or more each)"
        )
        return None
    of_table = None
    if head.shares is None and head.target == "classes":
        say(
            "note: the head keeps no class shares of galaxies kept out of training, so "
            "that they cannot be compared"
        )
    if head.shares is not None:
        # training galaxies look more certain than new galaxies, and would hide a shift
        p, seen = predictions.probabilities, predictions.seen
        of_table = Shares.of(p if seen is None else p[~seen])
    return Shift.between(kept_out, new, head.shares, of_table)
