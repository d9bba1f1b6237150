"""Training throughput: gzfeatures.networks.training.train.train against the plain PyTorch loop a
user would write.

The plain loop: DataLoader with worker processes, PIL, torchvision transforms, float32, eager, the
same network, optimizer and kinds of augmentation. Rounds are interleaved (each method once per
round), so that a busy machine slows both alike; medians of galaxies per second are printed, with
the ratio.

    python experiments/benchmarks/training.py
    python experiments/benchmarks/training.py --images DIR --galaxies 2000 --size 128 --rounds 5
    python experiments/benchmarks/training.py --decoded --network resnet50 --size 96

With `--decoded` the plain loop starts from pixels in memory, and does what `train` does otherwise:
the same network, augmentation, optimizer, precision, schedule, running average of the weights, and
a state on disk after each epoch. Both are then compared by processor seconds of the epochs after
the first, which other work on the machine changes little; the rates by the clock stand beside.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from gzfeatures.networks.hardware import choose
from gzfeatures.networks.setup.augment import DRAWS, Augmentation
from gzfeatures.networks.setup.pixel_cache import PixelCache
from gzfeatures.networks.training.train import train
from gzfeatures.synthetic.survey import draw_survey

CLASSES = 5
EPOCHS, EMA = 3, 0.997
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Moment:
    """The clock and the processor time of this process at the end of an epoch."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), time.process_time())


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
                transforms.Normalize(MEAN, STD),
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


def plain_decoded(
    pixels: torch.Tensor, codes: np.ndarray, choice: argparse.Namespace, place: Path
) -> list[Moment]:
    """The end of each epoch of a loop that has the decoded pixels, uint8, in memory."""
    torch.manual_seed(0)
    module = models.get_model(choice.network, num_classes=CLASSES).to(choice.device)
    module = module.to(memory_format=torch.channels_last).train()
    average = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA), use_buffers=True
    )
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3, weight_decay=0.05, fused=True)
    steps = len(codes) // choice.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=EPOCHS * steps)
    augmentation, targets = Augmentation(), torch.from_numpy(codes)
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(
        choose(choice.device).precision
    )
    mean, std = (torch.tensor(v, device=choice.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    ends = []
    for _ in range(EPOCHS):
        order = torch.randperm(len(codes))[: steps * choice.batch_size]
        for rows in order.split(choice.batch_size):
            some = pixels[rows].to(choice.device).float().div_(255)
            uniforms = torch.rand(len(rows), DRAWS, device=choice.device)
            copies = (augmentation.apply(some, uniforms, choice.size) - mean) / std
            with torch.autocast(choice.device, half, enabled=half is not None):
                logits, *auxiliary = outputs_of(module(copies))
            known = targets[rows].to(choice.device)
            loss = torch.nn.functional.cross_entropy(logits.float(), known)
            for other in auxiliary:
                loss = loss + 0.3 * torch.nn.functional.cross_entropy(other.float(), known)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(module)
        state = (module.state_dict(), average.state_dict(), optimizer.state_dict())
        torch.save(state, place / "plain.pt")
        ends.append(Moment.now())
    return ends


def outputs_of(outputs: object) -> tuple[torch.Tensor, ...]:
    """The output, and auxiliary outputs where a network has them."""
    return tuple(outputs) if isinstance(outputs, tuple) else (outputs,)


def ours_decoded(
    images: ImageSet, labels: Labels, view: View, place: Path, options: argparse.Namespace
) -> list[Moment]:
    """The end of each epoch of `train`, its state written."""
    ends: list[Moment] = []
    none = labels.ids[:0]
    train(
        images, labels, Split(labels.ids, none, none), options.network, folder=place / "run",
        epochs=EPOCHS, passes=1, view=view, batch_size=options.batch_size, ema=EMA,
        device=options.device, cache=place / "pixels", again=True, progress=False,
        watch=lambda _: ends.append(Moment.now()),
    )  # fmt: skip
    return ends


def rates(ends: list[Moment], galaxies: int) -> tuple[float, float]:
    """Galaxies per processor second and per second, of the epochs after the first."""
    first, last = ends[0], ends[-1]
    number = (len(ends) - 1) * galaxies
    return number / (last.processor - first.processor), number / (last.clock - first.clock)


def compare_decoded(
    images: ImageSet, labels: Labels, view: View, place: Path, options: argparse.Namespace
) -> None:
    """Print the rates of both loops, round by round, and their ratio."""
    # the square that `train` keeps of each image, so that both augment as many pixels
    framed = dataclasses.replace(view, crop=min(1.0, view.crop * 2**0.5))
    framed = dataclasses.replace(framed, size=round(view.size * framed.crop / view.crop))
    pixels = PixelCache.of(images, framed, place / "plain").batch(np.arange(len(images)))
    number = len(labels) // options.batch_size * options.batch_size
    found: dict[str, list[tuple[float, float]]] = {"plain": [], "gzfeatures": []}
    for turn in range(options.rounds):
        ends = plain_decoded(pixels, labels.codes, options, place)
        found["plain"].append(rates(ends, number))
        ends = ours_decoded(images, labels, view, place, options)
        found["gzfeatures"].append(rates(ends, number))
        said = [f"{name} {r[-1][0]:.1f} ({r[-1][1]:.1f})" for name, r in found.items()]
        print(f"round {turn + 1}, per processor second (by the clock): {', '.join(said)}")
    plain_rates, our_rates = (np.array(found[name]) for name in ("plain", "gzfeatures"))
    ratio = our_rates / plain_rates
    print(
        f"ratio of processor seconds {np.median(ratio[:, 0]):.3f} "
        f"({ratio[:, 0].min():.3f}–{ratio[:, 0].max():.3f}), by the clock "
        f"{np.median(ratio[:, 1]):.3f} ({ratio[:, 1].min():.3f}–{ratio[:, 1].max():.3f})"
    )


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
    options.add_argument(
        "--decoded", action="store_true", help="the plain loop has the pixels in memory"
    )
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
        if choice.decoded:
            compare_decoded(images, labels, view, place, choice)
            return
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
