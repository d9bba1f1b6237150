"""Seeds of a fine-tuned network: alone, their probabilities averaged, their weights averaged.

    python experiments/members.py FOLDER --labels 100

All start from `googlenet-gz2`; labels and the 1,500 scored galaxies are those of
`experiments/finetuning.py`, which that network has never seen. Trainings are kept in FOLDER and go
on where they were interrupted. Averaged weights (Wortsman+2022, arXiv:2203.05482) are calibrated
on the validation galaxies that chose no epoch, as the others are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from finetuning import Cell, Sample

from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import backbone
from gzfeatures.files import written_whole
from gzfeatures.networks.inference.output_calibration import calibration_of
from gzfeatures.networks.inference.probabilities import classify
from gzfeatures.networks.inference.temperature import temperature_of, tempered
from gzfeatures.networks.models.load import load
from gzfeatures.networks.setup.options import TrainingOptions
from gzfeatures.networks.training.checkpoint import write_folder
from gzfeatures.networks.training.finish import _half
from gzfeatures.networks.training.members import train_members
from gzfeatures.networks.training.preparation import TrainingGalaxies

SHOWN = ("accuracy", "macro_f1", "log_loss", "ece")


def averaged(places: list[Path], folder: Path) -> Path:
    """Write a checkpoint whose weights are the mean of others; it is not calibrated."""
    specs = [backbone(place) for place in places]
    networks = [load(spec) for spec in specs]
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }
    networks[0].load_state_dict(mean)
    record = json.loads((places[0] / "backbone.json").read_text("utf-8"))
    kept = {name: record[name] for name in ("classes", "scheme", "settings", "dihedral")}
    bare = dataclasses.replace(specs[0], weights=None, sha256="")
    return write_folder(folder, bare, networks[0], kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--draw", type=int, default=0)
    chosen = parser.parse_args()
    sample = Sample.read()
    split = sample.split(Cell("googlenet-gz2", chosen.labels, chosen.draw, "finetune"))
    images, labels = sample.images.select(split.ids), sample.labels.select(split.ids)
    place = chosen.folder / f"{chosen.labels}-draw{chosen.draw}"
    options = TrainingOptions(place, weights="own", cache=chosen.folder / "pixels")
    joined = train_members(
        TrainingGalaxies(images, labels, split), "googlenet-gz2", options, chosen.members
    )
    mean = averaged([each.checkpoint for each in joined.members], place / "averaged-weights")
    plain = classify(images.select(np.concatenate([split.validation, split.test])), mean)
    fresh = split.validation[~_half(split, split.validation, 0)]
    temperature = temperature_of(plain.select(fresh), labels)
    soup = dataclasses.replace(
        plain, probabilities=tempered(plain.probabilities, temperature, plain.kind)
    )
    every: dict[str, Predictions] = {
        **{f"seed {n}": each.predictions for n, each in enumerate(joined.members)},
        "mean of probabilities": joined.predictions,
        "mean of weights": soup,
    }
    rows: list[dict[str, Any]] = []
    for name, predictions in every.items():
        scores = evaluate(predictions.select(split.test), labels)
        rows.append({"network": name, **{key: scores.metrics[key] for key in SHOWN}})
        print(name, *(f"{key} {scores.metrics[key]:.4f}" for key in SHOWN), flush=True)
    print("temperature of the mean", calibration_of(place).temperature)
    with written_whole(place / "members.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
