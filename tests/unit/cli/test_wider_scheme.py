"""The scheme that is named as the widest reads the votes that the user chose."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gzfeatures.cli.inputs import labelled
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels import schemes
from gzfeatures.galaxies.votes.vote_columns import Choice

ANSWERS = ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """300 galaxies with 5 to 59 volunteers each."""
    generator = np.random.default_rng(0)
    totals = generator.integers(5, 60, 300)
    shares = generator.dirichlet([1, 1, 0.3], 300)
    counts = np.array([generator.multinomial(n, p) for n, p in zip(totals, shares, strict=True)])
    columns = {"dr7objid": np.arange(300) + 587722981742084097}
    for place, answer in enumerate(ANSWERS):
        name = f"t01_smooth_or_features_{answer}"
        columns[f"{name}_count"] = columns[f"{name}_weight"] = counts[:, place]
        for kind in ("fraction", "weighted_fraction", "debiased"):
            columns[f"{name}_{kind}"] = counts[:, place] / totals
    pd.DataFrame({**columns, "total_classifications": totals}).to_csv(tmp_path / "k.csv")
    return Catalog.read(tmp_path / "k.csv")


def widest(printed: str) -> tuple[str, float] | None:
    found = re.search(r"scheme (\S+) gives most galaxies a class: ([0-9.]+)%", printed)
    return None if found is None else (found[1], float(found[2]))


@pytest.mark.parametrize("votes", [0, 20, 40])
def test_the_share_is_what_the_scheme_gives_under_the_same_choice(
    votes: int, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(catalog, "q1-3class", 0, None, None, votes)
    found = widest(capsys.readouterr().err)
    assert found is not None
    name, share = found
    labels = schemes.scheme(name).label(catalog, 0, Choice(min_votes=votes))
    assert share == pytest.approx(100 * len(labels) / len(catalog), abs=0.051)
    assert share < 50 or votes < 40
