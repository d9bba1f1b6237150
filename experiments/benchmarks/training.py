"""Training throughput: gzfeatures.networks.training.train.train against the plain PyTorch loop a
user would write.

The plain loop: DataLoader with worker processes, PIL, torchvision transforms, float32, eager, the
same network, optimizer and kinds of augmentation. Rounds are interleaved (each method once per
round), so that a busy machine slows both alike; medians of galaxies per second are printed, with
the ratio.

    python experiments/benchmarks/training.py
    python experiments/benchmarks/training.py --images DIR --galaxies 2000 --size 128 --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.training.train import train
from gzfeatures.synthetic.survey import draw_survey

CLASSES = 5


class Galaxies(Dataset[tuple[torch.Tensor, int]]):
    """Galaxies as a user would read them: opened, decoded and transformed at every access."""

    def __init__(self, paths: list[Path], codes: np.ndarray, size: int, crop: float) -> None:
        self.paths, self.codes, self.crop = paths, codes, crop
        self.transform = transforms.Compose(
            [
                transforms.RandomRotation(180, transforms.InterpolationMode.BILINEAR),
                transforms.Resize(size),
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(
                    0,
                    (0.04, 0.04),
                    (0.9, 1.15),
                    interpolation=transforms.InterpolationMode.BILINEAR,
                ),
                transforms.ColorJitter(0.1, 0.1, 0.1),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[row]) as image:
            pixels = image.convert("RGB")
        return self.transform(
            transforms.CenterCrop(round(self.crop * min(pixels.size)))(pixels)
        ), int(self.codes[row])


def plain(galaxies: Galaxies, network: str, batch_size: int, device: str) -> float:
    """Galaxies per second of one epoch of the plain loop."""
    torch.manual_seed(0)
    module = models.get_model(network, num_classes=CLASSES).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3)
    loss = torch.nn.CrossEntropyLoss()
    loader = DataLoader(
        galaxies, batch_size, shuffle=True, num_workers=os.cpu_count() or 1, drop_last=True
    )
    start = time.perf_counter()
    for pixels, codes in loader:
        optimizer.zero_grad()
        loss(module(pixels.to(device)), codes.to(device)).backward()
        optimizer.step()
    return len(loader) * batch_size / (time.perf_counter() - start)


def ours(
    images: ImageSet, labels: Labels, view: View, place: Path, options: argparse.Namespace
) -> float:
    """Galaxies per second of one epoch of `train`; pixels are decoded before the clock starts."""
    none = labels.ids[:0]
    split = Split(labels.ids, none, none)
    training = train(
        images, labels, split, options.network, folder=place / "run", epochs=1, view=view,
        batch_size=options.batch_size, device=options.device, cache=place / "pixels",
        progress=False,
    )  # fmt: skip
    return len(labels) // options.batch_size * options.batch_size / training.history[0]["seconds"]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--images", type=Path, help="folder of galaxy JPEGs; default a synthetic survey"
    )
    options.add_argument("--galaxies", type=int, default=512)
    options.add_argument("--network", default="resnet18")
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--crop", type=float, default=0.5)
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    choice = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folder = choice.images or draw_survey(place / "sky", n=choice.galaxies, size=424).images
        every = ImageSet.of(folder)
        images = every.select(every.ids[: choice.galaxies])
        codes = np.random.default_rng(0).integers(0, CLASSES, len(images))
        labels = Labels(
            images.ids, tuple(f"class-{c}" for c in range(CLASSES)), codes, scheme="random"
        )
        paths = {path.stem: path for path in folder.iterdir()}
        galaxies = Galaxies([paths[i] for i in images.ids], codes, choice.size, choice.crop)
        view = View(size=choice.size, crop=choice.crop)
        rates: dict[str, list[float]] = {"plain": [], "gzfeatures": []}
        for number in range(choice.rounds):
            rates["plain"].append(plain(galaxies, choice.network, choice.batch_size, choice.device))
            rates["gzfeatures"].append(ours(images, labels, view, place, choice))
            print(
                f"round {number + 1}: "
                + ", ".join(f"{name} {r[-1]:.1f}" for name, r in rates.items()),
                flush=True,
            )
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print(
        f"galaxies per second: plain {middle['plain']:.1f}, gzfeatures {middle['gzfeatures']:.1f}"
    )
    print(f"ratio {middle['gzfeatures'] / middle['plain']:.2f}")


if __name__ == "__main__":
    main()
