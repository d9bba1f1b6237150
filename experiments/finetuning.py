"""Fine-tuning against heads on frozen vectors, and against what one would write by hand in plain
PyTorch.

    python experiments/finetuning.py WORK                      # all cells, then the table
    python experiments/finetuning.py WORK --only googlenet-gz2-300 --only finetune
    python experiments/finetuning.py WORK --only finetune --list
    python experiments/finetuning.py WORK --table              # of the cells that are done

A cell is one start, one number of labels, one seed and one recipe,
`googlenet-gz2-300-seed1-finetune`; it is one small file in experiments/cells (what it says of the
1,500 scored galaxies, without their ids, and its seconds), is done once, and takes up an unfinished
`finetune` where it was stopped. Pixels, states and vectors lie in the folder WORK, which may be
lost between two calls. Recipes that freeze the network, or all of it but its last block, run on
what the frozen part gave once. Two calls at once share the cells: a cell that has begun has a file
WORK/NAME.begun, and the other call leaves it alone.

Labels and scored galaxies are those that `googlenet-gz2` has never seen: of 2,886, 1,500 are
scored, always the same; the labels, four fifths of them to train on and one fifth for validation,
are drawn from the others by the seed, with the shares of the classes. For `resnet50-v1` the whole
training set may be drawn from (up to 2,900 labels), and the same 1,500 are scored.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import gzfeatures as gz
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.inference.temperature import temperature_of, tempered
from gzfeatures.networks.models.architectures import output_layer, replace_output
from gzfeatures.networks.models.blocks import blocks
from gzfeatures.networks.models.load import load
from gzfeatures.networks.setup.pixel_cache import PixelCache
from gzfeatures.networks.training.train import train

DATA = Path(__file__).parents[2] / "shared" / "data" / "gz2"
DONE = Path(__file__).parent / "cells"
FIELD = 240 / 424
SCORED, SEEDS = 1500, (0, 1, 2)
STARTS = {
    "googlenet-gz2": {"labels": (100, 300, 1000), "view": None, "weights": "own"},
    "resnet50-v1": {
        "labels": (100, 300, 1000, 2900),
        "view": View(size=96, crop=0.4),
        "weights": None,
    },
}
HEADS = ("svm", "logistic")
BY_HAND = ("hand-probe", "hand-last-block", "hand-all", "hand-decay")
RECIPES = ("finetune", *HEADS, *BY_HAND)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One measurement."""

    start: str
    labels: int
    seed: int
    recipe: str

    @property
    def name(self) -> str:
        return f"{self.start}-{self.labels}-seed{self.seed}-{self.recipe}"

    @property
    def path(self) -> Path:
        """The file of a cell that is done."""
        return DONE / f"{self.name}.npz"


