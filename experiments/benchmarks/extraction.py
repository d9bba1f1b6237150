"""Images per second of extraction, against the loops people write, in interleaved rounds over real
JPEGs.

    python experiments/benchmarks/extraction.py FOLDER [--backbone resnet50 googlenet] \\
        [--count 1000] [--rounds 3]

Steady state, each from JPEGs to vectors with weights that are random (they do not change the
speed):

naive     torchvision's tutorial loop: DataLoader, PIL, float32, eager
img2vec   img2vec_pytorch, 32 images a call
timm      a timm model behind its own transform, 32 images per batch
compiled  the bare forward pass, bfloat16, compiled and frozen, pixels in memory: a ceiling
openvino  the bare forward pass, bfloat16, asynchronous requests, pixels in memory: the other
ceiling ours      `extract` into an empty store, from its first batch to its last; ours-vino the
same with runtime="openvino" ours-int8 the same with precision="int8"

A contestant whose package is missing is left out; naive, img2vec and timm get a sixth of the
images. Beside images per second stand images per processor second times the number of cores: what
the machine gives when nothing else runs on it, even if something does; ratios are of these. With
--process N …, naive and ours also run as fresh processes on N images, start-up included: ours cold
(nothing kept from earlier runs), again into an empty store with the compiled network kept, and
warm.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

WORKERS = os.cpu_count() or 1
Run = Callable[[], tuple[int, float, float]]
"""Runs once: images, and seconds of the clock and of all processors."""


class Watch:
    """Seconds of the clock and of all processors, here and in children that have ended, since it
    was started."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._since = time.perf_counter(), _processors()

    def stop(self, images: int) -> tuple[int, float, float]:
        return images, time.perf_counter() - self._since[0], _processors() - self._since[1]


def _processors() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def paths_of(folder: str, count: int) -> list[Path]:
    found = sorted(
        path for path in Path(folder).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )[:count]
    if len(found) < count:
        sys.exit(f"{folder} holds {len(found)} images, {count} are needed")
    return found


def network_of(backbone: str):  # type: ignore[no-untyped-def]
    import torch
    import torchvision

    options = {"aux_logits": False, "init_weights": False} if backbone == "googlenet" else {}
    network = torchvision.models.get_model(backbone, weights=None, **options).eval()
    network.fc = torch.nn.Identity()
    return network


