"""A picture of the split is not trained on under another id, in whatever way it is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blobs import draw

from gzfeatures.experiment.sample import load_sample
from gzfeatures.experiment.settings.sample import Galaxies, ImagedCatalog, SecondTarget


def catalog(path: Path, ids: list[str]) -> Path:
    classes = ["Er", "Sc2m"] * len(ids)
    pd.DataFrame({"galaxy_id": ids, "gz2_class": classes[: len(ids)]}).to_csv(path, index=False)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images; eight more, of which six are copies of the first six under other ids."""
    (tmp_path / "main").mkdir()
    (tmp_path / "more").mkdir()
    draw(tmp_path / "main", n=20)
    draw(tmp_path / "more", n=28)
    for path in sorted((tmp_path / "more").iterdir())[:20]:
        path.unlink()
    for number in range(20, 26):
        shutil.copy(
            tmp_path / "main" / f"g{number - 20:03}.png", tmp_path / "more" / f"g{number:03}.png"
        )
    catalog(tmp_path / "main.csv", [f"g{number:03}" for number in range(20)])
    catalog(tmp_path / "more.csv", [f"g{number:03}" for number in range(20, 28)])
    return tmp_path


@pytest.mark.parametrize("field", [1.0, 0.5])
def test_an_image_of_the_split_is_left_out_of_those_that_only_train(
    field: float, folder: Path
) -> None:
    settings = Galaxies(
        catalog=folder / "main.csv",
        images=folder / "main",
        scheme="gz2-2class",
        training_only=(
            ImagedCatalog(catalog=folder / "more.csv", images=folder / "more", field=field),
        ),
    )
    (folder / "notes").mkdir()
    sample = load_sample(settings, 0, folder / "notes")
    added = set(sample.split.train) - set(sample.scored_split.train)
    assert added == {"g026", "g027"}


@pytest.mark.parametrize("field", [1.0, 0.5])
def test_an_image_that_is_scored_is_left_out_of_the_second_target(
    field: float, folder: Path
) -> None:
    both = pd.concat([pd.read_csv(folder / "main.csv"), pd.read_csv(folder / "more.csv")])
    both.to_csv(folder / "both.csv", index=False)
    catalog(folder / "none.csv", ["x1", "x2"])
    settings = Galaxies(
        catalog=folder / "main.csv",
        images=folder / "main",
        scheme="gz2-2class",
        # of this source no galaxy is labelled for the first target
        training_only=(
            ImagedCatalog(catalog=folder / "none.csv", images=folder / "more", field=field),
        ),
        also=SecondTarget(catalog=folder / "both.csv", scheme="gz2-2class"),
        on_bad="skip",
    )
    (folder / "notes").mkdir()
    sample = load_sample(settings, 0, folder / "notes")
    held_out = {*sample.split.validation, *sample.split.test}
    copies = {f"g{int(name[1:]) + 20:03}" for name in held_out if int(name[1:]) < 6}
    assert copies
    added = set(sample.images.ids) - {f"g{number:03}" for number in range(20)}
    assert added == {f"g{number:03}" for number in range(20, 28)} - copies
    assert np.isin(list(added), sample.auxiliary_labels.ids).all()  # type: ignore[union-attr]