CELLS = [
    Cell(start, number, seed, recipe)
    for start, given in STARTS.items()
    for number in given["labels"]
    for recipe in (*HEADS, "finetune", *BY_HAND)
    for seed in SEEDS
]


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Galaxies, their labels, and which are scored."""

    images: ImageSet
    labels: Labels
    scored: np.ndarray
    unseen: np.ndarray  # neither scored nor known to googlenet-gz2

    @classmethod
    def read(cls) -> Sample:
        parts, images = [], []
        for catalog, folder, field in (("classes.csv", "images", 1.0), ("bulk.csv", "bulk", FIELD)):
            known = gz.SCHEMES["zhu-5class"].label(gz.Catalog.read(DATA / catalog))
            some = ImageSet.of(DATA / folder, ids=known.ids, on_missing="skip", field=field)
            parts.append(known.select(some.ids))
            images.append(some)
        labels = parts[0].joined(parts[1])
        every = images[0].joined(images[1])
        known_to = TrainedOn.decode(backbone_of("googlenet-gz2").trained_on or "")
        fresh = labels.ids[~known_to.contains(labels.ids)]
        # by picture too, as `finetune` itself judges
        fresh = fresh[~known_to.among_images(every.select(fresh))]
        scored = drawn(labels.select(fresh), SCORED, 12345)
        rest = fresh[~np.isin(fresh.astype(str), scored.astype(str))]
        return cls(every, labels, scored, rest)

    def split(self, cell: Cell) -> Split:
        """Training and validation galaxies of a cell, and the scored ones."""
        pool = self.unseen
        if cell.start != "googlenet-gz2":
            pool = self.labels.ids[~np.isin(self.labels.ids.astype(str), self.scored.astype(str))]
        chosen = drawn(self.labels.select(pool), cell.labels, cell.seed)
        held = drawn(self.labels.select(chosen), cell.labels // 5, cell.seed + 1000, 1)
        return Split(chosen[~np.isin(chosen.astype(str), held.astype(str))], held, self.scored)


def drawn(labels: Labels, number: int, seed: int, least: int = 3) -> np.ndarray:
    """So many galaxies with the shares of their classes, `least` of each class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    codes = labels.codes[order]
    there = np.bincount(codes, minlength=len(labels.classes))
    counts = np.maximum(
        np.round(there * number / len(labels)).astype(int), np.minimum(there, least)
    )
    while counts.sum() != number:
        counts[counts.argmax()] += np.sign(number - counts.sum())
    rows = np.concatenate([order[codes == c][:count] for c, count in enumerate(counts)])
    return labels.ids[np.sort(rows)]


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """Where cells are run."""

    place: Path
    sample: Sample
    resnet: Path | None

    def weights(self, start: str) -> Any:
        return self.resnet if start == "resnet50-v1" else STARTS[start]["weights"]

    def view(self, start: str) -> View:
        return STARTS[start]["view"] or backbone_of(start).view

    def run_alone(self, cell: Cell) -> None:
        """Do a cell, unless it is done or another call has begun it."""
        mark = self.place / f"{cell.name}.begun"
        if cell.path.exists() or mark.exists():
            return
        mark.touch()
        print(cell.name, flush=True)
        try:
            self.run(cell)
        finally:
            mark.unlink()

    def run(self, cell: Cell) -> None:
        """Do a cell, and keep what it says of the scored galaxies."""
        split = self.sample.split(cell)
        began = time.perf_counter()
        if cell.recipe == "finetune":
            said = self.finetuned(cell, split)
        elif cell.recipe in HEADS:
            said = self.head(cell, split)
        else:
            said = self.by_hand(cell, split)
        if not np.array_equal(said.ids.astype(str), self.sample.scored.astype(str)):
            raise ValueError(f"{cell.name}: the scored galaxies are in another order")
        # half precision changes a log loss by less than .0001 and makes the file a third as large
        DONE.mkdir(exist_ok=True)
        with written_whole(cell.path) as path, path.open("wb") as file:
            np.savez_compressed(
                file,
                probabilities=said.probabilities.astype(np.float16),
                seconds=np.float32(time.perf_counter() - began),
            )

    def finetuned(self, cell: Cell, split: Split) -> Predictions:
        """The defaults."""
        weights = None if cell.start == "googlenet-gz2" else self.weights(cell.start)
        done = train(
            self.sample.images.select(np.concatenate([split.train, split.validation, split.test])),
            self.sample.labels, split, cell.start, folder=self.place / "work" / cell.name,
            seed=cell.seed,
            weights=weights, view=STARTS[cell.start]["view"],
            cache=self.place / "pixels" / cell.name,
        )  # fmt: skip
        return done.predictions.select(split.test)

    def head(self, cell: Cell, split: Split) -> Predictions:
        """`fit` on the vectors of the frozen network."""
        path = self.place / f"{cell.start}.parquet"
        if not path.exists():
            # the vectors of every galaxy that a cell of this start draws, once for all of its cells
            sides = [self.sample.split(each) for each in CELLS if each.start == cell.start]
            ids = np.concatenate(
                [ids for side in sides for ids in (side.train, side.validation, side.test)]
            )
            wanted = self.sample.labels.ids[np.isin(self.sample.labels.ids, ids)]
            options = {"weights": self.weights(cell.start)} if cell.start != "googlenet-gz2" else {}
            table = gz.extract(
                self.sample.images.select(wanted), cell.start, view=self.view(cell.start), **options
            )
            table.write(path)
        table = gz.EmbeddingTable.read(path)
        fitted = gz.fit(table, self.sample.labels, cell.recipe, split=split, seed=cell.seed)
        return fitted.predict(table.select(split.test))

    def by_hand(self, cell: Cell, split: Split) -> Predictions:
        """Plain PyTorch; its probabilities are calibrated by the same temperature, so that recipes
        are compared."""
        torch.manual_seed(cell.seed)
        spec = backbone_of(cell.start)
        weights = None if cell.start == "googlenet-gz2" else self.weights(cell.start)
        network = load(spec, weights)
        replace_output(network, len(self.sample.labels.classes))
        pixels = {
            side: self.pixels(cell.start, ids)
            for side, ids in (
                ("train", split.train),
                ("rest", np.concatenate([split.validation, split.test])),
            )
        }
        codes = torch.from_numpy(self.sample.labels.select(split.train).codes)
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
        steps = round(20 * np.sqrt(len(codes)))
        recipe = {
            "hand-probe": frozen,
            "hand-last-block": frozen,
            "hand-all": whole,
            "hand-decay": whole,
        }[cell.recipe]
        network = recipe(network, (pixels["train"], codes), (mean, std), steps, cell)
        network.eval()
        with torch.no_grad():
            parts = [
                network((part.float() / 255 - mean) / std) for part in pixels["rest"].split(256)
            ]
        ids = np.concatenate([split.validation, split.test])
        bare = Predictions(
            ids, torch.cat(parts).double().softmax(1).numpy(), self.sample.labels.classes
        )
        warm = temperature_of(bare.select(split.validation), self.sample.labels)
        said = bare.select(split.test)
        return dataclasses.replace(
            said, probabilities=tempered(said.probabilities, warm, "classes")
        )

    def pixels(self, start: str, ids: np.ndarray) -> torch.Tensor:
        """Decoded once, uint8, shape (n, 3, size, size)."""
        cache = PixelCache.of(
            self.sample.images.select(ids), self.view(start), self.place / "pixels" / start
        )
        return cache.batch(np.arange(len(ids)))


