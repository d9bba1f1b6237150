"""What `similar`, `doubt` and `duplicates` find in a real table whose answers are known.

`similar`: of the k nearest test galaxies of every test galaxy of a class, the share of that class.
`doubt`: a share of the labels is flipped to another class; which of them are called doubtful.
`duplicates`: with `--images`, galaxies that come again under another name as JPEGs of lower
quality, through the table's own network (`--network`).
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from gzfeatures.explore.duplicates import duplicates
from gzfeatures.explore.label_errors import label_errors
from gzfeatures.explore.neighbours import similar
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.heads.out_of_sample import out_of_sample
from gzfeatures.ids import positions
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.extract import extract


def likeness(table: EmbeddingTable, labels: Labels, k: int) -> dict[str, float]:
    """Class → mean share of the k nearest that are of it."""
    names = dict(zip(labels.ids, labels.names, strict=True))
    found = similar(table, list(labels.ids), k)
    same = found["galaxy_id"].map(names) == found["query"].map(names)
    return same.groupby(found["query"].map(names)).mean().to_dict()


def flipped(
    table: EmbeddingTable, labels: Labels, share: float, head: str, seed: int
) -> dict[str, float]:
    """Recall and precision of doubtful labels when a share of them is flipped."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[: round(share * len(labels))]
    codes = labels.codes.copy()
    codes[rows] = (codes[rows] + rng.integers(1, len(labels.classes), len(rows))) % len(
        labels.classes
    )
    spoiled = dataclasses.replace(labels, values=codes, soft=None)
    found = label_errors(spoiled, out_of_sample(table, spoiled, head, seed=seed))
    called, wrong = set(found["galaxy_id"][found["doubtful"]]), set(labels.ids[rows])
    return {
        "recall": len(called & wrong) / len(wrong),
        "precision": len(called & wrong) / len(called),
        "called": len(called),
    }


def twins(
    table: EmbeddingTable, images: ImageSet, network: str, count: int, quality: int
) -> dict[str, float]:
    """Recall and precision of galaxies that come twice."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(table))[:count])
    rows = positions(images.ids, table.ids[chosen])
    with tempfile.TemporaryDirectory() as name:
        for galaxy, row in zip(table.ids[chosen], rows, strict=True):
            with Image.open(io.BytesIO(images.read(int(row)))) as picture:
                picture.save(Path(name) / f"again-{galaxy}.jpg", quality=quality)
        again = extract(
            ImageSet.of(name),
            network,
            view=table.extractor.view,
            precision=table.extractor.precision,
        )
    both = EmbeddingTable(
        np.concatenate([table.ids, again.ids]),
        np.concatenate([table.digests, again.digests]),
        np.concatenate([table.matrix, again.matrix]),
        table.extractor,
    )
    found = {
        frozenset(pair) for pair in duplicates(both)[["galaxy_id", "twin"]].itertuples(index=False)
    }
    known = {
        frozenset(pair) for pair in duplicates(table)[["galaxy_id", "twin"]].itertuples(index=False)
    }
    planted = {frozenset((galaxy, f"again-{galaxy}")) for galaxy in table.ids[chosen]}
    return {
        "recall": len(found & planted) / len(planted),
        "precision": len(found & planted) / max(1, len(found - known)),
        "before": len(known),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument(
        "--labels", type=Path, required=True, help="with a split; its test galaxies are asked"
    )
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--head", default="svm")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--network", help="checkpoint folder of the table")
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--quality", type=int, default=60)
    given = parser.parse_args()
    table, (labels, split) = EmbeddingTable.read(given.table), read_labels(given.labels)
    if split is None:
        parser.error("the labels need a split")
    table, labels = table.select(split.test), labels.select(split.test)
    print(
        json.dumps({"galaxies": len(table), "similar": likeness(table, labels, given.neighbours)}),
        flush=True,
    )
    for seed in range(3):
        print(
            json.dumps(
                {"flipped": given.share, **flipped(table, labels, given.share, given.head, seed)}
            ),
            flush=True,
        )
    if given.images is not None:
        images = ImageSet.of(given.images)
        print(
            json.dumps(
                {"copies": twins(table, images, given.network, given.copies, given.quality)}
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
