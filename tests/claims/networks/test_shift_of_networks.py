"""Claim: galaxies of a network are compared with those kept out of training, as tables are."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from test_what_a_network_promises import calibrated, survey

from gzfeatures.cli.shift_notes import compared, sample_for
from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.networks.inference.output_calibration import OutputCalibration


@pytest.fixture(scope="module")
def calibration() -> OutputCalibration:
    """A network calibrated on 800 galaxies, read again from the record of its checkpoint."""
    record = json.loads(json.dumps(calibrated(800, 3).asdict()))
    return OutputCalibration.fromdict(record)


def predicted(
    calibration: OutputCalibration, n: int, seed: int, moved: float = 0.0, only: int | None = None
) -> tuple[Predictions, dict[str, object]]:
    """Predict n galaxies, moved in feature space or of one class alone, and compare them."""
    bare, labels, features = survey(n, seed)
    chosen = np.ones(n, dtype=bool) if only is None else labels.codes == only
    bare, features = bare.select(bare.ids[chosen]), features[chosen] + np.float32(moved)
    predictions = calibration.applied(bare, features)
    sample = sample_for(calibration)
    assert sample is not None
    sample.add(predictions.ids, features, None)
    return compared(calibration, predictions, sample, only is not None, "network")


def test_the_same_galaxies_are_not_warned_of_and_others_are(
    calibration: OutputCalibration, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = predicted(calibration, 600, 11)
    assert not found["shift"]["shifted"] and "warning" not in capsys.readouterr().err
    _, found = predicted(calibration, 600, 12, moved=1.5)
    words = " ".join(capsys.readouterr().err.split())
    assert found["shift"]["shifted"] and found["shift"]["auc"] > 0.7
    assert "warning: these galaxies are not drawn like those the network was trained on" in words


def test_class_shares_of_a_network_are_corrected_on_request(
    calibration: OutputCalibration,
) -> None:
    assert calibration.shares is not None and calibration.shares.n == 800
    # only the second class is left: a third of the galaxies before
    _, found = predicted(calibration, 2000, 13, only=1)
    shares = {row["class"]: row for row in found["class_shares"]}
    assert shares["disk"]["after"] > shares["disk"]["before"] and shares["disk"]["after"] > 0.9


def test_a_network_that_keeps_no_galaxies_says_that_nothing_is_known(
    calibration: OutputCalibration, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = OutputCalibration(temperature=2.0)
    bare, _, features = survey(200, 14)
    predictions = nothing.applied(bare, features)
    assert sample_for(nothing) is None
    _, found = compared(nothing, predictions, None, False, "network")
    words = " ".join(capsys.readouterr().err.split())
    assert found["shift"] is None and "like those of the network is not known" in words
    with pytest.raises(InputError, match="class shares cannot be corrected"):
        compared(nothing, predictions, None, True, "network")
    older = dataclasses.replace(calibration, shares=None).asdict()
    del older["shares"]
    assert OutputCalibration.fromdict(older).shares is None
