"""Insertion minus deletion of explanations, against maps that know nothing of the network.

    python experiments/explanations.py CELLS                    # the table of 300 galaxies
    python experiments/explanations.py CELLS --only occlusion --only brightness
    python experiments/explanations.py CELLS --choice           # 50 other galaxies, to choose by
    python experiments/explanations.py CELLS --table            # of what is there

The network is `googlenet-gz2` with its own classes, and all galaxies are ones that it has never
seen. A cell is one method, one filling and 25 galaxies; it is one file in the folder CELLS, and is
done once. A method's maps are kept there too. The class explained is the likeliest one.

Methods that the package has no part of, because they were tried and lost, are in
`explanation_masks.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from explanation_masks import TRIED, Block
from finetuning import Sample

from gzfeatures.files import written_whole
from gzfeatures.networks.saliency.attribution import METHODS, saliency
from gzfeatures.networks.saliency.explained_model import ExplainedModel
from gzfeatures.networks.saliency.faithfulness import (
    BASELINES,
    baseline,
    faithfulness,
    paired_difference,
)
from gzfeatures.networks.saliency.fillings import FILLINGS

SEED, STEPS, BLOCK = 19, 8, 25
CHOICE, TABLE = range(0, 50), range(50, 350)
NAMES = (*BASELINES, *METHODS, *TRIED)


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """The network, its galaxies, and the folder of the cells."""

    folder: Path
    model: ExplainedModel
    inputs: torch.Tensor
    codes: list[int]

    @classmethod
    def of(cls, folder: Path) -> Bench:
        """Read the network, and pictures of 350 galaxies that it has not seen."""
        model, place = ExplainedModel.of_network("googlenet-gz2"), folder / "galaxies.npz"
        if not place.exists():
            sample = Sample.read()
            unseen = np.sort(np.concatenate([sample.scored, sample.unseen]).astype(str))
            chosen = np.random.default_rng(SEED).permutation(unseen)[: TABLE.stop]
            pixels = model.pixels(sample.images, chosen.astype(object))
            with written_whole(place) as path, path.open("wb") as file:
                np.savez_compressed(file, pixels=pixels)
        for parameter in model.network.parameters():
            parameter.requires_grad_(False)
        inputs = model.images(np.load(place)["pixels"])
        return cls(folder, model, inputs, model.outputs(inputs).argmax(1).tolist())

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """In bfloat16, as the network was trained."""
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.model.probabilities(images)
        return outputs.float()

    def maps(self, name: str, begin: int) -> npt.NDArray[np.float32]:
        """Maps of a block, made once."""
        place = self.folder / f"{name}-{begin:03d}.npz"
        if place.exists():
            return np.asarray(np.load(place)["maps"])
        inputs, codes = self.inputs[begin : begin + BLOCK], self.codes[begin : begin + BLOCK]
        with torch.autocast("cpu", torch.bfloat16):
            if name in BASELINES:
                maps = baseline(inputs, name, seed=begin)
            elif name in METHODS:
                maps = saliency(self.model.network, inputs, codes, method=name)
            else:
                block = Block(
                    self.model.network,
                    self.probabilities,
                    inputs,
                    codes,
                    lambda method: self.maps(method, begin),
                )
                maps = TRIED[name](block)
        with written_whole(place) as path, path.open("wb") as file:
            np.savez_compressed(file, maps=maps)
        return maps

    def run(self, name: str, filling: str, begin: int) -> None:
        """Do a cell, unless it is done."""
        place = self.folder / f"{name}-{filling}-{begin:03d}.npz"
        if place.exists():
            return
        measured = faithfulness(
            self.probabilities,
            self.inputs[begin : begin + BLOCK],
            self.maps(name, begin),
            self.codes[begin : begin + BLOCK],
            filling=filling,
            steps=STEPS,
        )
        with written_whole(place) as path, path.open("wb") as file:
            np.savez_compressed(file, insertion=measured.insertion, deletion=measured.deletion)


def read(folder: Path, galaxies: range) -> dict[str, dict[str, dict[int, Any]]]:
    """Insertion − deletion by method, filling and block."""
    return {
        name: {
            filling: {
                begin: np.load(path)["insertion"] - np.load(path)["deletion"]
                for begin in galaxies[::BLOCK]
                if (path := folder / f"{name}-{filling}-{begin:03d}.npz").exists()
            }
            for filling in FILLINGS
        }
        for name in NAMES
    }


def table(folder: Path, galaxies: range) -> str:
    """Markdown: each method's figure in each filling, and the paired gaps to two baselines."""
    figures = read(folder, galaxies)
    head = [f"{filling} {word}" for filling in FILLINGS for word in ("", "− bright", "− Gauss")]
    lines = [f"| map | n | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for name in NAMES:
        cells, number = [], 0
        for filling in FILLINGS:
            blocks = figures[name][filling]
            values = np.concatenate(list(blocks.values())) if blocks else np.empty(0)
            number = max(number, len(values))
            cells.append(f"{values.mean():.3f}" if len(values) else "")
            for rival in BASELINES[:2]:
                both = [begin for begin in blocks if begin in figures[rival][filling]]
                if not both or name in BASELINES:
                    cells.append("")
                    continue
                ours, theirs = (
                    np.concatenate([figures[which][filling][begin] for begin in both])
                    for which in (name, rival)
                )
                gap = paired_difference(ours, theirs)
                cells.append(f"{gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})")
        if number:
            lines.append(f"| {name} | {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("cells", type=Path, help="folder of the cells, outside the repository")
    words.add_argument("--only", action="append", choices=NAMES, help="again for more")
    words.add_argument("--choice", action="store_true", help="the 50 galaxies to choose by")
    words.add_argument(
        "--backwards", action="store_true", help="begin with the last galaxies: a second process"
    )
    words.add_argument("--table", action="store_true", help="print the table of what is there")
    chosen = words.parse_args()
    torch.set_num_threads(1)
    chosen.cells.mkdir(parents=True, exist_ok=True)
    galaxies = CHOICE if chosen.choice else TABLE
    if not chosen.table:
        bench = Bench.of(chosen.cells)
        for begin in galaxies[::BLOCK][:: -1 if chosen.backwards else 1]:
            for name in chosen.only or NAMES:
                for filling in FILLINGS:
                    bench.run(name, filling, begin)
                print(f"{name} {begin}–{begin + BLOCK - 1}", flush=True)
    print(table(chosen.cells, galaxies))


if __name__ == "__main__":
    main()
