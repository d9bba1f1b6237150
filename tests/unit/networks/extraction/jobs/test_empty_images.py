"""Images that show no galaxy are named before a network is given them, and cost it next to
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.jobs.job import Job
from gzfeatures.networks.extraction.jobs.result_tables import table_of
from gzfeatures.networks.extraction.spec import Extraction
from gzfeatures.progress import SILENT

QUICK = Extraction("resnet18", "none", view=View(size=32), precision="float32", progress=False)
EMPTY = {"black", "black-small", "blue", "white"}


class Network:
    """A network whose vector is the mean colour, and that notes what it met and what was known
    then."""

    batch, workers = 4, 1

    def __init__(self, job: Job) -> None:
        self.job, self.met, self.known = job, [], set[str]()  # type: ignore[var-annotated]

    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1)

    def vectors(self, images: Sequence[Any]) -> list[np.ndarray]:
        colours = np.array([image[0].mean((0, 1)) for image in images], dtype=np.float32)
        self.met += [tuple(colour) for colour in colours.tolist()]
        self.known |= set(self.job.empty.reasons.values())
        rows = np.zeros((len(images), self.job.extractors[0].dim), dtype=np.float32)
        rows[:, :3] = colours
        return [rows]


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "galaxy.png")
    for name, side, colour in (
        ("black", 60, (0, 0, 0)),
        ("black-small", 44, (0, 0, 0)),
        ("blue", 60, (20, 80, 200)),
        ("white", 60, (255, 255, 255)),
    ):
        Image.new("RGB", (side, side), colour).save(folder / f"{name}.png")
    return ImageSet.of(folder)


def done(images: ImageSet, store: Path) -> tuple[Job, Network]:
    caches = [Store(store).vectors_of(QUICK.extractor)]
    job = Job(images, caches, True, 2, SILENT)
    network = Network(job)
    job.hash_images()
    job.compute(job.absent(), lambda: network)
    job.find_empty()
    return job, network


def test_a_network_meets_each_flat_colour_once_and_after_it_was_named(
    images: ImageSet, tmp_path: Path
) -> None:
    job, network = done(images, tmp_path / "store")
    # two black frames of different sizes look the same to it
    assert sorted(network.met)[:2] == [(0, 0, 0), (20, 80, 200)] and len(network.met) == 4
    assert len(network.known) == 3, "a network was given images before they were judged"
    table = table_of(job, 0, 0.0)
    assert {name for name, _ in table.nothing_shown} == EMPTY and len(table) == 5
    of = dict(zip(table.ids, table.matrix[:, :3].tolist(), strict=True))
    assert of["black"] == of["black-small"] == [0, 0, 0] and of["white"] == [255, 255, 255]


def test_stored_vectors_are_named_again_without_a_network(images: ImageSet, tmp_path: Path) -> None:
    first, _ = done(images, tmp_path / "store")
    again, network = done(images, tmp_path / "store")
    assert network.met == []
    assert table_of(again, 0, 0.0).nothing_shown == table_of(first, 0, 0.0).nothing_shown


def test_a_table_keeps_which_of_its_images_show_nothing(images: ImageSet, tmp_path: Path) -> None:
    table = table_of(done(images, tmp_path / "store")[0], 0, 0.0)
    read = EmbeddingTable.read(table.write(tmp_path / "t.parquet"))
    assert read.nothing_shown == table.nothing_shown
    part = table.select(np.array(["galaxy", "blue"], dtype=object))
    assert [name for name, _ in part.nothing_shown] == ["blue"]
    whole = EmbeddingTable.open(tmp_path / "t.parquet").having(part.ids)
    assert [name for name, _ in whole.nothing_shown] == ["blue"]


def test_the_first_ten_are_named_one_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for level in range(14):
        Image.new("RGB", (44, 44), (level,) * 3).save(folder / f"{level:02}.png")
    lines: list[str] = []
    images = ImageSet.of(folder)
    job = Job(images, [Store(tmp_path / "s").vectors_of(QUICK.extractor)], True, 1, SILENT)
    job.empty._say = lines.append  # type: ignore[method-assign]
    job.hash_images()
    job.compute(job.absent(), partial(Network, job))
    assert [line.split()[1] for line in lines] == [f"{level:02}" for level in range(10)]
    assert lines[3] == "warning: 03 shows no galaxy: image is blank: every pixel is [3, 3, 3]"