def naive(folder: str, count: int, backbone: str) -> Run:
    import torch
    import torchvision
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    network, paths = network_of(backbone), paths_of(folder, count)
    transform = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms()

    class Images(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> torch.Tensor:
            tensor: torch.Tensor = transform(Image.open(paths[row]).convert("RGB"))
            return tensor

    def run() -> tuple[int, float, float]:
        watch = Watch()
        with torch.no_grad():
            torch.cat(
                [
                    network(batch)
                    for batch in DataLoader(Images(), batch_size=32, num_workers=WORKERS)
                ]
            )
        return watch.stop(count)

    return run


def img2vec(folder: str, count: int, backbone: str) -> Run:
    from img2vec_pytorch import Img2Vec
    from PIL import Image

    network = network_of(backbone)  # its own way to the same network begins with a download
    with mock.patch.object(Img2Vec, "_get_model_and_layer", lambda *_: (network, network.avgpool)):
        model = Img2Vec(model=backbone, layer_output_size={"googlenet": 1024}.get(backbone, 2048))
    paths = paths_of(folder, count)

    def run() -> tuple[int, float, float]:
        watch = Watch()
        for first in range(0, count, 32):
            model.get_vec([Image.open(path).convert("RGB") for path in paths[first : first + 32]])
        return watch.stop(count)

    return run


def timm_pipeline(folder: str, count: int, backbone: str) -> Run:
    import timm
    import torch
    from PIL import Image

    # timm has no GoogLeNet; of its own networks inception_v3 would be another one, so torchvision's
    # is taken
    model = (
        timm.create_model(backbone, num_classes=0).eval()
        if timm.is_model(backbone)
        else network_of(backbone)
    )
    config = timm.data.resolve_model_data_config(timm.create_model("resnet50"))
    transform = timm.data.create_transform(
        **{**config, "input_size": (3, 224, 224)}, is_training=False
    )
    paths = paths_of(folder, count)

    def run() -> tuple[int, float, float]:
        watch = Watch()
        with torch.inference_mode():
            for first in range(0, count, 32):
                model(
                    torch.stack(
                        [transform(Image.open(p).convert("RGB")) for p in paths[first : first + 32]]
                    )
                )
        return watch.stop(count)

    return run


def compiled(folder: str, count: int, backbone: str) -> Run:
    import torch

    network = network_of(backbone).bfloat16().to(memory_format=torch.channels_last)
    batch = torch.rand(16, 3, 224, 224).bfloat16().to(memory_format=torch.channels_last)
    forward = torch.compile(network, dynamic=False)
    with (
        torch.inference_mode(),
        torch._inductor.config.patch(freezing=True),
    ):  # as an option it has no effect
        forward(batch)

    def run() -> tuple[int, float, float]:
        with torch.inference_mode():
            watch, passes = Watch(), max(1, count // 16)
            for _ in range(passes):
                forward(batch)
            return watch.stop(16 * passes)

    return run


def openvino(folder: str, count: int, backbone: str) -> Run:
    import numpy as np
    import openvino as ov
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ov.convert_model(
            network_of(backbone), example_input=torch.zeros(1, 3, 224, 224), input=[8, 3, 224, 224]
        )
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "THROUGHPUT"}
    queue = ov.AsyncInferQueue(ov.Core().compile_model(model, "CPU", settings))
    batch = np.random.default_rng(0).random((8, 3, 224, 224), dtype=np.float32)

    def run() -> tuple[int, float, float]:
        watch, passes = Watch(), max(1, count // 8)
        for _ in range(passes):
            queue.start_async([batch])
        queue.wait_all()
        return watch.stop(8 * passes)

    return run


def ours(folder: str, count: int, backbone: str, *, kept: Path, **options: str) -> Run:
    from gzfeatures.features.store import Store
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.networks.extraction.cpu import CpuEngine
    from gzfeatures.networks.extraction.extract import extract
    from gzfeatures.networks.extraction.forward import TorchForward
    from gzfeatures.networks.extraction.jobs.job import Job

    images = ImageSet.of(folder)
    images = images.select(images.ids[:count])
    watch, pool, raise_bad = Watch(), CpuEngine.pool, Job.raise_bad
    ended: list[tuple[int, float, float]] = []

    def ready(engine: CpuEngine) -> ThreadPoolExecutor:
        watch.start()
        return pool(engine)

    def done(job: Job) -> None:
        ended.append(watch.stop(count))
        raise_bad(job)

    def run() -> tuple[int, float, float]:
        for shard in kept.glob("*/*.arrow"):
            shard.unlink()
        with (
            mock.patch.object(CpuEngine, "pool", ready),
            mock.patch.object(Job, "raise_bad", done),
            mock.patch("gzfeatures.networks.extraction.cpu.MEASURE_FROM", 0),  # as for many images
            mock.patch.object(TorchForward, "compile_from", 0.0),
        ):
            extract(images, backbone, weights="none", store=Store(kept), progress=False, **options)
        return ended[-1]

    return run


CONTESTANTS = {
    "naive": ("torchvision", naive, 6),
    "img2vec": ("img2vec_pytorch", img2vec, 6),
    "timm": ("timm", timm_pipeline, 6),
    "compiled": ("torch", compiled, 1),
    "openvino": ("openvino", openvino, 1),
    "ours": ("gzfeatures", ours, 1),
    "ours-vino": ("openvino", partial(ours, runtime="openvino"), 1),
    "ours-int8": ("nncf", partial(ours, precision="int8"), 1),
}
"""Name → package it needs, how it is made, and how many times fewer images it gets."""
OURS = ("ours", "ours-vino", "ours-int8")


def steady(
    folder: str, count: int, rounds: int, backbone: str, names: list[str], kept: Path
) -> None:
    """Rates of all contestants, interleaved."""
    runs = {
        name: make(folder, count // fewer, backbone, **({"kept": kept} if name in OURS else {}))
        for name, (module, make, fewer) in CONTESTANTS.items()
        if name in names and importlib.util.find_spec(module)
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            images, clock, processors = run()
            if number:  # the first round warms up
                rates[name].append((images / clock, WORKERS * images / processors))
    print(
        f"\n{backbone}, steady state, {count} images, {rounds} interleaved rounds: by the "
        "clock; by the processors"
    )
    for name, values in rates.items():
        line = f"  {name:9}"
        for which in (0, 1):
            mine = [value[which] for value in values]
            line += f"  {statistics.median(mine):6.1f} ({min(mine):.1f}–{max(mine):.1f})"
        for own in filter(rates.get, OURS):
            ratios = sorted(
                here[1] / there[1] for here, there in zip(rates[own], values, strict=True)
            )
            line += (
                f"  {own}/{name} {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
            )
        print(line, flush=True)


def whole(folder: str, count: int, backbone: str, runtime: str) -> None:
    """Wall and processor seconds of fresh processes, start-up included."""
    wall: dict[str, float] = {}
    busy: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as empty:
        environment = {
            **os.environ,
            "GZFEATURES_STORE": f"{empty}/s",
            "TORCHINDUCTOR_CACHE_DIR": f"{empty}/i",
        }
        for name, contestant in (
            ("naive", "naive"),
            ("cold", "ours"),
            ("kept", "ours"),
            ("warm", "ours"),
        ):
            if name == "kept":
                for shard in Path(empty).glob("s/*/*.arrow"):
                    shard.unlink()
            watch = Watch()
            command = [
                sys.executable,
                __file__,
                folder,
                "--only",
                contestant,
                "--count",
                str(count),
            ]
            subprocess.run(
                [*command, "--backbone", backbone, "--runtime", runtime],
                env=environment,
                check=True,
            )
            _, wall[name], busy[name] = watch.stop(count)
    print(f"\n{backbone}, whole process, {count} images, {runtime}")
    for name in wall:
        print(
            f"  {name:6} {wall[name]:7.1f} s, {busy[name]:7.1f} processor seconds; naive/{name}: "
            f"{wall['naive'] / wall[name]:.2f} of the time, "
            f"{busy['naive'] / busy[name]:.2f} of the processor",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="folder of JPEGs")
    parser.add_argument("--backbone", nargs="+", default=["resnet50", "googlenet"])
    parser.add_argument("--count", type=int, default=1000, help="images of a round")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the steady state out")
    parser.add_argument(
        "--contestants", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS)
    )
    parser.add_argument(
        "--kept", type=Path, help="folder in which ours keeps compiled networks; default none"
    )
    parser.add_argument(
        "--process", type=int, nargs="*", default=[], help="numbers of images for whole processes"
    )
    parser.add_argument("--runtime", default="torch", help="of ours, as a whole process")
    parser.add_argument("--only", choices=["naive", "ours"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    for backbone in given.backbone:
        if given.only == "naive":
            naive(given.folder, given.count, backbone)()
        elif given.only:
            from gzfeatures.images.image_set import ImageSet
            from gzfeatures.networks.extraction.extract import extract

            images = ImageSet.of(given.folder)
            extract(
                images.select(images.ids[: given.count]),
                backbone,
                weights="none",
                runtime=given.runtime,
            )
        else:
            if given.rounds:
                with tempfile.TemporaryDirectory() as empty:
                    kept = given.kept or Path(empty)
                    steady(
                        given.folder, given.count, given.rounds, backbone, given.contestants, kept
                    )
            for count in given.process:
                whole(given.folder, count, backbone, given.runtime)


if __name__ == "__main__":
    main()
