from __future__ import annotations

import ctypes
import dataclasses
import errno
import hashlib
import io
import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from processes import Forks
from stored import compute_table, write_table

from gzfeatures import fingerprint
from gzfeatures.errors import (
    InputError,
    MissingFileError,
    OutputError,
    UnknownNameError,
    WeightsError,
)
from gzfeatures.features.backbones import BACKBONES, Backbone
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks import hardware
from gzfeatures.networks.compilation.code_folder import SEAL_BYTES, CodeFolder
from gzfeatures.networks.extraction import cpu as engine_module
from gzfeatures.networks.extraction import forward as forward_module
from gzfeatures.networks.extraction.cpu import CpuEngine
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.networks.extraction.forward import TorchForward, ready
from gzfeatures.networks.extraction.jobs import job as job_module
from gzfeatures.networks.extraction.jobs import result_tables
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.networks.extraction.plan import plan_forwards
from gzfeatures.networks.extraction.spec import Extraction, extractor_of
from gzfeatures.networks.hardware import cpu_flags
from gzfeatures.networks.models import architectures
from gzfeatures.networks.models.load import load
from gzfeatures.networks.training.checkpoint import write_folder

SMALL = View(size=64)
QUICK = Extraction("resnet18", "none", view=SMALL, precision="float32", progress=False)


def draw(folder: Path, *numbers: int) -> Path:
    """JPEGs of noise, named by number."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)
    return folder


def plain(images: ImageSet, backbone: str = "resnet18") -> npt.NDArray[np.float32]:
    """Vectors by the shortest road: one image at a time through torchvision's layers, nothing
    folded."""
    spec = BACKBONES[backbone]
    network, rows = load(spec, "none", spec.layer), []
    mean, std = (torch.tensor(value).reshape(-1, 1, 1) for value in (spec.mean, spec.std))
    with torch.inference_mode():
        for row in range(len(images)):
            pixels = (
                torch.from_numpy(to_views(images, row, (SMALL,))[0].copy()).permute(2, 0, 1) / 255
            )
            rows.append(network(((pixels - mean) / std)[None])[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("backbone", ["resnet18", "googlenet", "mobilenet-v2"])
def test_vectors_are_those_of_the_plain_network(tmp_path: Path, backbone: str) -> None:
    images = ImageSet.of(draw(tmp_path / "i", *range(11)))
    table = extract(
        images, backbone, weights="none", view=SMALL, precision="float32", progress=False
    )
    assert table.ids.tolist() == images.ids.tolist() and table.dim == BACKBONES[backbone].dim
    assert table.digests.tolist() == [images.digest(row) for row in range(11)]
    reference = plain(images, backbone)
    np.testing.assert_allclose(
        table.matrix, reference, rtol=1e-3, atol=1e-4 * np.abs(reference).max()
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_image_alone_and_in_company_gives_the_same_vector(
    tmp_path: Path, precision: str
) -> None:
    images = ImageSet.of(draw(tmp_path / "i", *range(13)))
    together = compute_table(images, dataclasses.replace(QUICK, precision=precision))
    for row in (0, 7, 12):
        alone = dataclasses.replace(
            QUICK, precision=precision, store=Store(tmp_path / f"s{row}"), batch_size=1
        )
        one = compute_table(images.select(images.ids[[row]]), alone)
        assert one.made is not None and one.made.computed == 1
        tolerance = 1e-5 if precision == "float32" else 2e-2
        np.testing.assert_allclose(
            one.matrix[0], together.matrix[row], rtol=tolerance, atol=tolerance
        )


def test_half_precision_keeps_the_direction(tmp_path: Path) -> None:
    images = ImageSet.of(draw(tmp_path / "i", *range(8)))
    half = dataclasses.replace(QUICK, precision="bfloat16")
    a, b = compute_table(images, QUICK).matrix, compute_table(images, half).matrix
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.mean() >= 0.9995 and not np.array_equal(a, b)


def test_second_run_loads_no_weights_and_decodes_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ImageSet.of(draw(tmp_path / "i", *range(6)))
    first = compute_table(images, QUICK)
    assert first.made is not None and (first.made.computed, first.made.reused) == (6, 0)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("gzfeatures.networks.models.load.load", refuse)
    monkeypatch.setattr(ImageSet, "pixels", refuse)
    second = compute_table(images, QUICK)
    assert second.made is not None and (second.made.computed, second.made.reused) == (0, 6)
    np.testing.assert_array_equal(first.matrix, second.matrix)


WARM = """
import sys
from pathlib import Path
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.extract import extract
table = extract(ImageSet.of(Path(sys.argv[1])), "resnet18", weights="none",
    view=View(size=64), precision=sys.argv[2], progress=True)
