"""Fit heads on labels from the labelling page (`teach`); score them on randomly drawn galaxies."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gzfeatures.cli.console import say, show

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.experiment.config import HeadChoice
    from gzfeatures.experiment.fitted_heads.options import FitOptions
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.splits.split import Split

ShowHeads = Callable[[list[tuple["Candidate", Path]], list[str], bool, dict[str, Any]], None]


def is_campaign(labels: Labels, path: Path, id_column: str | None) -> bool:
    """Return whether a label file has classes and, for each galaxy, why it was asked about."""
    from gzfeatures.galaxies.splits.asked import read_asked

    return labels.target == "classes" and read_asked(path, id_column=id_column) is not None


def require_no_sizes(sizes: str | None) -> None:
    """Refuse a learning curve if earlier labels decided which galaxies were labelled next.

    A learning curve fits heads on random samples of the labelled galaxies. But here each galaxy was
    chosen because of earlier labels: a random sample differs from what less labelling would give.
    """
    if sizes is not None:
        raise typer.BadParameter(
            "labels with a column asked have no learning curve: each was chosen by those before "
            "it; 'gzfeatures ui' shows the accuracy after each round of 'teach'",
            param_hint="--sizes",
        )


def fit_campaign(
    tables: Sequence[EmbeddingTable],
    labels: Labels,
    split: Split,
    choices: Sequence[HeadChoice],
    options: FitOptions,
    catalog: Catalog | None,
    show_heads: ShowHeads,
    as_json: bool,
) -> None:
    """Fit heads on labelled galaxies; score them on labelled ones that were drawn at random.

    With fewer than twenty galaxies drawn at random, heads are written to files, but not scored.
    """
    import numpy as np

    from gzfeatures.experiment.candidates import fit_heads
    from gzfeatures.galaxies.splits.asked import FEWEST
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.teaching.random_sample import RandomSample, too_few

    # train on the validation galaxies too, because labels are few, and heads need no validation
    trained = np.concatenate([split.train, split.validation])
    fitting = Split(trained, split.validation[:0], split.test, split.groups)
    if len(fitting.test) < FEWEST:
        rows = _unmeasured(tables, labels, fitting, choices, options, catalog)
        say(too_few(len(fitting.test), FEWEST))
        few = {"n": len(fitting.test), "too_few": True}
        return show({"heads": rows, "random_sample": few}, as_json, hide=("random_sample",))
    measured = dataclasses.replace(options, set_aside=True)
    fitted = fit_heads(tables, labels, fitting, choices, measured, catalog=catalog)
    samples = {
        str(candidate.head): RandomSample.of(candidate.predictions, labels, candidate.scores)
        for candidate, _ in fitted
    }
    about = {name: sample.asdict() for name, sample in samples.items()}
    show_heads(fitted, [], as_json, {"random_sample": about})
    for name, sample in () if as_json else samples.items():
        show({f"{name}_on_{sample.n}_galaxies_drawn_at_random": sample.rows}, as_json)


def _unmeasured(
    tables: Sequence[EmbeddingTable],
    labels: Labels,
    split: Split,
    choices: Sequence[HeadChoice],
    options: FitOptions,
    catalog: Catalog | None,
) -> list[dict[str, Any]]:
    """Fit heads and write them to files; return one result row per head, whose scores are None."""
    from gzfeatures.heads.fit import fit

    rows = []
    for choice in choices:
        start = time.perf_counter()
        head = fit(
            tables,
            labels,
            choice.name,
            split=split,
            seed=options.seed,
            tune=choice.tune,
            catalog=catalog if options.columns else None,
            columns=options.columns,
            jobs=options.jobs,
            **choice.parameters,
        )
        rows.append(
            {
                "head": choice.name,
                **dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")),
                "fit_seconds": time.perf_counter() - start,
                "predict_seconds": None,
                "params": head.parameters,
                "path": head.write(options.folder / f"{choice.name}.skops"),
            }
        )
    return rows