def frozen(network: nn.Module, data: Any, norm: Any, steps: int, cell: Cell) -> nn.Module:
    """The last linear layer, or that and the block before it, on what the rest of the network gives
    of 8 views."""
    pixels, codes = data
    mean, std = norm
    head = network.get_submodule(output_layer(network))
    block = blocks(network)[-2].modules if cell.recipe == "hand-last-block" else ()
    first = next((module for module in block if next(module.parameters(), None) is not None), head)
    kept: list[torch.Tensor] = []
    hook = first.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].half()))
    network.eval()
    turns = range(8 if cell.labels <= 1000 else 2)
    with torch.no_grad():
        for turn in turns:
            turned = torch.rot90(pixels.flip(3) if turn >= 4 else pixels, turn % 4, (2, 3))
            for part in turned.split(256):
                network((part.float() / 255 - mean) / std)
    hook.remove()
    inputs, labels = torch.cat(kept), codes.repeat(len(turns))
    tail = nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head) if block else head
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for parameter in tail.parameters():
        parameter.requires_grad_(True)
    if not block:  # to convergence
        optimizer = torch.optim.LBFGS(
            head.parameters(), max_iter=300, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (
                functional.cross_entropy(head(inputs.float()), labels)
                + 1e-3 * (head.weight**2).sum()
            )
            loss.backward()
            return loss

        optimizer.step(closure)
        return network
    fit_plainly(
        tail,
        lambda rows: inputs[rows].float(),
        labels,
        [{"params": list(tail.parameters()), "lr": 1e-3}],
        steps,
    )
    return network


def whole(network: nn.Module, data: Any, norm: Any, steps: int, cell: Cell) -> nn.Module:
    """Every layer, at 1e-4, or from 1e-3 at the output layer down by 0.4 a stage."""
    pixels, codes = data
    mean, std = norm
    stages = stages_of(network)
    if cell.recipe == "hand-all":
        groups = [{"params": [p for stage in stages for p in stage], "lr": 1e-4}]
    else:
        groups = [
            {"params": stage, "lr": 1e-3 * 0.4**depth}
            for depth, stage in enumerate(reversed(stages))
        ]

    def copies(rows: torch.Tensor) -> torch.Tensor:
        some = pixels[rows].float() / 255
        angle = torch.rand(len(rows)) * 2 * torch.pi
        flip = torch.where(torch.rand(len(rows)) < 0.5, -1.0, 1.0)
        zero = torch.zeros(len(rows))
        turn = torch.stack(
            [angle.cos() * flip, -angle.sin(), zero, angle.sin() * flip, angle.cos(), zero], 1
        )
        grid = functional.affine_grid(turn.view(-1, 2, 3), list(some.shape), align_corners=False)
        return (
            functional.grid_sample(some, grid, padding_mode="reflection", align_corners=False)
            - mean
        ) / std

    fit_plainly(network, copies, codes, groups, steps)
    return network


def stages_of(network: nn.Module) -> list[list[nn.Parameter]]:
    """Children of the network that have parameters, GoogLeNet's inception modules by their
    number."""
    found: dict[str, list[nn.Parameter]] = {}
    for name, child in network.named_children():
        key = (
            name[:10]
            if name.startswith("inception")
            else "stem"
            if name in ("conv1", "bn1")
            else name
        )
        if mine := list(child.parameters()):
            found.setdefault(key, []).extend(mine)
    return list(found.values())


def fit_plainly(
    network: nn.Module, batch: Any, codes: torch.Tensor, groups: Any, steps: int
) -> None:
    """AdamW, a cosine to zero, 32 galaxies a step, bfloat16 where the machine has it."""
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    order = torch.randperm(len(codes))
    for _ in range(steps):
        if len(order) < 32:
            order = torch.cat([order, torch.randperm(len(codes))])
        rows, order = order[:32], order[32:]
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(batch(rows))
        loss = functional.cross_entropy(logits.float(), codes[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def table(sample: Sample) -> str:
    """Markdown: each start and number of labels, every recipe, and `finetune` against each."""
    truth = sample.labels.select(sample.scored)
    lines = [
        "| start | labels | recipe | accuracy | macro F1 | log loss | seconds | "
        "Δ accuracy | Δ macro F1 | log loss × |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for start, given in STARTS.items():
        for number in given["labels"]:
            ours = read(start, number, "finetune")
            for recipe in RECIPES:
                found = read(start, number, recipe)
                if not found:
                    continue
                values = np.mean([scores(p, truth.codes) for p, _ in found.values()], 0)
                seconds = np.mean([s for _, s in found.values()])
                cells = [
                    start,
                    f"{number}",
                    f"{recipe} ({len(found)})",
                    *(f"{v:.3f}" for v in values),
                    f"{seconds:.0f}",
                ]
                both = sorted(set(ours) & set(found))
                cells += ["", "", ""]
                if recipe != "finetune" and both:
                    cells[-3:] = compared(
                        [ours[s][0] for s in both], [found[s][0] for s in both], truth.codes
                    )
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read(start: str, number: int, recipe: str) -> dict[int, tuple[np.ndarray, float]]:
    """Probabilities of the scored galaxies and seconds, by seed."""
    found = {}
    for seed in SEEDS:
        path = Cell(start, number, seed, recipe).path
        if path.exists():
            with np.load(path) as kept:
                found[seed] = (kept["probabilities"].astype(float), float(kept["seconds"]))
    return found


def scores(p: np.ndarray, codes: np.ndarray) -> tuple[float, float, float]:
    """Accuracy, macro F1 and log loss."""
    said, k = p.argmax(1), p.shape[1]
    hits = np.bincount(codes[said == codes], minlength=k)
    both = np.bincount(codes, minlength=k) + np.bincount(said, minlength=k)
    chances = np.maximum(p[np.arange(len(codes)), codes], 1e-7)
    present = both > 0
    return (
        float((said == codes).mean()),
        float((2 * hits / np.maximum(both, 1))[present].mean()),
        float(-np.log(chances).mean()),
    )


def compared(ours: list[np.ndarray], theirs: list[np.ndarray], codes: np.ndarray) -> list[str]:
    """Difference in accuracy and macro F1, ratio of log losses: middle and paired 90 % interval."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        rows = generator.integers(0, len(codes), len(codes))
        seeds = generator.integers(0, len(ours), len(ours))
        a, b = (
            np.mean([scores(p[s][rows], codes[rows]) for s in seeds], 0) for p in (ours, theirs)
        )
        found.append((a[0] - b[0], a[1] - b[1], a[2] / b[2]))
    middle = np.median(found, 0)
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    said = [f"{middle[i]:+.3f} ({low[i]:+.3f} to {high[i]:+.3f})" for i in (0, 1)]
    return [*said, f"{middle[2]:.2f} ({low[2]:.2f}–{high[2]:.2f})"]


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument(
        "work", type=Path, help="folder of pixels and states, outside the repository"
    )
    words.add_argument(
        "--only",
        action="append",
        default=[],
        help="cells whose name has all of these; again for more",
    )
    words.add_argument("--resnet50", type=Path, help="weights of resnet50-v1")
    words.add_argument(
        "--list", action="store_true", help="say which cells are done and which are missing"
    )
    words.add_argument("--table", action="store_true", help="print the table of what is there")
    chosen = words.parse_args()
    cells = [cell for cell in CELLS if all(word in cell.name for word in chosen.only)]
    done = {cell for cell in cells if cell.path.exists()}
    if chosen.list:
        print("\n".join(f"{'done' if cell in done else 'missing':8}{cell.name}" for cell in cells))
        return
    chosen.work.mkdir(parents=True, exist_ok=True)
    sample = Sample.read()
    bench = Bench(chosen.work, sample, chosen.resnet50)
    for cell in cells if not chosen.table else ():
        if cell.start == "resnet50-v1" and chosen.resnet50 is None:
            continue
        bench.run_alone(cell)
    print(table(sample))


if __name__ == "__main__":
    main()