print(table.made.computed, "torch" in sys.modules)
"""


def test_second_run_does_not_even_import_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draw(tmp_path / "i", 1, 2)
    first = extract(
        ImageSet.of(folder),
        "resnet18",
        weights="none",
        view=SMALL,
        precision="float32",
        progress=True,
    )
    assert first.made is not None and first.made.computed == 2
    said = capsys.readouterr().err
    assert "float32 on cpu, as asked" in said and "2/2" in said
    command = [sys.executable, "-c", WARM, str(folder), "float32"]
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert second.stdout.split() == ["0", "False"]


def test_a_grown_folder_computes_only_the_new(tmp_path: Path) -> None:
    before = compute_table(ImageSet.of(draw(tmp_path / "i", *range(5))), QUICK)
    after = compute_table(ImageSet.of(draw(tmp_path / "i", *range(5, 8))), QUICK)
    assert after.made is not None and (after.made.computed, after.made.reused) == (3, 5)
    np.testing.assert_array_equal(after.select(before.ids).matrix, before.matrix)


def test_renamed_and_repeated_images_are_computed_once(tmp_path: Path) -> None:
    folder = draw(tmp_path / "i", 1, 2)
    (folder / "copy.jpg").write_bytes((folder / "1.jpg").read_bytes())
    table = compute_table(ImageSet.of(folder), QUICK)
    assert table.made is not None and (table.made.computed, table.made.reused) == (2, 1)
    np.testing.assert_array_equal(*table.select(np.asarray(["1", "copy"], dtype=object)).matrix)


def test_another_extractor_never_gets_these_vectors(tmp_path: Path) -> None:
    images = ImageSet.of(draw(tmp_path / "i", 1, 2))
    compute_table(images, QUICK)
    for other in (
        dataclasses.replace(QUICK, view=View(size=64, crop=0.8)),
        dataclasses.replace(QUICK, layer="layer3"),
        dataclasses.replace(QUICK, backbone="resnet34"),
    ):
        made = compute_table(images, other).made
        assert made is not None and made.computed == 2


def test_weights_of_the_same_file_with_other_strides_are_another_extractor(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save(load(BACKBONES["resnet50"], "none").state_dict(), file)
    one, two = (extractor_of(name, weights=file) for name in ("resnet50", "resnet50-v1"))
    assert one.weights == two.weights and one.fingerprint != two.fingerprint


@pytest.mark.parametrize("architecture", ["resnet18", "tomi"])
def test_a_fine_tuned_checkpoint_is_one_more_backbone(tmp_path: Path, architecture: str) -> None:
    torch.manual_seed(4)
    network = architectures.build(architecture, 3, 3, size=64).eval()
    layer = architectures.embedding_node(network)
    seen = TrainedOn.of(["5", "6"]).encode()
    spec = Backbone("mine", architecture, None, layer, 512, SMALL, classes=3, trained_on=seen)
    folder = write_folder(tmp_path / "c", spec, network, {"classes": ["a", "b", "c"]})
    images = ImageSet.of(draw(tmp_path / "i", 1, 2, 3))
    table = extract(images, folder, precision="float32", progress=False)
    assert table.matrix.shape == (3, 512) and table.extractor.trained_on == seen
    pixels = np.stack([to_views(images, row, (SMALL,))[0] for row in range(3)])
    mean, std = (torch.tensor(value).reshape(-1, 1, 1) for value in (spec.mean, spec.std))
    head = network.get_submodule(architectures.output_layer(network))
    with torch.inference_mode():
        logits = network((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
        np.testing.assert_allclose(
            head(torch.from_numpy(table.matrix)), logits, rtol=1e-3, atol=1e-4
        )


def test_streamed_table_equals_the_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_tables, "GROUP_ROWS", 4)
    images = ImageSet.of(draw(tmp_path / "i", *range(10)))
    file = write_table(images, QUICK, tmp_path / "t.parquet")
    assert file.made is not None and file.made.computed == 10
    table, again = compute_table(images, QUICK), EmbeddingTable.read(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table.matrix, again.matrix)
    assert again.ids.tolist() == table.ids.tolist() and again.extractor == table.extractor


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Good images 0…5, and one of each kind of bad one."""
    folder = draw(tmp_path / "i", *range(6))
    good = (folder / "3.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (folder / "twin.jpg").write_bytes(good[: len(good) // 2])
    (folder / "zero.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"<html>not found</html>")
    huge = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(huge, "PNG")
    (folder / "huge.png").write_bytes(huge.getvalue())
    return folder


def test_bad_images_are_skipped_with_their_reasons(spoilt: Path) -> None:
    skip = dataclasses.replace(QUICK, on_bad="skip")
    for _ in range(2):
        table = compute_table(ImageSet.of(spoilt), skip)
        assert table.ids.tolist() == ["0", "1", "2", "3", "4", "5"]
        reasons = dict(table.skipped)
        assert set(reasons) == {"truncated", "twin", "zero", "text", "huge"}
        assert "truncated" in reasons["truncated"] and "truncated" in reasons["twin"]
        assert (
            "zero bytes" in reasons["zero"]
            and "not an image" in reasons["text"]
            and "too large" in reasons["huge"]
        )
    assert table.made is not None and table.made.computed == 0


def test_image_that_vanishes_meanwhile_is_skipped_or_an_error(tmp_path: Path) -> None:
    folder = draw(tmp_path / "i", 1, 2, 3)
    images = ImageSet.of(folder)
    (folder / "2.jpg").unlink()
    with pytest.raises(MissingFileError, match=r"2\.jpg"):
        compute_table(images, QUICK)
    table = compute_table(images, dataclasses.replace(QUICK, on_bad="skip"))
    assert table.ids.tolist() == ["1", "3"] and [name for name, _ in table.skipped] == ["2"]


def test_nothing_but_bad_images_gives_an_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw(tmp_path / "i", 1)
    (folder / "1.jpg").write_bytes(b"no image")
    monkeypatch.setattr("gzfeatures.networks.models.load.load", None)
    table = compute_table(ImageSet.of(folder), dataclasses.replace(QUICK, on_bad="skip"))
    assert len(table) == 0 and table.dim == 512 and len(table.skipped) == 1


def test_a_bad_image_is_an_error_and_what_was_computed_stays(spoilt: Path) -> None:
    images = ImageSet.of(spoilt)
    with pytest.raises(InputError, match=r"too large|truncated|zero bytes|not an image"):
        compute_table(images, QUICK)
    good = images.select(np.asarray(["0", "1", "2", "3", "4", "5"], dtype=object))
    made = compute_table(good, QUICK).made
    assert made is not None and made.reused == 6


def test_full_disk_is_one_line_and_finished_shards_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "SHARD_ROWS", 4)
    images = ImageSet.of(draw(tmp_path / "i", *range(16)))
    left, real = iter([True] * 3), os.fsync

    def full(descriptor: int) -> None:
        if not next(left, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"store cannot be written: No space left on device.*stays"
    ):
        compute_table(images, dataclasses.replace(QUICK, batch_size=4))
    monkeypatch.setattr(os, "fsync", real)
    made = compute_table(images, QUICK).made
    assert made is not None and (made.computed, made.reused) == (8, 8)


def test_damaged_shard_is_reported_and_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = ImageSet.of(draw(tmp_path / "i", *range(5)))
    store = Store(tmp_path / "s")
    first = compute_table(images, dataclasses.replace(QUICK, store=store))
    (shard,) = (store.root / first.extractor.fingerprint).glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-50])
    second = compute_table(images, dataclasses.replace(QUICK, store=store, progress=True))
    assert second.made is not None and second.made.computed == 5
    np.testing.assert_allclose(first.matrix, second.matrix, rtol=1e-5, atol=1e-5)
    printed = capsys.readouterr()
    assert (
        "damaged shard set aside, its rows are computed again" in printed.err and printed.out == ""
    )


