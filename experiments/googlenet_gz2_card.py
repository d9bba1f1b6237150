"""Put a trained googlenet-gz2 into the package and measure what its model card says, on galaxies it
never saw.

    gzfeatures run experiments/pretrain_googlenet_gz2.toml --set backbones.0.weights=resnet50v1.pth
    python experiments/googlenet_gz2_card.py runs/googlenet-gz2 --weights resnet50v1.pth

Writes `model.safetensors` (float16), `backbone.json`, `trained_on.npz`, `curves.png`,
`figures.json` and `card.md`. With `--keep` the weights that are there are measured again; with
`--record` only the record of the galaxies they were trained on is made anew, and the card written
again with the figures that are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from half_precision import write_half
from jinja2 import Environment, StrictUndefined
from PIL import Image

import gzfeatures as gz
from gzfeatures.evaluation.metrics import Scores
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.config import load
from gzfeatures.experiment.sample import LabelledSample, load_sample
from gzfeatures.experiment.settings.sample import Galaxies
from gzfeatures.features.backbones import RECORD, backbone, packaged
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.split import Split, digest_remainders
from gzfeatures.heads.learning_curve import curve, learning_curve
from gzfeatures.ids import Ids, among
from gzfeatures.networks.inference.probabilities import classify

HERE = Path(__file__).parent
PUBLISHED = {
    "smooth-round": 8436,
    "smooth-inbetween": 8069,
    "smooth-cigar": 579,
    "edge-on": 3903,
    "spiral": 7806,
}
"""Galaxies per class in the sample of Zhu+2019 (doi:10.1007/s10509-019-3540-1)."""
HEADS: dict[str, dict[str, Any]] = {
    "svm": {"head": "svm"},
    "svm, tuned": {"head": "svm", "tune": True},
    "linear-svm": {"head": "linear-svm"},
    "logistic": {"head": "logistic"},
    "xgboost": {"head": "xgboost"},
    "ensemble": {"head": "ensemble"},
}
FEW = 250


def pack_record(folder: Path, data: Path) -> TrainedOn:
    """Write what is known of the training galaxies beside the weights: ids, pictures, and files
    where they are at hand.

    The pictures of the galaxies that only trained are middles of frames, not the files they were
    cut out of: those galaxies are known by picture and id alone.
    """
    record = json.loads((folder / RECORD).read_text("utf-8"))
    trained = TrainedOn.decode(record["backbone"]["trained_on"])
    whole = gz.ImageSet.of(data / "gz2" / "images")
    middles = gz.ImageSet.of(data / "gz2" / "bulk", field=240 / 424)
    whole, middles = (
        images.select(images.ids[trained.contains(images.ids)]) for images in (whole, middles)
    )
    if len(whole) + len(middles) != len(trained):
        raise SystemExit(
            f"{len(trained)} galaxies were trained on, and pictures of "
            f"{len(whole) + len(middles)} are here"
        )
    pictures = np.concatenate([whole.picture_hashes(), middles.picture_hashes()])
    ids = np.concatenate([whole.ids, middles.ids])
    known = TrainedOn.of(ids, kind="kaggle", files=whole.digests(), pictures=pictures)
    record["backbone"]["trained_on"] = known.pack(folder)
    (folder / RECORD).write_text(json.dumps(record, indent=1), "utf-8")
    return known


def in_published_shares(scores: Scores) -> float:
    """Accuracy with the class shares of the published sample, from the recall of each class."""
    recall = {row["class"]: row["recall"] for row in scores.per_class}
    return float(
        sum(PUBLISHED[name] * recall[name] for name in PUBLISHED) / sum(PUBLISHED.values())
    )


def of_classes(predictions: Predictions, labels: Labels, unbiased: Ids) -> dict[str, Any]:
    """Scores of five-class predictions of the test galaxies."""
    scores = gz.evaluate(predictions, labels)
    fair = gz.evaluate(
        predictions.select(predictions.ids[among(predictions.ids, unbiased)]), labels
    )
    return {
        **scores.metrics,
        "galaxies": scores.n,
        "interval": scores.intervals["accuracy"],
        "macro_f1_interval": scores.intervals["macro_f1"],
        "per_class": scores.per_class,
        "published_shares": in_published_shares(scores),
        "unbiased": {
            "galaxies": fair.n,
            "accuracy": fair.accuracy,
            "interval": fair.intervals["accuracy"],
        },
    }


def whole_tenth(settings: Galaxies, group: LabelledSample) -> tuple[gz.ImageSet, Labels]:
    """The test galaxies and, of the same tenth, those of smaller pictures that would only train."""
    (more,) = settings.training_only
    known = scheme("zhu-5class").label(gz.Catalog.read(more.catalog)).ordered(group.labels.classes)
    known = known.select(known.ids[digest_remainders(known.ids, 10) == 3])
    images = group.images.select(group.scored_split.test).joined(
        gz.ImageSet.of(more.images, ids=known.ids, field=more.field)
    )
    return images, group.labels.select(group.scored_split.test).joined(known)


def in_brief(predictions: Predictions, labels: Labels) -> dict[str, Any]:
    """Accuracy, macro F1, their intervals, and calibration."""
    scores = gz.evaluate(predictions, labels)
    intervals = {f"{name}_interval": scores.intervals[name] for name in ("accuracy", "macro_f1")}
    return {
        "accuracy": scores.accuracy,
        "macro_f1": scores.macro_f1,
        "ece": scores.ece,
        **intervals,
    }


def fitted(table: gz.EmbeddingTable, group: LabelledSample) -> dict[str, gz.Head]:
    """Heads on a table, fitted on the catalog's training galaxies."""
    return {
        name: gz.fit(table, group.labels, split=group.scored_split, **how)
        for name, how in HEADS.items()
    }


