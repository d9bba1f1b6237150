"""The backbone that comes with the package: whole, offline, honest about what it has seen."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
from pathlib import Path

import numpy as np
import pytest

import gzfeatures as gz
from gzfeatures.errors import LeakError, WeightsError
from gzfeatures.features import backbones
from gzfeatures.features.backbones import BACKBONES, RECORD, TENSORS, backbone, model_card, packaged
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.synthetic.survey import draw_survey

NAME = "googlenet-gz2"
FOLDER = packaged(NAME)


def test_the_entry_says_what_the_record_says() -> None:
    entry, record = BACKBONES[NAME], json.loads((FOLDER / RECORD).read_text("utf-8"))
    elsewhere = dict.fromkeys(("weights", "sha256", "licence", "source", "trained_on"))
    assert {**entry.asdict(), **elsewhere} == {**record["backbone"], **elsewhere}
    assert (
        entry.sha256
        == record["weights_sha256"]
        == hashlib.sha256((FOLDER / TENSORS).read_bytes()).hexdigest()
    )
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 13e6


def test_it_knows_the_galaxies_it_has_seen_and_that_none_is_of_the_tenth_kept_out(
    shared_data: Path,
) -> None:
    seen = TrainedOn.decode(backbone(NAME).trained_on or "")
    ids = np.array(
        sorted(path.stem for path in (shared_data / "gz2" / "images").glob("*.jpg")), dtype=object
    )
    tenth = np.array([int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == 3 for name in ids])
    assert not seen.contains(ids[tenth]).any()
    assert seen.contains(ids[~tenth]).mean() > 0.9


def test_the_first_call_needs_no_network_and_gives_the_record_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    survey = draw_survey(tmp_path / "survey", n=12, seed=0, size=64, progress=False)
    table = gz.extract(
        gz.ImageSet.of(survey.images), store=gz.Store(tmp_path / "store"), progress=False
    )
    assert table.extractor.backbone == NAME and table.matrix.shape == (12, 1024)
    assert table.extractor.trained_on == backbone(NAME).trained_on


def test_a_galaxy_it_was_trained_on_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = draw_survey(tmp_path / "survey", n=60, seed=0, size=64, progress=False)
    labels = gz.SCHEMES["q1-3class"].label(gz.Catalog.read(survey.catalog))
    labels = labels.select(labels.ids[labels.codes < 2])
    split = gz.Split.draw(labels)
    seen = dataclasses.replace(backbone(NAME), trained_on=TrainedOn.of(split.test[:1]).encode())
    monkeypatch.setattr("gzfeatures.networks.extraction.spec.backbone_of", lambda _: seen)
    images = gz.ImageSet.of(survey.images, ids=labels.ids)
    table = gz.extract(images, NAME, store=gz.Store(tmp_path / "store"), progress=False)
    head = gz.fit(table, labels, "prototype", split=split)
    with pytest.raises(
        LeakError, match=f"1 of {len(split.test)} galaxies were trained on.*{split.test[0]}"
    ):
        gz.evaluate(head.predict(table.select(split.test)), labels)


def test_exchanged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (path for path in FOLDER.iterdir() if path.is_file()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = bytearray((tmp_path / TENSORS).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / TENSORS).write_bytes(damaged)
    monkeypatch.setattr(backbones, "packaged", lambda _: tmp_path)
    monkeypatch.setattr("gzfeatures.features.weights.packaged", lambda _: tmp_path)
    survey = draw_survey(tmp_path / "survey", n=2, seed=0, size=64, progress=False)
    with pytest.raises(WeightsError, match="damaged or was exchanged"):
        gz.extract(
            gz.ImageSet.of(survey.images), NAME, store=gz.Store(tmp_path / "store"), progress=False
        )


def test_the_card_gives_credit_and_limits() -> None:
    card = model_card(BACKBONES[NAME])
    assert card is not None
    text = card.read_text("utf-8")
    figures = json.loads((FOLDER / "figures.json").read_text("utf-8"))
    assert figures["seen_test_galaxies"] == 0
    for part in (
        "10.1093/mnras/stt1458",
        "not good for",
        f"{figures['network']['accuracy']:.3f}",
        "%10 == 3".replace("%", "% "),
    ):
        assert part in text
    assert model_card(BACKBONES["resnet50"]) is None
