"""One network by two roads: built in, and from an ONNX file; vectors, and heads on them.

    python experiments/onnx_roads.py IMAGES --labels labels.csv --weights resnet50v1.pth
        [--backbone resnet50-v1] [--view size=128] [--splits 20] [--heads svm logistic]

The network is written to an ONNX file with PyTorch's exporter, and both roads extract the same
galaxies at float32. Printed are the largest difference of two vectors' numbers, also as a share of
the largest number, and the test accuracy of each head: mean over the splits, and the mean of the
difference on the same split with its 90 % interval (t of the splits).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import stats

import gzfeatures as gz
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.networks.models.load import load


def written(spec: gz.Backbone, weights: str, view: gz.View, path: Path) -> Path:
    """Write a backbone as an ONNX file, with the configuration of its pixels beside it."""
    network = load(spec, weights, spec.layer, view.size)
    example = torch.zeros(2, 3, view.size, view.size)
    batch = {0: torch.export.Dim("batch", min=1, max=512)}
    program = torch.onnx.export(
        network, (example,), dynamo=True, dynamic_shapes=(batch,), verbose=False
    )
    program.save(str(path), external_data=False)
    pixels = {
        "input_size": [3, view.size, view.size],
        "mean": list(spec.mean),
        "std": list(spec.std),
        "interpolation": view.interpolation,
        "crop_pct": view.crop,
    }
    path.with_name("config.json").write_text(json.dumps({"pretrained_cfg": pixels}))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="folder or archive of images")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--weights", required=True, help="weights file of the backbone")
    parser.add_argument("--backbone", default="resnet50-v1")
    parser.add_argument("--view", default="size=128", help="pixels it sees")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--heads", nargs="+", default=["svm", "logistic"])
    given = parser.parse_args()
    labels, _ = read_labels(given.labels)
    images = gz.ImageSet.of(given.images, ids=labels.ids, on_missing="skip")
    labels = labels.select(images.ids)
    spec = backbone_of(given.backbone)
    view = gz.View.parse(given.view, spec.view)
    with tempfile.TemporaryDirectory() as folder:
        file = written(spec, given.weights, view, Path(folder) / "encoder.onnx")
        how = {"view": view, "precision": "float32", "store": Store(Path(folder) / "store")}
        roads = {
            "built in": gz.extract(images, given.backbone, weights=given.weights, **how),
            "onnx": gz.extract(images, f"onnx:{file}", **how),
        }
    built_in, onnx = (table.matrix for table in roads.values())
    difference = float(np.abs(built_in - onnx).max())
    print(f"{given.backbone}, {given.view}, {len(images)} galaxies")
    share = difference / float(np.abs(built_in).max())
    print(f"  vectors differ by up to {difference:.1e}, {share:.1e} of the largest number")
    for head in given.heads:
        scores = {name: _scores(table, labels, head, given.splits) for name, table in roads.items()}
        apart = scores["onnx"] - scores["built in"]
        half = stats.t.ppf(0.95, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
        means = ", ".join(f"{name} {each.mean():.4f}" for name, each in scores.items())
        print(f"  {head}: {means}; onnx − built in {apart.mean():+.5f} ± {half:.5f}", flush=True)


def _scores(table: EmbeddingTable, labels: gz.Labels, head: str, splits: int) -> np.ndarray:
    """Return the test accuracy of a head on each split."""
    scores = []
    for seed in range(splits):
        split = gz.Split.draw(labels, sizes=(0.7, 0.1, 0.2), seed=seed)
        fitted = gz.fit(table, labels, head, split=split)
        tested = fitted.predict(table.select(split.test))
        scores.append(gz.evaluate(tested, labels, intervals=0).accuracy)
    return np.array(scores)


if __name__ == "__main__":
    main()