def test_rows_pruned_while_a_table_is_made_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, store = ImageSet.of(draw(tmp_path / "i", *range(4))), Store(tmp_path / "s")
    pruned: list[bool] = []
    compute = job_module.Job.compute

    def then_prune(job: job_module.Job, *arguments: object) -> None:
        compute(job, *arguments)  # type: ignore[arg-type]
        if not pruned:
            pruned.append(bool(store.prune(unused_days=0)))

    monkeypatch.setattr(job_module.Job, "compute", then_prune)
    assert len(compute_table(images, dataclasses.replace(QUICK, store=store))) == 4 and pruned == [
        True
    ]


KILLED = """
import sys
from pathlib import Path
from gzfeatures.features.store import Store
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.networks.extraction.jobs import job
job.SHARD_ROWS = 8
images = ImageSet.of(Path(sys.argv[1]))
extract(images, "resnet18", weights="none", view=View(size=64), precision="float32", batch_size=8,
    progress=False)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a Unix word")
def test_killed_half_way_loses_at_most_one_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks
) -> None:
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path / "s"))
    folder = draw(tmp_path / "i", *range(400))
    store = {"GZFEATURES_STORE": str(tmp_path / "s")}
    process = forks.start(KILLED, [str(folder)], tmp_path / "said", store)
    deadline = time.monotonic() + 300
    while len(list((tmp_path / "s").glob("*/[0-9a-f]*.arrow"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.kill() == -signal.SIGKILL
    shards = len(list((tmp_path / "s").glob("*/[0-9a-f]*.arrow")))
    made = compute_table(ImageSet.of(folder), QUICK).made
    assert made is not None and made.reused >= 3 * 8 and made.reused == shards * 8
    assert made.computed == 400 - made.reused > 0


def test_changed_image_is_not_stored_under_its_old_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw(tmp_path / "i", 1, 2)
    look = job_module.Job.hash_images

    def then_change(job: job_module.Job) -> None:
        look(job)
        draw(folder / "new", 7)
        (folder / "new" / "7.jpg").replace(folder / "2.jpg")

    monkeypatch.setattr(job_module.Job, "hash_images", then_change)
    table = compute_table(ImageSet.of(folder), dataclasses.replace(QUICK, on_bad="skip"))
    assert table.ids.tolist() == ["1"] and "image has changed" in dict(table.skipped)["2"]


def test_choices_are_checked_before_any_work(tmp_path: Path) -> None:
    images = ImageSet.of(draw(tmp_path / "i", 1))
    with pytest.raises(InputError, match="on_bad; must be raise or skip, found ignore"):
        extract(images, "resnet18", on_bad="ignore")
    with pytest.raises(InputError, match="batch size; must be at least 1, found 0"):
        extract(images, "resnet18", batch_size=0)
    with pytest.raises(InputError, match="workers; must be at least 1, found -1"):
        extract(images, "resnet18", workers=-1)
    with pytest.raises(UnknownNameError, match="unknown backbone"):
        extract(images, "resnet19")
    with pytest.raises(
        UnknownNameError,
        match="unknown precision; must be one of auto, float32, bfloat16, float16, int8",
    ):
        extract(images, "resnet18", precision="int4")
    with pytest.raises(UnknownNameError, match="unknown device; must be one of auto, cpu, cuda"):
        extract(images, "resnet18", device="tpu")
    with pytest.raises(UnknownNameError, match=r"unknown layer.*nearest are"):
        extract(images, "resnet18", weights="none", layer="pool9")
    with pytest.raises(WeightsError, match="give --weights FILE"):
        extract(images, "resnet50-v1")
    with pytest.raises(InputError, match="resnet18: view; must have 3 bands, found 2"):
        extract(images, "resnet18", weights="none", view=View(bands=("g", "r")))


def test_float16_and_cuda_are_refused_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "_has_cuda", lambda: False)
    with pytest.raises(InputError, match="no CUDA device is usable"):
        hardware.choose("cuda")
    with pytest.raises(InputError, match="float16 needs a CUDA device"):
        hardware.choose("auto", "float16")


@pytest.mark.parametrize(
    ("found", "precision", "why"),
    [
        (None, "float32", "no native bfloat16"),
        ("amx_bf16", "bfloat16", r"multiplies it natively \(amx_bf16\)"),
    ],
)
def test_auto_precision_follows_the_hardware_and_says_why(
    monkeypatch: pytest.MonkeyPatch, found: str | None, precision: str, why: str
) -> None:
    monkeypatch.setattr(hardware, "_has_cuda", lambda: False)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: [found or "avx2"])
    chosen = hardware.choose()
    assert (chosen.device, chosen.precision) == ("cpu", precision)
    assert re.search(why, chosen.why)


@pytest.fixture
def eager_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring and compiling from the first image."""
    monkeypatch.setattr(engine_module, "MEASURE_FROM", 1)
    monkeypatch.setattr(TorchForward, "compile_from", 0.0)


