"""`--pixel-scale` and `--petrosian` of extract and predict: one crop for each galaxy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner
from verbs import gz as verb

import gzfeatures as gz
from gzfeatures.cli.console import app

CROPS = ("--pixel-scale", "scale", "--petrosian", "petroR90_r")


@pytest.fixture
def survey(tmp_path: Path) -> tuple[Path, Path]:
    """One galaxy as a Galaxy Zoo frame and in a field twice as wide; two without a usable
    radius."""
    folder = tmp_path / "images"
    folder.mkdir()
    y, x = np.mgrid[:848, :848] - 423.5
    light = 200 * np.exp(-np.hypot(x, y / 0.6) / 25)[..., None] * [1, 0.9, 0.8]
    noisy = light + np.random.default_rng(0).normal(12, 4, light.shape)
    field = np.clip(noisy, 0, 255).astype(np.uint8)
    for name, cut in (("frame", 212), ("field", 0), ("unknown", 1), ("sentinel", 2)):
        part = field[cut : 848 - cut, cut : 848 - cut]
        Image.fromarray(part).save(folder / f"{name}.png")
    catalog = tmp_path / "catalog.csv"
    catalog.write_text(
        "galaxy_id,scale,petroR90_r\nframe,0.4,20\nfield,0.4,20\nunknown,0.4,\nsentinel,0.4,-9999\n"
    )
    return folder, catalog


def test_extract_cuts_each_galaxy_by_its_radius_and_leaves_out_what_has_none(
    survey: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, catalog = survey
    words = ("extract", catalog, "--images", folder, *CROPS, "-o", tmp_path / "t.parquet")
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 1 and "petroR90_r sets the crop" in str(result.exception)
    told = verb(*words, "--on-bad", "skip")
    assert told["rows"] == 2
    assert told["framing"]["petrosian"] == "petroR90_r" and told["framing"]["frame_radii"] == 8.48
    reasons = {row["id"]: row["reason"] for row in told["skipped"]}
    assert set(reasons) == {"unknown", "sentinel"} and "found -9999" in reasons["sentinel"]
    # the row has the id already, and the galaxy is left out already
    assert not any(name in why or "--on-bad" in why for name, why in reasons.items())
    table = gz.EmbeddingTable.read(tmp_path / "t.parquet")
    assert table.framing == told["framing"]
    # the frame alone, as it always was: the same vectors, which a Galaxy Zoo head may read
    plain = gz.extract(gz.ImageSet.of(folder).select(table.ids), progress=False)
    rows = dict(zip(table.ids, table.matrix, strict=True))
    np.testing.assert_allclose(rows["field"], rows["frame"], rtol=1e-2, atol=1e-2)
    at = list(plain.ids).index("frame")
    np.testing.assert_allclose(rows["frame"], plain.matrix[at], rtol=1e-2, atol=1e-2)
    assert np.abs(plain.matrix[1 - at] - plain.matrix[at]).max() > 0.1
    # another radius is another key of the store, not the vector of before
    catalog.write_text(catalog.read_text().replace("field,0.4,20", "field,0.4,30"))
    again = verb(*words, "--on-bad", "skip")
    assert again["computed"] == 1 and again["reused"] == 1


def test_predict_gives_a_galaxy_in_a_wider_field_the_class_of_its_frame(
    survey: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, catalog = survey
    out = tmp_path / "c.csv"
    words = ("predict", "googlenet-gz2", folder, "--on-bad", "skip", "-o", out)
    told = verb(*words, "--catalog", catalog, "--pixel-scale", "0.4", *CROPS[2:])
    assert told["rows"] == 2 and len(told["skipped"]) == 2
    rows = pd.read_csv(out).set_index("galaxy_id")
    classes = list(told["classes"])
    columns = [name for name in rows.columns if name in classes or name == "spiral"]
    np.testing.assert_allclose(
        rows.loc["field", columns].astype(float),
        rows.loc["frame", columns].astype(float),
        atol=0.02,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "googlenet-gz2", "images", "--petrosian", "r"), "--pixel-scale"),
        (("predict", "googlenet-gz2", "images", *CROPS), "need a catalog"),
        (("predict", "googlenet-gz2", "t.parquet", "--catalog", "c.csv", *CROPS), "with images"),
        (
            ("predict", "googlenet-gz2", "i", "--catalog", "c", "--view", "crop=1", *CROPS),
            "one crop for all",
        ),
        (("extract", "images", *CROPS), "need a catalog"),
        (("extract", "images", "--pixel-scale", "0.4"), "--petrosian"),
    ],
)
def test_crops_that_nothing_can_set_are_wrong_usage(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = "out.parquet" if words[0] == "extract" else "out.csv"
    result = CliRunner().invoke(app, [*words, "-o", output])
    assert result.exit_code == 2 and said in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf"])
def test_one_scale_for_all_that_no_image_can_have_is_wrong_usage(
    scale: str, survey: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, catalog = survey
    words = ["extract", str(catalog), "--images", str(folder), "--pixel-scale", scale]
    result = CliRunner().invoke(
        app, [*words, "--petrosian", "petroR90_r", "-o", str(tmp_path / "t.parquet")]
    )
    assert result.exit_code == 2 and "above 0" in result.output
