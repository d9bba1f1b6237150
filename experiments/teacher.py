"""Train a teacher, ResNet-50 from ImageNet, on classes and vote fractions; then let it speak of
every galaxy.

    python ../shared/weights/get_resnet50.py DIR/resnet50v1.pth
    python experiments/common_pixels.py --data ../shared/data --out DIR/pixels
    python experiments/teacher.py train --pixels DIR/pixels --weights DIR/resnet50v1.pth \\
        --out DIR/teacher-0 --seed 0
    python experiments/teacher.py speak --pixels DIR/pixels --out DIR/teacher-0

The last two go on where they were, whenever they are given again (`resumable.py`). For a long
training, so that freed memory is kept in large pages (a fifth faster) and idle threads leave the
processor to others:

    BIG=17179869184
    LARGE=glibc.malloc.mmap_threshold=$BIG:glibc.malloc.trim_threshold=$BIG
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:$LARGE \\
        OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE nice -n 19 python experiments/teacher.py train ...

What it is asked, at once, all of it from 43 logits:

- the 37 fractions, by the decision tree (softmax per question times the parent's fraction), squared
  error summed over the answers that are known; the score of the Kaggle challenge is the root of its
  mean;
- six soft classes, five and none of these: how often other panels of 40 volunteers would give them;
- the five classes as they are, among themselves.

Crops of 128 to 240 of 424 px are the range that reached .0739 on votes-37 in print, as far as the
small pictures go (theirs end at 240). Classes are drawn with the root of their frequency, so that
cigars, 2 %, come four times as often. The first half of the steps is at 96 px, the second at 128
px. Mixup blends pairs until a fifth of the steps is left.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from common_pixels import Galaxies
from galaxy_batches import FRACTIONS, VIEW, centred
from galaxy_training import Settings, Training, answers, untrained
from resumable import run
from safetensors.torch import load_file, save_file
from torch import nn

from gzfeatures.errors import MissingFileError
from gzfeatures.files import require_file, written_whole
from gzfeatures.networks.extraction.network_crops import dihedral_views
from gzfeatures.networks.models.architectures import output_layer
from gzfeatures.networks.models.load import read_tensors
from gzfeatures.networks.setup.targets import tree_fractions

WEIGHTS, SPOKEN = "teacher.safetensors", "spoken"
SCALES = (VIEW, 212)
"""Crops in px, of 424, that are looked at in all 8 symmetries when a teacher speaks."""
BLOCK = 128
AnySettings = TypeVar("AnySettings", bound=Settings)


def begun(network: nn.Module, weights: Path) -> nn.Module:
    """The network with all weights of a file but those of the output layer.

    Raises
    ------
    MissingFileError
        The file lacks a layer.
    """
    last = output_layer(network)
    known = {
        name: value
        for name, value in read_tensors(weights).items()
        if not name.startswith(f"{last}.")
    }
    missing = network.load_state_dict(known, strict=False).missing_keys
    if lost := [name for name in missing if not name.startswith(f"{last}.")]:
        raise MissingFileError("weights lack a layer", where=weights, found=lost[0])
    return network


class Teacher(Training):
    """A network that learns from what volunteers said."""

    def losses(
        self, number: int, rows: npt.NDArray[np.intp], copies: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Of the fractions, the soft classes and the classes; of both galaxies of a pair, by their
        shares in it."""
        plan, share = self.plan, 1.0
        if plan.mixup and number < 0.8 * self.total:
            share = float(
                np.random.default_rng([plan.seed, number, 1]).beta(plan.mixup, plan.mixup)
            )
            copies = share * copies + (1 - share) * copies.roll(1, 0)
        logits = answers(self.network, copies)
        losses = self.course.targets(rows).losses(logits, plan.smoothing)
        if share < 1:  # what is unknown of one of a pair does not hide what is known of the other
            others = self.course.targets(np.roll(rows, 1)).losses(logits, plan.smoothing)
            losses = {name: share * losses[name] + (1 - share) * others[name] for name in losses}
        return losses


def speak(galaxies: Galaxies, folder: Path, settings: Settings) -> None:
    """Write fractions, classes and vectors of every galaxy, each the mean of 16 views, block by
    block.

    A block that is there is kept. Fractions and classes are float32, vectors float16, shapes (n,
    37), (n, 6), (n, d).
    """
    network = untrained(settings.architecture, settings.seed)
    network.load_state_dict(
        load_file(require_file(folder / WEIGHTS, "weights of a teacher that is trained to the end"))
    )
    met: list[torch.Tensor] = []
    network.get_submodule(output_layer(network)).register_forward_pre_hook(
        lambda _, given: met.append(given[0].float())
    )
    rows = np.arange(len(galaxies.codes))
    for number, some in enumerate(np.array_split(rows, max(1, len(rows) // BLOCK))):
        path = folder / SPOKEN / f"{number:05}.npz"
        if path.exists():
            continue
        frames = galaxies.cache.batch(some)
        logits: list[torch.Tensor] = []
        met.clear()
        with torch.inference_mode():
            for crop in SCALES:
                for view in dihedral_views(centred(frames, settings.sizes[1], crop)):
                    logits.append(answers(network, view))
        said = {
            "fractions": torch.stack([tree_fractions(each[:, :FRACTIONS]) for each in logits]).mean(
                0
            ),
            "classes": torch.stack([each[:, FRACTIONS:].softmax(1) for each in logits]).mean(0),
            "vectors": torch.stack(met).mean(0).half(),
        }
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file, fractions=said["fractions"], classes=said["classes"], vectors=said["vectors"]
            )


def add_settings(parser: argparse.ArgumentParser, defaults: Settings) -> None:
    """An option for each field of the settings."""
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        if isinstance(value, tuple):
            parser.add_argument(
                f"--{field.name}",
                type=int if field.name == "sizes" else str,
                default=value,
                nargs="*",
            )
        else:
            parser.add_argument(f"--{field.name}", type=type(value), default=value)


def settings_of(given: dict[str, Any], defaults: AnySettings) -> AnySettings:
    """Settings of the options that were given."""
    chosen: dict[str, Any] = {
        field.name: given[field.name] for field in dataclasses.fields(defaults)
    }
    for name in ("sizes", "without"):
        chosen[name] = tuple(chosen[name])
    return dataclasses.replace(defaults, **chosen)


def main() -> None:
    """Train or speak."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "speak"))
    parser.add_argument(
        "--pixels", type=Path, required=True, help="folder that common_pixels.py wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of this teacher")
    parser.add_argument(
        "--weights", type=Path, help="ImageNet weights to begin with; random ones by default"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="between two states on disk")
    parser.add_argument("--stop", type=int, help="step to stop at for now")
    add_settings(parser, Settings())
    given = vars(parser.parse_args())
    settings, galaxies, out = (
        settings_of(given, Settings()),
        Galaxies.read(given["pixels"]),
        given["out"],
    )
    if given["what"] == "speak":
        speak(galaxies, out, settings)
        return
    network = untrained(settings.architecture, settings.seed)
    teacher = Teacher(
        galaxies,
        settings,
        network if given["weights"] is None else begun(network, given["weights"]),
    )
    if run(teacher, out, minutes=given["minutes"], stop=given["stop"]) == teacher.total:
        with written_whole(out / WEIGHTS) as temporary:
            save_file(
                {k: v.contiguous() for k, v in teacher.average.state_dict().items()}, temporary
            )


if __name__ == "__main__":
    main()