def noise(n: int, size: int = 64) -> list[tuple[npt.NDArray[np.uint8]]]:
    return [
        (pixels,)
        for pixels in np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    ]


def made_engine(lines: list[str], folder: Path, images: int = 100, **options: Any) -> CpuEngine:
    """Engine for the first layers of a network, which compile quickly."""
    spec = BACKBONES["resnet18"]
    extractor = extractor_of(spec, weights="none", layer="layer1", view=SMALL, **options)
    (task,) = plan_forwards([extractor])
    forward = TorchForward(
        lambda: load(spec, "none", "layer1"), extractor, CodeFolder(folder), lines.append
    )
    return CpuEngine([(task, forward)], images, say=lines.append)


def in_a_lane(
    engine: CpuEngine, images: list[tuple[npt.NDArray[np.uint8]]]
) -> npt.NDArray[np.float32]:
    with engine.pool() as lanes:
        (vectors,) = lanes.submit(engine.vectors, images).result()
    return vectors


@pytest.fixture(scope="module")
def compiled(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[str], npt.NDArray[np.float32]]:
    """A folder with a compiled network, what was said while it was made, and its vectors of
    `noise(5)`."""
    folder, lines = tmp_path_factory.mktemp("compiled"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "MEASURE_FROM", 1)
        patch.setattr(TorchForward, "compile_from", 0.0)
        return folder, lines, in_a_lane(made_engine(lines, folder), noise(5))