def few_labels(table: gz.EmbeddingTable, group: LabelledSample) -> dict[str, Any]:
    """Accuracy of heads fitted on 250 galaxies: mean, lowest and highest of five draws."""
    rows = learning_curve(
        table, group.labels, group.scored_split, ("logistic", "svm"), (FEW,), range(5)
    )
    return {head: curve(rows, head)[0][1:] for head in ("logistic", "svm")}


def of_votes(table: gz.EmbeddingTable, votes: Labels, split: Split) -> dict[str, float]:
    """RMSE of the 37 vote fractions by regression heads, and of the mean of the training
    galaxies."""
    test, truth = table.select(split.test), votes.select(split.test).values
    rmse = {
        name: float(
            gz.evaluate(
                gz.fit(table, votes, name, split=split).predict(test), votes, intervals=0
            ).rmse
            or 0
        )
        for name in ("ridge", "svr")
    }
    mean = votes.select(split.train).values.mean(0)
    return {**rmse, "mean": float(np.sqrt(((truth - mean) ** 2).mean())), "galaxies": len(test)}


def turned(
    group: LabelledSample, heads: dict[str, gz.Head], checkpoint: Path, unbiased: Ids
) -> dict[str, dict[str, float]]:
    """How often one of the other 7 symmetries of the square changes the class that a head gives a
    test galaxy."""
    images = group.images.select(group.scored_split.test)
    codes: dict[str, list[Any]] = {name: [] for name in heads}
    with tempfile.TemporaryDirectory() as temporary:
        for number, (mirror, quarter) in enumerate((m, q) for m in (False, True) for q in range(4)):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            for row, name in enumerate(images.ids):
                pixels = np.rot90(images.pixels(row, gz.View(size=424)), quarter)
                Image.fromarray(pixels[:, ::-1] if mirror else pixels).save(
                    folder / f"{name}.png", compress_level=1
                )
            table = gz.extract(gz.ImageSet.of(folder, ids=images.ids), checkpoint, progress=False)
            for name, head in heads.items():
                codes[name].append(head.predict(table).codes)
    fair = among(images.ids, unbiased)
    changed = {name: np.stack(found[1:]) != found[0] for name, found in codes.items()}
    return {
        name: {
            "cases": float(c.mean()),
            "galaxies": float(c.any(0).mean()),
            "unbiased": float(c[:, fair].mean()),
        }
        for name, c in changed.items()
    }


def transfer(checkpoint: Path, data: Path, table: gz.EmbeddingTable) -> dict[str, Any]:
    """Smooth against featured on Hart+2016 galaxies by a head fitted on Kaggle galaxies; other
    surveys extract."""
    hart = data / "hart16"
    frame = pd.read_csv(hart / "hart16_1000.csv", dtype=str)
    lone = frame.loc[frame["kaggle_GalaxyID_same_file"].isna(), "asset_id"].to_numpy(dtype=object)
    catalog = gz.Catalog.read(hart / "hart16_1000.csv", id_column="asset_id")
    truth, taught = (
        scheme("smooth-featured").label(each)
        for each in (catalog, gz.Catalog.read(data / "gz2" / "votes.csv"))
    )
    fresh = truth.ids[among(truth.ids, lone)]
    head = gz.fit(
        table, taught, "logistic", split=Split(taught.ids, taught.ids[:0], taught.ids[:0])
    )
    images = gz.ImageSet.of(hart / "images", ids=fresh)
    scores = gz.evaluate(head.predict(gz.extract(images, checkpoint, progress=False)), truth)
    share = truth.select(fresh).codes.mean()
    return {
        "hart16": {
            "galaxies": scores.n,
            "accuracy": scores.accuracy,
            "interval": scores.intervals["accuracy"],
        }
        | {"auc": scores.auc, "majority": float(max(share, 1 - share))},
        "others": {
            name: len(
                gz.extract(
                    gz.ImageSet.of(data / "multiband" / name),
                    checkpoint,
                    on_bad="skip",
                    progress=False,
                )
            )
            for name in ("efigi_gri", "decals_grz", "decals_grz_pysersic")
        },
    }


