"""Each round of a campaign is an MLflow run with what it asked and reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.errors import OutputError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.maps.map import Map
from gzfeatures.session.teaching_session import TeachingSession
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.tracking import Tracking
from gzfeatures.tracking.later.campaigns import CampaignRecord

N, ROUNDS = 200, 24


def session(folder: Path, on_round: Any) -> tuple[TeachingSession, np.ndarray]:
    codes = np.arange(N) % 2
    table = table_of(np.random.default_rng(0).normal(size=(N, 6)) + 4 * codes[:, None])
    space = FeatureSpace.fit(table.matrix)
    chart = Map(table.ids, table.matrix[:, :2], {}, {}, space, space.vectors(table.matrix))
    return TeachingSession(table, chart, AnswersFile(folder / "m.csv"), on_round=on_round), codes


def teach(taught: TeachingSession, codes: np.ndarray, rounds: int) -> None:
    """Five answers a round, the fifth of a galaxy drawn at random."""
    for number in range(rounds):
        for place in range(5):
            row = 5 * number + place
            reason = "random" if place == 4 else "queue"
            answer = {"id": str(taught.table.ids[row]), "label": "ab"[codes[row]]}
            answer |= {"asked": reason, "round": number, "who": "me", "when": ""}
            taught.keep({"answers": [answer]})


def test_rounds_are_runs_with_the_accuracy_on_galaxies_set_aside(tmp_path: Path) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'm.db'}")
    record = CampaignRecord(tracking, "teach m", print)
    taught, codes = session(tmp_path, record)
    teach(taught, codes, ROUNDS)
    taught.close()
    record.close()
    with tracking.writing() as client:
        (experiment,) = client.search_experiments(filter_string="name = 'teach m'")
        runs = client.search_runs([experiment.experiment_id])
        by_name = {run.info.run_name: run for run in runs}
        assert len(by_name) == len(runs) == ROUNDS
        first, last = by_name["round 0"], by_name[f"round {ROUNDS - 1}"]
        assert first.data.metrics["labels"] == 5 and "accuracy" not in first.data.metrics
        # two heaps that a line separates: every galaxy set aside is right, in a Wilson interval
        assert (
            last.data.metrics["labels"] == 5 * ROUNDS and last.data.metrics["set_aside"] == ROUNDS
        )
        assert last.data.metrics["accuracy"] == 1 > last.data.metrics["accuracy_low"] > 0.8
        (point,) = client.get_metric_history(last.info.run_id, "accuracy")
        assert point.step == 5 * ROUNDS
        told = client.download_artifacts(first.info.run_id, "asked.json", str(tmp_path))
        asked = json.loads(Path(told).read_text())
    assert [each["asked"] for each in asked] == ["queue"] * 4 + ["random"]
    assert asked[0]["galaxy_id"] == "g0000" and asked[0]["label"] == "a"


def test_a_lost_server_stops_no_labelling_and_its_rounds_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(f"sqlite:///{tmp_path / 'm.db'}")
    told: list[str] = []
    record = CampaignRecord(tracking, "teach m", told.append)
    taught, codes = session(tmp_path, record)
    lost = [True]
    write = CampaignRecord._write

    def written(self: CampaignRecord, each: Any) -> None:
        if lost[0]:
            raise OutputError("server is gone")
        write(self, each)

    monkeypatch.setattr(CampaignRecord, "_write", written)
    teach(taught, codes, 4)
    assert len(taught.file.answers) == 20
    record._writer.submit(lambda: None).result()
    assert told == ["labelling goes on without its record: server is gone"]
    lost[0] = False
    taught.close()
    record.close()
    with tracking.writing() as client:
        (experiment,) = client.search_experiments(filter_string="name = 'teach m'")
        assert len(client.search_runs([experiment.experiment_id])) == 4
