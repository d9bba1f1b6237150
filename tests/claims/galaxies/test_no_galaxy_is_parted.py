"""Promise: a split never parts one galaxy: neither its file, nor its near duplicates, nor its place
on the sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tables_of import table_of
from typer.testing import CliRunner
from verbs import gz

from gzfeatures.cli.console import app

GALAXIES, COPIES = 120, 5


def copies(
    folder: Path, *, jitter: float = 0.0, same_file: bool = True, times: int = COPIES
) -> tuple[Path, Path]:
    """Table and labels of galaxies that each stand there several times, with labels drawn at
    random: nothing to learn.

    What a head seems to know about them it has learned from a copy in train. Chance is .25.
    """
    random = np.random.default_rng(1)
    galaxy = np.repeat(np.arange(GALAXIES), times)
    vectors = random.normal(size=(GALAXIES, 16))[galaxy] + jitter * random.normal(
        size=(len(galaxy), 16)
    )
    digests = [f"{number + 1:064x}" for number in (galaxy if same_file else range(len(galaxy)))]
    table = table_of(vectors, digests)
    label = random.integers(0, 4, GALAXIES)[galaxy]
    labels = pd.DataFrame({"galaxy_id": table.ids, "label": [f"class-{code}" for code in label]})
    labels["ra"], labels["dec"] = galaxy / 10 + random.normal(0, 0.2 / 3600, len(galaxy)), 10.0
    labels.to_csv(folder / "labels.csv", index=False)
    return table.write(folder / "table.parquet"), folder / "labels.csv"


def accuracy(table: Path, labels: Path, *more: object) -> float:
    found = gz("fit", table, "--labels", labels, "-H", "knn", "--set", "neighbours=1", "--set",
               "calibration=none",
               "-o", table.parent / "heads", *more)  # fmt: skip
    return float(found["heads"][0]["accuracy"])


def near_chance(score: float) -> bool:
    """Within 3 standard errors of .25 of what 24 independent galaxies, five copies each, can
    say."""
    return abs(score - 0.25) < 3 * np.sqrt(0.25 * 0.75 / (0.2 * GALAXIES))


def test_identical_pictures_of_random_labels_score_chance(tmp_path: Path) -> None:
    table, labels = copies(tmp_path)
    assert near_chance(accuracy(table, labels, "--group-arcsec", 0))


def test_galaxies_at_one_place_of_the_sky_score_chance(tmp_path: Path) -> None:
    table, labels = copies(tmp_path, jitter=0.01, same_file=False)
    assert near_chance(accuracy(table, labels))
    (tmp_path / "labels.split.csv").unlink()
    assert (
        accuracy(table, labels, "--group-arcsec", 0) > 0.8
    )  # what the positions keep from happening


def test_near_duplicates_score_chance_when_asked(tmp_path: Path) -> None:
    table, labels = copies(tmp_path, jitter=0.001, same_file=False, times=2)
    assert accuracy(table, labels, "--group-arcsec", 0) > 0.6
    (tmp_path / "labels.split.csv").unlink()
    assert near_chance(accuracy(table, labels, "--group-arcsec", 0, "--group-duplicates"))


def test_what_was_grouped_is_said_with_numbers(tmp_path: Path) -> None:
    table, labels = copies(tmp_path)
    words = ["fit", table, "--labels", labels, "-H", "prototype", "-o", tmp_path / "heads"]
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output
    told = f"{GALAXIES * COPIES} galaxies in {GALAXIES} groups"
    line = (
        f"grouped: {told} share their image, byte for byte; "
        f"{told} lie within 3 arcsec of one another"
    )
    assert line in result.stderr


def test_a_sample_keeps_the_same_picture_and_the_same_place_on_one_side(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for number in range(80):
        pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        for copy in range(2):
            Image.fromarray(pixels).save(folder / f"{number}-{copy}.png")
            where = {"ra": number + copy * (2 / 3600 if number % 2 else 0.5), "dec": 0.0}
            rows.append(
                {
                    "galaxy_id": f"{number}-{copy}",
                    "gz2_class": "Er" if number % 3 else "Sc",
                    **where,
                }
            )
    pd.DataFrame(rows).to_csv(tmp_path / "catalog.csv", index=False)
    command = [
        "sample",
        tmp_path / "catalog.csv",
        "--scheme",
        "gz2-2class",
        "-o",
        tmp_path / "sample.csv",
    ]
    gz(*command)
    drawn = pd.read_csv(tmp_path / "sample.csv").assign(
        galaxy=lambda frame: frame["galaxy_id"].str.split("-").str[0]
    )
    sides = drawn.groupby("galaxy")["split"].nunique()
    odd = sides.index.astype(int) % 2 == 1
    assert (sides[odd] == 1).all() and (sides[~odd] > 1).any()
    gz(*command, "--images", folder)
    assert (pd.read_csv(tmp_path / "sample.csv").assign(
        galaxy=lambda frame: frame["galaxy_id"].str.split("-").str[0]
    ).groupby("galaxy")["split"].nunique() == 1).all()  # fmt: skip


def test_a_network_is_not_tested_on_a_copy_of_what_it_learned(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from blobs import draw

    (tmp_path / "images").mkdir()
    pictures = draw(tmp_path / "images", 30)
    for path in list(pictures.glob("*.png")):
        (pictures / f"{path.stem}copy.png").write_bytes(path.read_bytes())
    names = sorted(path.stem for path in pictures.glob("*.png"))
    label = ["round" if int(name[1:4]) % 2 else "long" for name in names]
    pd.DataFrame({"galaxy_id": names, "label": label}).to_csv(tmp_path / "labels.csv", index=False)
    gz("finetune", pictures, "--labels", tmp_path / "labels.csv", "--network", "engel", "--view",
       "size=16",
       "--epochs", 1, "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}",
       "-o", tmp_path / "checkpoint")  # fmt: skip
    kept = pd.read_csv(tmp_path / "labels.split.csv")
    assert (
        kept.assign(galaxy=kept["galaxy_id"].str[:4]).groupby("galaxy")["split"].nunique() == 1
    ).all()
