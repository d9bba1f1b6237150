"""What each galaxy adds to a metric."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.metric_sums import shares_of, sufficient_statistics
from gzfeatures.galaxies.labels.labels import Labels


@pytest.mark.parametrize("codes", [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "brier"])
def test_shares_have_the_metric_as_their_mean(codes: list[int], metric: str) -> None:
    # the AUC of galaxies of one class is undefined, and must not spoil the other metrics
    ids = np.array(list("abcde"), dtype=object)
    p = np.random.default_rng(0).dirichlet((1, 1), 5)
    predictions = Predictions(ids, p, ("smooth", "disk"))
    truth = Labels(ids, ("smooth", "disk"), np.array(codes))
    shares = shares_of(sufficient_statistics(predictions, truth), metric, "classes", 2)
    scores = evaluate(predictions, truth, intervals=0)
    assert shares.mean() == pytest.approx(scores.metrics[metric])
    if metric == "accuracy":
        np.testing.assert_allclose(shares, p.argmax(1) == codes, atol=1e-9)