@pytest.fixture
def kept(compiled: tuple[Path, list[str], npt.NDArray[np.float32]], tmp_path: Path) -> Path:
    """A copy of the folder, for this test to change."""
    return Path(shutil.copytree(compiled[0], tmp_path / "kept"))


def test_compiled_network_gives_the_same_vectors_and_is_kept(
    eager_to_compile: None,
    compiled: tuple[Path, list[str], npt.NDArray[np.float32]],
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    _, said, vectors = compiled
    assert (
        len(said) == 2
        and "images per batch: best of" in said[0]
        and said[1].startswith("compiled in")
    )
    lines: list[str] = []
    again = in_a_lane(made_engine(lines, kept, images=1), noise(5))
    assert lines == [], "neither measured nor compiled again"
    np.testing.assert_array_equal(vectors, again)
    monkeypatch.setattr(engine_module, "MEASURE_FROM", 10**9)
    monkeypatch.setattr(TorchForward, "compile_from", math.inf)
    plain = in_a_lane(made_engine(lines, tmp_path / "other"), noise(5))
    assert lines == [], "run eagerly"
    np.testing.assert_allclose(vectors, plain, rtol=1e-3, atol=1e-4)


TRAP = """
#include <stdio.h>
__attribute__((constructor)) static void run(void) {
  FILE *file = fopen("%s", "w"); if (file) fclose(file); }
"""
"""A library that leaves a mark where it is loaded, and does nothing else."""


def trap(folder: Path) -> tuple[bytes, Path]:
    """A stand-in for a stranger's code, and the mark that it would leave."""
    mark = folder / "sprung"
    (folder / "trap.c").write_text(TRAP % mark)
    command = [
        shutil.which("cc") or "gcc",
        "-shared",
        "-fPIC",
        "-o",
        str(folder / "trap.so"),
        str(folder / "trap.c"),
    ]
    subprocess.run(command, check=True)
    return (folder / "trap.so").read_bytes(), mark


def test_code_that_this_user_did_not_compile_is_compiled_again_and_never_loaded(
    eager_to_compile: None,
    compiled: tuple[Path, list[str], npt.NDArray[np.float32]],
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    (file,) = kept.glob("*/*.so")
    code = file.read_bytes()[SEAL_BYTES:]
    monkeypatch.setattr(
        "gzfeatures.networks.extraction.forward.compile_ahead", lambda *_: code
    )  # what it made the first time
    stranger, mark = trap(tmp_path)
    for planted in (
        stranger,
        file.read_bytes()[:32] + stranger,
        stranger + hashlib.sha256(stranger).digest(),
    ):
        file.write_bytes(planted)
        again = in_a_lane(made_engine(lines, kept), noise(5))
        np.testing.assert_allclose(compiled[2], again, rtol=1e-3, atol=1e-4)
        assert lines[-1].startswith("compiled in") and not mark.exists()
    ctypes.CDLL(str(tmp_path / "trap.so"))
    assert mark.exists(), "the trap is sharp"


def test_code_that_lies_in_a_store_is_not_loaded_by_any_extraction(
    eager_to_compile: None,
    compiled: tuple[Path, list[str], npt.NDArray[np.float32]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (file,) = compiled[0].glob("*/*.so")
    code, batch, asked = file.read_bytes()[SEAL_BYTES:], int(file.stem.rpartition("-")[2]), []
    really = forward_module.compile_ahead

    def compile_ahead(network: torch.nn.Module, example: torch.Tensor, workshop: Path) -> bytes:
        """The compiler takes long, and made this network for this batch already."""
        asked.append(example)
        return code if len(example) == batch else really(network, example, workshop)

    monkeypatch.setattr(forward_module, "compile_ahead", compile_ahead)
    stranger, mark = trap(tmp_path)
    images = ImageSet.of(draw(tmp_path / "i", *range(5)))
    store = Store(tmp_path / "copied")
    extraction = Extraction(
        "resnet18", "none", "layer1", SMALL, "float32", store=store, progress=False
    )
    shelf = store.vectors_of(extraction.extractor)
    shelf.folder.mkdir(parents=True)
    for lanes, threads in itertools.product((1, 2), repeat=2):
        key = fingerprint.of(
            [extraction.extractor.fingerprint, f"torch {torch.__version__}", cpu_flags()]
        )[:16]
        planted = shelf.folder / f"compiled-{key}-{lanes}-{threads}-{8 * threads}.so"
        planted.write_bytes(stranger + hashlib.sha256(stranger).digest())
    assert compute_table(images, extraction).made.computed == len(images)
    assert asked and not mark.exists(), "compiled, and what lay there was not loaded"
    assert not [path for path in store.root.rglob("*.so") if "compiled-" not in path.name], (
        "the store holds no code"
    )
    store.prune()
    assert not list(store.root.rglob("*.so"))


def test_without_a_private_place_for_code_it_runs_eagerly_and_that_is_said_first(
    eager_to_compile: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("gzfeatures.networks.extraction.forward.compile_ahead", None)
    lines: list[str] = []
    engine = made_engine(lines, tmp_path / "file")
    assert lines[-1].startswith("not compiled, slower but as right: ")
    assert lines[-1].endswith("set GZFEATURES_COMPILED and XDG_STATE_HOME to folders of your own")
    vectors = in_a_lane(engine, noise(3))
    monkeypatch.setattr(TorchForward, "compile_from", math.inf)
    np.testing.assert_array_equal(
        vectors, in_a_lane(made_engine(lines, tmp_path / "other"), noise(3))
    )


def test_a_network_compiled_on_another_cpu_is_not_loaded(
    eager_to_compile: None, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(
        "gzfeatures.networks.compilation.code_folder.cpu_flags", lambda: ["another"]
    )
    monkeypatch.setattr(TorchForward, "compile_from", math.inf)
    made_engine(lines, kept)
    (line,) = lines
    assert "images per batch: best of" in line, (
        "measured anew: what lies there was made for another"
    )


def test_without_a_compiler_it_is_slower_and_as_right(
    eager_to_compile: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    lines: list[str] = []
    # PyTorch's own patch: taken back by monkeypatch, which sees a class here, the setting would be
    # gone for later tests
    with torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        vectors = in_a_lane(made_engine(lines, tmp_path), noise(3))
    assert lines[-1].startswith("not compiled, slower but as right: ") and not list(
        tmp_path.glob("*/*.so")
    )
    monkeypatch.setattr(engine_module, "MEASURE_FROM", 10**9)
    np.testing.assert_array_equal(vectors, in_a_lane(made_engine(lines, tmp_path), noise(3)))


def test_few_images_are_neither_measured_nor_compiled(tmp_path: Path) -> None:
    lines: list[str] = []
    made_engine(lines, tmp_path, images=50)
    assert lines == [] and not list(tmp_path.iterdir())


def test_dihedral_mean_is_the_mean_over_the_symmetries_and_knows_no_up(tmp_path: Path) -> None:
    images = noise(3)
    (plain,), (mean,) = (
        [in_a_lane(made_engine([], tmp_path, 1, dihedral=dihedral), images)]
        for dihedral in (False, True)
    )
    sights = [
        [
            (np.ascontiguousarray(np.rot90(flipped, turns)),)
            for (pixels,) in images
            for flipped in [pixels[:, ::way]]
        ]
        for way in (1, -1)
        for turns in range(4)
    ]
    np.testing.assert_array_equal(plain, in_a_lane(made_engine([], tmp_path, 1), sights[0]))
    each = [in_a_lane(made_engine([], tmp_path, 1), sight) for sight in sights]
    np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
    turned = in_a_lane(made_engine([], tmp_path, 1, dihedral=True), sights[5])
    pooled = [vectors.reshape(3, 64, -1).mean(2) for vectors in (mean, turned)]
    np.testing.assert_allclose(*pooled, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_the_vectors_of_the_cpu_and_survives_small_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gzfeatures.networks.extraction.gpu import GpuEngine

    images = ImageSet.of(draw(tmp_path / "i", *range(20)))
    cpu = compute_table(
        images, dataclasses.replace(QUICK, device="cpu", store=Store(tmp_path / "c"))
    )
    gpu = compute_table(
        images,
        dataclasses.replace(QUICK, device="cuda", store=Store(tmp_path / "g"), batch_size=16),
    )
    np.testing.assert_allclose(cpu.matrix, gpu.matrix, rtol=1e-2, atol=1e-2)
    network = ready(load(BACKBONES["resnet18"], "none", "avgpool"), cpu.extractor)
    (task,) = plan_forwards([cpu.extractor])
    engine = GpuEngine([(task, network)], 20, batch_size=16, say=print)
    (run,) = engine._networks[0]

    def out_of_memory(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 4:
            raise torch.cuda.OutOfMemoryError
        return run(pixels)

    monkeypatch.setattr(engine, "_networks", [[out_of_memory]] * len(engine._networks))
    with engine.pool() as lanes:
        (vectors,) = lanes.submit(engine.vectors, noise(16)).result()
    assert vectors.shape == (16, 512)
