"""Images per second of extraction, against the loops people write, in interleaved rounds over real JPEGs.

    python experiments/benchmarks/extraction.py FOLDER [--backbone resnet50 googlenet] [--count 1000] [--rounds 3]

Steady state: `naive` is torchvision's tutorial loop (DataLoader, PIL, float32, eager); `bare` is the compiled forward
pass alone on pixels in memory, the ceiling; `ours` is `extract` into an empty store, from its first batch on. img2vec
and timm take part where they are installed. Weights are random: they do not change the speed. With --process N …, naive
and ours also run as fresh processes, start-up included, on N images; ours then runs again, warm.
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
from collections.abc import Callable
from pathlib import Path

WORKERS = os.cpu_count() or 1


def paths_of(folder: str, count: int) -> list[Path]:
    found = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:count]
    if len(found) < count:
        sys.exit(f"{folder} holds {len(found)} images, {count} are needed")
    return found


def naive(folder: str, count: int, backbone: str) -> Callable[[], float]:
    import torch
    import torchvision
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    options = {"aux_logits": False, "init_weights": False} if backbone == "googlenet" else {}
    network = torchvision.models.get_model(backbone, weights=None, **options).eval()
    network.fc = torch.nn.Identity()
    paths, transform = paths_of(folder, count), torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms()

    class Images(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> torch.Tensor:
            tensor: torch.Tensor = transform(Image.open(paths[row]).convert("RGB"))
            return tensor

    def run() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            torch.cat([network(batch) for batch in DataLoader(Images(), batch_size=32, num_workers=WORKERS)])
        return count / (time.perf_counter() - start)

    return run


def bare(folder: str, count: int, backbone: str) -> Callable[[], float]:
    import torch
    import torchvision

    options = {"aux_logits": False, "init_weights": False} if backbone == "googlenet" else {}
    network = torchvision.models.get_model(backbone, weights=None, **options).eval()
    network.fc = torch.nn.Identity()
    network = network.bfloat16().to(memory_format=torch.channels_last)
    batch = torch.rand(16, 3, 224, 224).bfloat16().to(memory_format=torch.channels_last)
    compiled = torch.compile(network, dynamic=False, options={"freezing": True})

    def run() -> float:
        with torch.inference_mode():
            compiled(batch)
            start, passes = time.perf_counter(), max(1, count // 16)
            for _ in range(passes):
                compiled(batch)
            return passes * 16 / (time.perf_counter() - start)

    return run


def ours(folder: str, count: int, backbone: str) -> Callable[[], float]:
    from gzfeatures.features.store import Store
    from gzfeatures.images.imageset import ImageSet
    from gzfeatures.networks.extract import extract

    images = ImageSet.of(folder)
    images = images.select(images.ids[:count])

    def run() -> float:
        with tempfile.TemporaryDirectory() as empty:
            table = extract(images, backbone, weights="none", store=Store(Path(empty)))
        return 0.0 if table.made is None else table.made.images_per_second

    return run


def img2vec(folder: str, count: int, backbone: str) -> Callable[[], float]:
    from img2vec_pytorch import Img2Vec
    from PIL import Image

    model = Img2Vec(model=backbone.replace("resnet50", "resnet-50"))
    paths = paths_of(folder, count)

    def run() -> float:
        start = time.perf_counter()
        for first in range(0, count, 32):
            model.get_vec([Image.open(path).convert("RGB") for path in paths[first : first + 32]])
        return count / (time.perf_counter() - start)

    return run


def timm_pipeline(folder: str, count: int, backbone: str) -> Callable[[], float]:
    import timm
    import torch
    from PIL import Image

    model = timm.create_model(backbone, pretrained=False, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    paths = paths_of(folder, count)

    def run() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for first in range(0, count, 32):
                model(torch.stack([transform(Image.open(p).convert("RGB")) for p in paths[first : first + 32]]))
        return count / (time.perf_counter() - start)

    return run


CONTESTANTS = {
    "naive": ("torchvision", naive),
    "img2vec": ("img2vec_pytorch", img2vec),
    "timm": ("timm", timm_pipeline),
    "bare": ("torch", bare),
    "ours": ("gzfeatures", ours),
}


def steady(folder: str, count: int, rounds: int, backbone: str) -> None:
    """Rates of all contestants, interleaved."""
    runs = {
        name: make(folder, count, backbone)
        for name, (module, make) in CONTESTANTS.items()
        if importlib.util.find_spec(module)
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run())
    print(f"\n{backbone}, steady state, {count} images, {rounds} interleaved rounds")
    for name, values in rates.items():
        ratios = sorted(mine / theirs for mine, theirs in zip(rates["ours"], values, strict=True))
        print(
            f"  {name:8} {statistics.median(values):7.1f} images/s ({min(values):.1f}–{max(values):.1f})"
            f"   ours/{name}: {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})",
            flush=True,
        )


def whole(folder: str, count: int, backbone: str) -> None:
    """Wall and processor seconds of fresh processes, start-up included."""
    wall: dict[str, float] = {}
    busy: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "GZFEATURES_STORE": empty}
        for name, contestant in (("naive", "naive"), ("ours", "ours-in-store"), ("warm", "ours-in-store")):
            before, start = _processor_seconds(), time.perf_counter()
            command = [sys.executable, __file__, folder, "--only", contestant, "--count", str(count)]
            subprocess.run([*command, "--backbone", backbone], env=environment, check=True)
            wall[name], busy[name] = time.perf_counter() - start, _processor_seconds() - before
    print(f"\n{backbone}, whole process, {count} images")
    for name in wall:
        print(f"  {name:8} {wall[name]:7.1f} s, {busy[name]:7.1f} processor seconds")
    print(
        f"  naive/ours: {wall['naive'] / wall['ours']:.2f} of the time, {busy['naive'] / busy['ours']:.2f} of the "
        f"processor; warm/ours: {100 * wall['warm'] / wall['ours']:.1f} %, {100 * busy['warm'] / busy['ours']:.1f} %",
        flush=True,
    )


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of JPEGs")
    parser.add_argument("--backbone", nargs="+", default=["resnet50", "googlenet"])
    parser.add_argument("--count", type=int, default=1000, help="images of a round")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the steady state out")
    parser.add_argument("--process", type=int, nargs="*", default=[], help="numbers of images for whole processes")
    parser.add_argument("--only", choices=["naive", "ours-in-store"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    for backbone in given.backbone:
        if given.only == "naive":
            naive(given.folder, given.count, backbone)()
        elif given.only:
            from gzfeatures.images.imageset import ImageSet
            from gzfeatures.networks.extract import extract

            images = ImageSet.of(given.folder)
            extract(images.select(images.ids[: given.count]), backbone, weights="none")
        else:
            if given.rounds:
                steady(given.folder, given.count, given.rounds, backbone)
            for count in given.process:
                whole(given.folder, count, backbone)


if __name__ == "__main__":
    main()