def measure(run: Path, checkpoint: Path, data: Path, weights: Path) -> dict[str, Any]:
    """All figures of the card."""
    settings = load(run)
    group = load_sample(settings.galaxies, settings.seed, run)
    seen = TrainedOn.decode(backbone(checkpoint).trained_on or "")
    listed = pd.read_csv(data / "gz2" / "classes.csv", dtype={"GalaxyID": str})
    unbiased = listed.loc[listed["unbiased_sample"].astype(bool), "GalaxyID"].to_numpy(dtype=object)
    images = gz.ImageSet.of(data / "gz2" / "images")
    tables = {
        "googlenet-gz2": gz.extract(images, checkpoint),
        "googlenet-gz2, mean of 8 views": gz.extract(images, checkpoint, dihedral=True),
        "resnet50-v1 (ImageNet)": gz.extract(images, "resnet50-v1", weights=weights),
    }
    votes = scheme("votes-37").label(gz.Catalog.read(data / "gz2" / "votes.csv"))
    tenth = digest_remainders(votes.ids, 10) == 3
    fair = Split(votes.ids[~tenth], votes.ids[:0], votes.ids[tenth & among(votes.ids, unbiased)])
    own = Predictions.read(run / "networks" / "00-googlenet" / "predictions.parquet").select(
        group.scored_split.test
    )
    record = json.loads((checkpoint / "backbone.json").read_text("utf-8"))
    wide, truth = whole_tenth(settings.galaxies, group)
    figures: dict[str, Any] = {
        "trained_on": {"ids": len(seen), "pictures": len(seen.pictures), "files": len(seen.files)},
        "seen_test_galaxies": int(
            seen.contains(group.scored_split.test).sum() + seen.contains(fair.test).sum()
        ),
        "recipe": record["settings"],
        "training": json.loads(
            (run / "networks" / "00-googlenet" / "training.json").read_text("utf-8")
        ),
        "network": of_classes(own, group.labels, unbiased),
        "classes": {},
        "whole_tenth": {
            "galaxies": len(truth),
            "cigars": truth.counts["smooth-cigar"] / len(truth),
            "network": in_brief(classify(wide, run / "networks" / "00-googlenet"), truth),
            "heads": {},
        },
        "few_labels": {},
        "votes": {},
    }
    for name, table in tables.items():
        heads, test = fitted(table, group), table.select(group.scored_split.test)
        predictions = {head: each.predict(test) for head, each in heads.items()}
        figures["classes"][name] = {
            head: of_classes(each, group.labels, unbiased) for head, each in predictions.items()
        }
        if name.startswith("googlenet-gz2"):
            vectors = gz.extract(
                wide, checkpoint, dihedral=table.extractor.dihedral, progress=False
            )
            figures["whole_tenth"]["heads"][name] = {
                head: in_brief(each.predict(vectors), truth) for head, each in heads.items()
            }
        if name == "googlenet-gz2":
            known = (
                scheme("zhu-5class")
                .label(gz.Catalog.read(data / "gz2" / "votes.csv"))
                .ordered(group.labels.classes)
            )
            voted = predictions["svm"].select(
                group.scored_split.test[among(group.scored_split.test, known.ids)]
            )
            figures["agreement"] = [row.asdict() for row in gz.evaluate(voted, known).agreement]
            figures["turned"] = turned(group, heads, checkpoint, unbiased)
        figures["few_labels"][name] = few_labels(table, group)
        figures["votes"][name] = of_votes(table, votes, fair)
    figures["transfer"] = transfer(checkpoint, data, tables["googlenet-gz2"])
    return figures


def write_card(folder: Path, figures: dict[str, Any]) -> None:
    """Write the figures, and the card that tells them."""
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    template = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    ).from_string((HERE / "googlenet_gz2_card.md.jinja").read_text("utf-8"))
    (folder / "card.md").write_text(template.render(figures), "utf-8")
    print(folder / "card.md")


def main() -> None:
    """Pack, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run", type=Path, help="run folder of experiments/pretrain_googlenet_gz2.toml"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=HERE / "../../shared/data",
        help="folder with gz2, hart16, multiband",
    )
    parser.add_argument(
        "--weights", type=Path, help="ImageNet weights of resnet50-v1, to compare with"
    )
    parser.add_argument(
        "--out", type=Path, default=packaged("googlenet-gz2"), help="checkpoint folder to write"
    )
    parser.add_argument(
        "--record", action="store_true", help="only make the record of training galaxies anew"
    )
    parser.add_argument("--keep", action="store_true", help="measure the weights that are there")
    given = parser.parse_args()
    trained = given.run / "networks" / "00-googlenet"
    if given.record:
        known = pack_record(given.out, given.data)
        print(
            f"{len(known)} galaxies by id, {len(known.pictures)} pictures, {len(known.files)} files"
        )
        figures = json.loads((given.out / "figures.json").read_text("utf-8"))
        figures["trained_on"] = {
            "ids": len(known),
            "pictures": len(known.pictures),
            "files": len(known.files),
        }
        write_card(given.out, figures)
        return
    if not given.keep:
        write_half(trained, given.out, "googlenet-gz2")
        shutil.copyfile(trained / "curves.png", given.out / "curves.png")
        pack_record(given.out, given.data)
    write_card(given.out, measure(given.run, given.out, given.data, given.weights))


if __name__ == "__main__":
    main()
