"""A table without galaxies is predicted with the options that were given, as any other table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tables_of import table_of

from gzfeatures.cli.verbs.prediction import _by_head, _PredictOptions
from gzfeatures.experiment.candidates import fit_heads
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.reading import Reading

N = 2000


def test_a_coverage_that_fits_the_given_level_is_no_error(tmp_path: Path) -> None:
    table = table_of(np.random.default_rng(0).normal(size=(N, 4)))
    labels = Labels(table.ids, ("ring", "bar"), np.arange(N) % 2, "classes", "c")
    split = Split.draw(labels)
    ((_, head),) = fit_heads([table], labels, split, [HeadChoice(name="logistic")], folder=tmp_path)
    empty = tmp_path / "empty.parquet"
    table.select(table.ids[:0]).write(empty)
    # 0.995 cannot be promised with the usual level 0.01, but with 0.001
    options = _PredictOptions(
        None, None, "raise", Reading(), 0.001, 0.995, (), None, None, (None, None)
    )
    predictions = _by_head(head, empty, options).predictions
    assert len(predictions) == 0 and predictions.classes == ("ring", "bar")
