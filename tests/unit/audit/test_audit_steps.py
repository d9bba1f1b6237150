"""An audit from table to page: what it finds, what it keeps, what it refuses, and what stands on
the page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blobs import draw as draw_blobs
from tables_of import table_of
from verbs import called, gz

import gzfeatures as package
from gzfeatures.audit import audit as steps
from gzfeatures.audit import movement
from gzfeatures.audit.audit import AuditOptions
from gzfeatures.audit.class_slices import balanced_accuracy
from gzfeatures.audit.findings import Audit
from gzfeatures.audit.page import render
from gzfeatures.audit.probes.probe import detectable
from gzfeatures.audit.training_galaxies import UNKNOWN
from gzfeatures.errors import InputError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import as_ids
from gzfeatures.images.image_set import ImageSet

N = 240
HOSTILE = "<script>window.hit = 1</script>"
IDS = as_ids([f"{HOSTILE}{row}" for row in range(N)])
RNG = np.random.default_rng(0)
CODES = np.arange(N) % 3
SEEING = RNG.normal(1.4, 0.2, N)
LABELS = Labels(IDS, ("round", "disk", HOSTILE), CODES, scheme="toy")
CATALOG = Catalog.of(
    pd.DataFrame({"galaxy_id": IDS, "seeing": SEEING, "airmass": RNG.normal(1.2, 0.1, N)})
)
OPTIONS = AuditOptions(draws=25)


def vectors(weights: str = "random:0") -> EmbeddingTable:
    """Vectors that know the class and the seeing, and not the airmass."""
    matrix = RNG.normal(size=(N, 12))
    matrix[:, :3] += 3 * np.eye(3)[CODES]
    matrix[:, 3] += 8 * (SEEING - 1.4)
    table = table_of(matrix, ids=list(IDS))
    return dataclasses.replace(
        table, extractor=dataclasses.replace(table.extractor, weights=weights, backbone=HOSTILE)
    )


TABLE = vectors()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Path]:
    folder = tmp_path_factory.mktemp("audit")
    found = package.audit(TABLE, LABELS, catalog=CATALOG, options=OPTIONS, output=folder)
    return found, folder


def test_the_planted_nuisance_is_known_and_the_other_is_not(audited: tuple[Audit, Path]) -> None:
    found, _ = audited
    assert {probe.name: is_known for probe, is_known in found.judged} == {
        "seeing": True,
        "airmass": False,
    }
    assert "knows beyond morphology: seeing (+" in found.verdict and "\n" not in found.verdict
    assert found.morphology["score"] > 0.9
    assert {what for what, _ in found.not_judged} == {
        "images that are changed",
        "nuisances on pixels",
    }
    # the classes do not go with seeing, so all of the score is left inside its terciles
    rows = [row for row in found.slices if row.nuisance == "seeing"]
    assert len(rows) == 3 and all(row.left is not None and row.left > 0.85 for row in rows)
    assert all(row.interval[0] <= row.within <= row.interval[1] for row in rows)  # type: ignore[index, operator]


def test_page_and_json_say_the_same_and_text_from_outside_is_text(
    audited: tuple[Audit, Path],
) -> None:
    found, folder = audited
    record = json.loads((folder / "audit.json").read_text())
    assert record["verdict"] == found.verdict
    assert [row["known"] for row in record["nuisances"]] == [
        is_known for _, is_known in found.judged
    ]
    page = (folder / "audit.html").read_text()
    assert "cannot exclude:</b> morphology that neither the labels nor" in page
    assert "found from" in page
    for row in record["nuisances"]:
        assert row["detectable"] == pytest.approx(detectable(row["measure"], row["galaxies"]))
        assert f"<td>{row['detectable']:+.3f}</td>" in page
    assert "details of shape" in json.loads((folder / "audit.json").read_text())["not_excluded"]
    assert HOSTILE not in page and "&lt;script&gt;window.hit" in page
    assert "script-src 'none'" in page and "default-src 'none'" in page
    assert "never trained" in page and "could not be judged" in page


def test_an_audit_again_computes_nothing_and_a_change_computes_what_depends_on_it(
    audited: tuple[Audit, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, folder = audited
    computed: list[str] = []
    real = steps.probed

    def probed(*words: object, **options: object) -> object:
        computed.append(words[2].name)  # type: ignore[attr-defined]
        return real(*words, **options)  # type: ignore[arg-type]

    def unexpected(*words: object) -> None:
        raise AssertionError("duplicates lie in the folder")

    monkeypatch.setattr(steps, "probed", probed)
    monkeypatch.setattr(steps, "duplicates", unexpected)
    again = package.audit(TABLE, LABELS, catalog=CATALOG, options=OPTIONS, output=folder)
    assert computed == [] and again.asdict() == found.asdict()
    frame = CATALOG.frame.assign(airmass=CATALOG.frame["airmass"] + 1)
    package.audit(TABLE, LABELS, catalog=Catalog.of(frame), options=OPTIONS, output=folder)
    assert computed == ["airmass"]
    for step in (folder / "steps").glob("nuisance*"):
        step.write_text("{damaged")
    package.audit(TABLE, LABELS, catalog=CATALOG, options=OPTIONS, output=folder)
    assert computed == ["airmass", "seeing", "airmass"]


@pytest.mark.parametrize(
    ("weights", "trained", "words"),
    [
        ("sha", None, UNKNOWN),
        ("random:0", None, "never trained"),
        ("sha", TrainedOn.of(IDS[:7]).encode(), "trained on 7 of 240 galaxies"),
    ],
)
def test_training_galaxies_are_counted_and_a_dagger_stands_where_they_are_unknown(
    weights: str, trained: str | None, words: str
) -> None:
    extractor = dataclasses.replace(TABLE.extractor, weights=weights, trained_on=trained)
    table = dataclasses.replace(TABLE, extractor=extractor)
    found = package.audit(table, LABELS)
    assert words in found.training.sentence
    assert ("†" in found.training.sentence) == (words == UNKNOWN) == (not found.training.known)
    assert "no nuisance could be measured" in found.verdict
    assert "No nuisance could be measured" in render(found)


def test_what_cannot_be_audited_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have labels, or a catalog with votes"):
        package.audit(TABLE)
    with pytest.raises(InputError, match="be columns of a catalog"):
        package.audit(TABLE, LABELS, nuisances=["seeing"])
    few = LABELS.select(IDS[:30])
    with pytest.raises(InputError, match="be 40 or more, found 30"):
        package.audit(TABLE, few)
    with pytest.raises(InputError, match="be 19 or more, found 3"):
        AuditOptions(draws=3)
    foreign, damaged = tmp_path / "foreign.parquet", tmp_path / "damaged.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(foreign)
    whole = TABLE.write(tmp_path / "whole.parquet").read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    labels = tmp_path / "labels.csv"
    labels.write_text("galaxy_id,label\na,x\nb,y\n")
    for table, words in ((foreign, "not an embedding table"), (damaged, "Parquet")):
        told = called("audit", table, "--labels", labels, "-o", tmp_path / "out")
        assert told.returncode == 1 and told.stdout == ""
        assert told.stderr.startswith("error: ") and told.stderr.count("\n") == 1
        assert words in told.stderr


def test_the_verb_prints_rows_that_fit_eighty_columns_and_where_it_wrote(tmp_path: Path) -> None:
    names = as_ids([f"g{row:03d}" for row in range(N)])
    table = dataclasses.replace(TABLE, ids=names).write(tmp_path / "table.parquet")
    catalog, labels = tmp_path / "catalog.csv", tmp_path / "labels.csv"
    CATALOG.frame.assign(galaxy_id=names).to_csv(catalog, index=False)
    pd.DataFrame({"galaxy_id": names, "label": CODES}).to_csv(labels, index=False)
    words = ["audit", table, "--catalog", catalog, "--labels", labels, "-o", tmp_path / "out"]
    told = called(*words, "--nuisance", "seeing")
    assert told.returncode == 0, told.stderr
    assert max(map(len, told.stdout.split("not judged")[0].splitlines())) <= 80
    assert "seeing, R²" in told.stdout and "airmass" not in told.stdout
    assert "audit.html" in told.stderr and "next: " in told.stderr
    record = gz(*words, "--nuisance", "seeing", "--overwrite")
    assert record == json.loads((tmp_path / "out" / "audit.json").read_text())
    assert record["nuisances"][0]["known"] is True


def test_an_encoder_that_cannot_be_run_is_said_and_the_rest_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: object, **options: object) -> None:
        raise InputError("encoder is not the one that made the table", where="x")

    monkeypatch.setattr(steps, "movements", refused)
    monkeypatch.setattr(steps, "_nuisances", lambda *words: ([], []))
    shown = ImageSet.of(draw_blobs(tmp_path, 2))
    found = package.audit(TABLE, LABELS, images=shown)
    assert found.not_judged[0][1].startswith("x: encoder is not the one")
    assert found.duplicates["pairs"] == 0
    with pytest.raises(InputError, match="another program made"):
        extractor = TABLE.extractor.imported("zoobot", "zoobot", "feat_*", 12)
        rerun = movement.Rerun(store=Store.at(tmp_path / "store"))
        movement._extraction(dataclasses.replace(TABLE, extractor=extractor), rerun)
    with pytest.raises(InputError, match="have a store"):
        movement._extraction(TABLE, movement.Rerun())


def test_balanced_accuracy_counts_classes_with_ten_galaxies_alone() -> None:
    truth = np.repeat([0, 1, 2], [20, 20, 4])
    predicted = truth.copy()
    predicted[:10] = 2
    score = balanced_accuracy(truth, predicted, 3)
    assert score is not None and score[0] == pytest.approx(0.75)
    assert score[1][0] < 0.75 < score[1][1] and score[2].tolist() == [True, True, False]
    assert balanced_accuracy(truth[:20], predicted[:20], 3) is None
