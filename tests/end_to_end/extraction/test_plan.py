from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stored import compute_table, write_all

from gzfeatures.errors import InputError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.images.galaxy_image import GalaxyImage
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.fill import engine_of
from gzfeatures.networks.extraction.forward import TorchForward
from gzfeatures.networks.extraction.jobs.job import Job
from gzfeatures.networks.extraction.jobs.result_tables import table_of
from gzfeatures.networks.extraction.plan import plan_forwards
from gzfeatures.networks.extraction.spec import Extraction, extractor_of
from gzfeatures.progress import SILENT

SMALL = View(size=40)
QUICK = Extraction("resnet18", "none", view=SMALL, precision="float32", progress=False)
SEVERAL = (
    QUICK,
    dataclasses.replace(QUICK, layer="layer1"),
    dataclasses.replace(QUICK, view=View(size=40, crop=0.5)),
    dataclasses.replace(QUICK, layer="layer4", dihedral=True),
    dataclasses.replace(QUICK, backbone="mobilenet-v2"),
)


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg", quality=90)
    return ImageSet.of(tmp_path)


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[Any]:
    """What a method is called with, from now on."""
    calls: list[Any] = []
    method = getattr(owner, name)

    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return method(self, *arguments, **options)

    monkeypatch.setattr(owner, name, noted)
    return calls


def test_layers_of_one_network_under_one_view_are_one_pass() -> None:
    extractors = [each.extractor for each in SEVERAL]
    tasks = plan_forwards(extractors)
    assert [task.extractor.layer for task in tasks] == [
        "avgpool+layer1",
        "avgpool",
        "layer4",
        "flatten",
    ]
    assert (
        tasks[0].members == ((0, 512), (1, extractors[1].dim))
        and tasks[0].extractor.dim == 512 + extractors[1].dim
    )
    assert [task.view for task in tasks] == [0, 1, 0, 0]


def test_joined_layers_are_one_vector(images: ImageSet) -> None:
    joined = compute_table(images, dataclasses.replace(QUICK, layer="layer1+avgpool"))
    parts = [
        compute_table(images, dataclasses.replace(QUICK, layer=layer)).matrix
        for layer in ("layer1", "avgpool")
    ]
    np.testing.assert_allclose(joined.matrix, np.hstack(parts), rtol=1e-4, atol=1e-5)
    assert joined.extractor == extractor_of(
        "resnet18", weights="none", layer="layer1+avgpool", view=SMALL, precision="float32"
    )


def test_several_tables_from_one_decode_equal_those_made_alone(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = counted(monkeypatch, GalaxyImage, "network_input")
    run = counted(monkeypatch, TorchForward, "run")
    files = write_all(SEVERAL, images, [tmp_path / f"{n}.parquet" for n in range(len(SEVERAL))])
    assert len(decoded) == len(images) and len(run) == 2 * len(
        plan_forwards([each.extractor for each in SEVERAL])
    )
    for file, each in zip(files, SEVERAL, strict=True):
        table = EmbeddingTable.read(file.path)
        assert table.extractor == each.extractor and file.made.computed == len(images)
        alone = compute_table(images, dataclasses.replace(each, store=Store(tmp_path / "alone")))
        np.testing.assert_allclose(table.matrix, alone.matrix, rtol=1e-4, atol=1e-5)


def test_only_what_a_table_lacks_is_stored(images: ImageSet, tmp_path: Path) -> None:
    compute_table(images.select(images.ids[:4]), QUICK)
    made = [
        file.made
        for file in write_all(SEVERAL[:3], images, [tmp_path / f"{n}.parquet" for n in range(3)])
    ]
    assert [(each.computed, each.reused) for each in made] == [(5, 4), (9, 0), (9, 0)]


def test_pictures_that_go_to_the_engine_whole_give_the_same_vectors(
    images: ImageSet, tmp_path: Path
) -> None:
    job = Job(
        images, [Store(tmp_path / "whole").vectors_of(QUICK.extractor)], True, 1, SILENT, whole=True
    )
    job.hash_images()
    job.compute(job.absent(), lambda: engine_of([QUICK], job, len(images)))
    np.testing.assert_allclose(
        table_of(job, 0, 0.0).matrix, compute_table(images, QUICK).matrix, rtol=0.02, atol=0.02
    )


def test_one_pass_has_one_store(images: ImageSet, tmp_path: Path) -> None:
    other = dataclasses.replace(QUICK, store=Store(tmp_path / "other"))
    with pytest.raises(InputError, match="extractions in one pass; must have one store"):
        write_all([QUICK, other], images, [tmp_path / "a.parquet", tmp_path / "b.parquet"])
