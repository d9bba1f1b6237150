"""An array script repeats the command, a part of the images in each task, with one store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gzfeatures.cli.slurm_script import part_of
from gzfeatures.errors import InputError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.spec import Extraction
from gzfeatures.networks.extraction_cost import ExtractionCost, measure

OPTIONS = ["--backbone", "resnet18", "--weights", "none", "--view", "size=32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name, and images in it."""
    folder, rng = tmp_path_factory.mktemp("slurm") / "my galaxies", np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for number in range(7):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    # the program by which the script calls this checkout
    (folder / "bin").mkdir()
    program = folder / "bin" / "gzfeatures"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gzfeatures "$@"\n')
    program.chmod(0o755)
    return folder


def call(place: Path, command: list[str], **more: str) -> subprocess.Popen[str]:
    import gzfeatures

    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(gzfeatures.__file__).parents[1]),
        "GZFEATURES_STORE": str(place / "store"),
        "XDG_STATE_HOME": str(place / "state"),
        **more,
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def done(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_two_tasks_fill_one_store_and_the_table_is_written_from_it(place: Path) -> None:
    words = ["gzfeatures", "extract", "images", *OPTIONS, "-o", "table.parquet"]
    script = done(call(place, [*words, "--slurm", "2"]))
    assert "#SBATCH --array=0-1\n" in script and not (place / "table.parquet").exists()
    (place / "array.sh").write_text(script)
    # another store in the task's environment must not count: the script names the shared one
    tasks = [
        call(
            place,
            ["bash", "array.sh"],
            SLURM_ARRAY_TASK_ID=str(task),
            GZFEATURES_STORE=str(place / "nowhere"),
        )
        for task in range(2)
    ]
    for task in tasks:
        done(task)
    assert not (place / "nowhere").exists()
    parts = [EmbeddingTable.read(place / f"table.part{number}.parquet") for number in (1, 2)]
    assert [sorted(part.ids) for part in parts] == [list("0123"), list("456")]
    # the last command of the script computes nothing
    last = next(line for line in script.splitlines() if line.startswith("#   "))
    done(call(place, ["bash", "-c", last[4:]]))
    whole = EmbeddingTable.read(place / "table.parquet")
    assert whole.ids.tolist() == list("0123456")
    for part in parts:
        assert (whole.select(part.ids).matrix == part.matrix).all()
    # seven vectors, of which the last command added none
    (stored,) = [each for each in Store(place / "store").show() if each.extractor.dim == 512]
    assert stored.rows == 7


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1.5/4", "²/4"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="part of the images; must be K/N"):
        part_of(text)


def test_the_parts_of_a_set_hold_each_image_once(place: Path) -> None:
    images = ImageSet.of(place / "images")
    parts = [images.part(number, 3).ids.tolist() for number in (1, 2, 3)]
    assert [name for part in parts for name in part] == images.ids.tolist()
    with pytest.raises(InputError, match="be one of at most 7, found 8/8"):
        images.part(8, 8)


def test_a_plan_counts_all_images_and_leaves_nothing_behind(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    images = ImageSet.of(place / "images")
    wanted = Extraction("resnet18", weights="none", layer=None, precision="float32")
    cost = measure(images, [wanted], seconds=0.1)
    assert (cost.images, cost.measured) == (7, 7)
    assert cost.loading_seconds > 0 and cost.seconds_per_image > 0 and cost.memory > 2**20
    # a vector of 512 numbers of 4 bytes stands in the store and in the table
    assert cost.bytes_per_image > 2 * 4 * 512
    assert list(tmp_path.iterdir()) == []


def test_hours_are_those_of_a_task_and_node_hours_those_of_all() -> None:
    cost = ExtractionCost(360_000, 360.0, 0.1, 5000.0, 10**9, 64)
    assert cost.asdict(10)["hours"] == pytest.approx(0.1 + 1)
    assert cost.asdict(10)["node_hours"] == pytest.approx(11)
    assert cost.asdict()["disk_gb"] == pytest.approx(1.8)
