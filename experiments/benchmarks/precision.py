"""What reduced precision costs: embedding tables of real galaxies and heads on them, against
float32.

    python experiments/benchmarks/precision.py IMAGES --labels labels.csv \\
        --backbone resnet50-v1 --weights FILE
        [--view size=128] [--splits 5] [--heads svm logistic]

For each way of computing: images/s (start-up left out), the mean and smallest cosine between its
vectors and those of float32, and the test accuracy of each head, in points above that on the
float32 table: mean over the splits and its standard error. Both tables see the same splits.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import gzfeatures as gz
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.store import Store
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.networks.extraction.extract import compute_table
from gzfeatures.networks.extraction.spec import Extraction

WAYS = (("float32", "torch"), ("bfloat16", "torch"), ("bfloat16", "openvino"), ("int8", "openvino"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="folder or archive of images")
    parser.add_argument(
        "--labels", type=Path, required=True, help="labels.csv of 'gzfeatures label'"
    )
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--weights", help="weights file of the backbone")
    parser.add_argument("--view", help="pixels it sees; default the backbone's own")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--heads", nargs="+", default=["svm", "logistic"])
    given = parser.parse_args()
    labels, _ = read_labels(given.labels)
    images = gz.ImageSet.of(given.images, ids=labels.ids, on_missing="skip")
    labels = labels.select(images.ids)
    splits = [
        gz.Split.draw(labels, sizes=(0.7, 0.1, 0.2), seed=seed) for seed in range(given.splits)
    ]
    view = gz.View.parse(given.view, backbone_of(given.backbone).view) if given.view else None
    plain, accuracy = None, {}
    print(
        f"{given.backbone}, {given.view or 'its own view'}, {len(images)} galaxies, "
        f"{given.splits} splits"
    )
    with tempfile.TemporaryDirectory() as folder:
        for precision, runtime in WAYS:
            if importlib.util.find_spec(runtime) is None:
                continue
            table = compute_table(
                images,
                Extraction(
                    given.backbone,
                    given.weights,
                    view=view,
                    precision=precision,
                    runtime=runtime,
                    store=Store(Path(folder)),
                ),
            )
            plain = plain or table
            lengths = np.linalg.norm(table.matrix, axis=1) * np.linalg.norm(plain.matrix, axis=1)
            cosine = (table.matrix * plain.matrix).sum(1) / lengths
            line = f"  {precision:8} {runtime:8} {table.made.images_per_second:6.1f} images/s"
            line += f"   cosine {cosine.mean():.5f} (least {cosine.min():.5f})"
            for head in given.heads:
                scores = []
                for split in splits:
                    fitted = gz.fit(table, labels, head, split=split)
                    scores.append(
                        gz.evaluate(
                            fitted.predict(table.select(split.test)), labels, intervals=0
                        ).accuracy
                    )
                accuracy[head, precision, runtime] = 100 * np.array(scores)
                above = accuracy[head, precision, runtime] - accuracy[head, "float32", "torch"]
                error = above.std(ddof=1) / np.sqrt(len(above))
                line += f"   {head} {np.mean(scores):.4f}, {above.mean():+.2f} ± {error:.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
