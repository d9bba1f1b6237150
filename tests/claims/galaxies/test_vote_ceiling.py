"""Claim: an accuracy is compared with how often two groups of volunteers have the same majority,
estimated without taking the observed vote fractions for the true ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from verbs import called

from gzfeatures.evaluation.candidate import Candidate, assumptions
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.repeatability import dirichlet_prior, of_majorities
from gzfeatures.experiment import finetune_verb
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.view import View

COUNTS = tuple(
    f"t01_smooth_or_features_a0{number}_{answer}_count"
    for number, answer in ((1, "smooth"), (2, "features_or_disk"), (3, "star_or_artifact"))
)


@pytest.mark.parametrize("concentration", [[0.4, 0.3, 0.2], [3.0, 2.0, 2.0]])
@pytest.mark.parametrize("panel", [8, 40])
def test_repeatability_is_what_a_second_panel_finds(concentration: list[float], panel: int) -> None:
    """Galaxies of known fractions, one panel seen: the estimate is how often panels of other people
    do agree."""
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(concentration, 6000)
    seen, first, second = (rng.multinomial(panel, truth) for _ in range(3))
    agreed = (
        (first + rng.random(first.shape)).argmax(1) == (second + rng.random(second.shape)).argmax(1)
    ).mean()
    shares = seen / panel
    found = of_majorities(shares, np.full(6000, panel), draws=30).mean()
    assert found == pytest.approx(agreed, abs=0.025)
    np.testing.assert_allclose(
        dirichlet_prior(shares, np.full(6000, panel)), concentration, rtol=0.15
    )


def test_a_unanimous_small_panel_is_not_certain_to_be_repeated() -> None:
    rng = np.random.default_rng(1)
    shares = rng.multinomial(5, rng.dirichlet([2, 2], 3000)) / 5
    clean = shares.max(1) == 1
    assert of_majorities(shares, np.full(3000, 5), draws=50)[clean].mean() < 0.9


def test_the_counts_of_a_catalog_are_the_size_of_its_panels() -> None:
    """Without counts a panel of 40 is assumed, and for a galaxy whose counts are missing too."""
    ids = np.array([f"g{row}" for row in range(60)], dtype=object)
    smooth = np.random.default_rng(0).integers(1, 8, 60)
    soft = np.column_stack([smooth / 8, 1 - smooth / 8])
    labels = Labels(ids, ("smooth", "disk"), soft.argmax(1), soft=soft)
    predictions = Predictions(ids, soft, ("smooth", "disk"))
    frame = pd.DataFrame({"galaxy_id": ids, COUNTS[0]: smooth, COUNTS[1]: 8 - smooth, COUNTS[2]: 0})
    gap = frame.astype(dict.fromkeys(COUNTS, float))
    gap.loc[59, list(COUNTS)] = np.nan
    ceilings = [
        evaluate(predictions, labels, intervals=False, catalog=catalog).ceiling
        for catalog in (Catalog(frame), Catalog(frame[["galaxy_id"]]), Catalog(gap))
    ]
    assert [(each["panel"], each["assumed"]) for each in ceilings] == [
        (8.0, False),
        (40.0, True),
        (pytest.approx((59 * 8 + 40) / 60), True),
    ]
    assert ceilings[0]["repeatability"] < ceilings[1]["repeatability"] - 0.05


def scored(panels: Catalog | None) -> tuple[Candidate, Labels]:
    """A candidate on 60 galaxies with votes, whose panels are as large as the catalog says."""
    ids = np.array([f"g{row}" for row in range(60)], dtype=object)
    smooth = np.random.default_rng(0).integers(1, 8, 60)
    soft = np.column_stack([smooth / 8, 1 - smooth / 8])
    labels = Labels(ids, ("smooth", "disk"), soft.argmax(1), soft=soft)
    predictions = Predictions(ids, soft, ("smooth", "disk"))
    scores = evaluate(predictions, labels, intervals=0, catalog=panels)
    return Candidate(
        approach="end-to-end", backbone="net", head=None, scheme="two", split="split",
        predictions=predictions, scores=scores, seconds={},
    ), labels  # fmt: skip


def test_a_network_whose_panels_are_not_known_says_that_40_are_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each fine-tuning: its catalog of images has no counts of volunteers."""
    monkeypatch.setattr(finetune_verb, "write_worst_errors", lambda *words: None)
    candidate, labels = scored(None)
    split = Split(np.array(["other"], dtype=object), labels.ids[:0], labels.ids)
    trained = SimpleNamespace(folder=tmp_path, candidate=lambda *words: candidate)
    for _ in range(2):
        lines: list[str] = []
        tuning = finetune_verb.FineTuning("net", SimpleNamespace(), lines.append)
        galaxies = SimpleNamespace(split=split, labels=labels, images=None)
        tuning._finished(galaxies, trained, candidate.predictions, {}, None)
        assert (
            lines == [f"note: {candidate.scores.ceiling.assumption}"] and "assumes 40" in lines[0]
        )


def test_nothing_is_said_where_the_catalog_counts_the_volunteers() -> None:
    ids = [f"g{row}" for row in range(60)]
    frame = pd.DataFrame({"galaxy_id": ids, COUNTS[0]: 5, COUNTS[1]: 3, COUNTS[2]: 0})
    assert assumptions([scored(Catalog(frame))[0]]) == []
    assert len(assumptions([scored(None)[0]] * 3)) == 1


def test_fit_says_that_40_are_assumed(tmp_path: Path) -> None:
    labels = scored(None)[1]
    extractor = Extractor("net", "net", "0" * 64, "pool", 2, View())
    digests = np.array([f"{row:064x}" for row in range(60)], dtype=object)
    vectors = labels.soft.astype(np.float32)
    EmbeddingTable(labels.ids, digests, vectors, extractor).write(tmp_path / "t.parquet")
    side = np.arange(60) % 3
    split = Split(*(labels.ids[side == number] for number in range(3)))
    write_labels(tmp_path / "labels.csv", labels, split)
    words = ("--labels", tmp_path / "labels.csv", "--head", "logistic", "-o", tmp_path / "heads")
    result = called("fit", tmp_path / "t.parquet", *words)
    assert result.returncode == 0 and "assumes 40" in " ".join(result.stderr.split())
