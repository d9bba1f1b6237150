"""A coverage that no class sets reach is refused before the first fit, with an option of `fit`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.experiment.candidates import fit_heads
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split

N = 300


def test_the_remedy_names_only_options_of_fit(tmp_path: Path) -> None:
    table = table_of(np.random.default_rng(0).normal(size=(N, 4)))
    labels = Labels(table.ids, ("ring", "bar"), np.arange(N) % 2, "classes", "c")
    with pytest.raises(InputError, match=r"0\.995 of the .*; choose a lower --coverage$"):
        fit_heads(
            [table],
            labels,
            Split.draw(labels),
            [HeadChoice(name="ridge")],
            folder=tmp_path / "heads",
            coverage=0.995,
        )
    assert not (tmp_path / "heads").exists()
