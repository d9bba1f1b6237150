"""Maps and explanations from the command line: every colour, layout and gallery can be reached."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from verbs import called, gz

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.images.view import View
from gzfeatures.maps.umap import Map
from gzfeatures.networks.extraction.spec import extractor_of
from gzfeatures.networks.models.load import build
from gzfeatures.networks.saliency import galleries
from gzfeatures.networks.training.checkpoint import write_folder

N = 60
IDS = np.asarray([f"g{i}" for i in range(N)], dtype=object)
CLASSES = ("round", "spiral")
CODES = np.arange(N) % 2


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with two tables of the same galaxies, labels, a catalog, predictions of two heads, and
    images."""
    root = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    extractor = Extractor("resnet18", "resnet18", "w" * 64, "avgpool", 16, View())
    matrix = (6 * CODES[:, None] + rng.normal(size=(N, 16))).astype(np.float32)
    for name, values in (("one", matrix), ("two", matrix[:, ::-1] * 2)):
        EmbeddingTable(IDS, IDS, np.ascontiguousarray(values), extractor).write(
            root / f"{name}.parquet"
        )
    fewer = EmbeddingTable(IDS[:50], IDS[:50], matrix[:50], extractor)
    fewer.write(root / "fewer.parquet")
    write_labels(root / "labels.csv", Labels(IDS, CLASSES, CODES, scheme="two"))
    spoiled = CODES.copy()
    spoiled[7] = 0
    write_labels(root / "spoiled.csv", Labels(IDS, CLASSES, spoiled, scheme="two"))
    catalog = {
        "galaxy_id": IDS,
        "objid": np.arange(N) + 10**17,
        "REDSHIFT": np.arange(N) / N,
        "gz2_class": "Er",
    }
    pd.DataFrame({**catalog, "p_bar": 0.25, "clean": CODES == 1}).to_csv(
        root / "catalog.csv", index=False
    )
    for name, share in (("svm", 0.9), ("xgboost", 0.6)):
        p = np.where(np.eye(2)[CODES] == 1, share, 1 - share)
        Predictions(IDS, p, CLASSES).write(root / f"{name}.csv")
    (root / "images").mkdir()
    for i, name in enumerate(IDS):
        Image.new("RGB", (64, 64), (200 * (i % 2), 80, 200 - 3 * i)).save(
            root / "images" / f"{name}.png"
        )
    return root


def test_a_map_can_be_coloured_by_everything_that_is_known(place: Path, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    found = gz(
        *(
            "map",
            place / "one.parquet",
            "--labels",
            place / "labels.csv",
            "--catalog",
            place / "catalog.csv",
        ),
        *(
            "--predictions",
            place / "svm.csv",
            "--predictions",
            place / "xgboost.csv",
            "-o",
            page,
            "--stability",
            1,
        ),
    )
    assert found["rows"] == N and 0 <= found["stability"]["knn_overlap"] <= 1
    names = {column["name"]: column["classes"] for column in data_of(page)["columns"]}
    assert names == {
        "label": ["round", "spiral"],
        **{f"predicted, {head}": ["round", "spiral"] for head in ("svm", "xgboost")},
        **{f"right or wrong, {head}": ["right", "wrong"] for head in ("svm", "xgboost")},
        **{f"confidence, {head}": None for head in ("svm", "xgboost")},
        **dict.fromkeys(("disagreement", "redshift", "p_bar")),
        "gz2_class": ["Er"],
        "clean": ["no", "yes"],
    }


def test_columns_can_be_chosen_and_an_unknown_one_is_named(place: Path, tmp_path: Path) -> None:
    words = [
        "map",
        place / "one.parquet",
        "--catalog",
        place / "catalog.csv",
        "-o",
        tmp_path / "m.html",
    ]
    gz(*words, "--column", "p_bar", "--column", "gz2_class")
    assert [column["name"] for column in data_of(tmp_path / "m.html")["columns"]] == [
        "p_bar",
        "gz2_class",
    ]
    with pytest.raises(InputError, match="no numeric column for mass"):
        gz(*words, "--column", "mass")


def test_tables_stand_side_by_side_and_aligned(place: Path, tmp_path: Path) -> None:
    gz(
        *(
            "map",
            place / "one.parquet",
            "--beside",
            place / "two.parquet",
            "--labels",
            place / "labels.csv",
        ),
        *("-o", tmp_path / "map.html", "--figure", tmp_path / "both.png", "--width", "page"),
    )
    (layout,) = data_of(tmp_path / "map.html")["layouts"]
    assert layout["name"].startswith("two (disparity 0.")
    with Image.open(tmp_path / "both.png") as figure:
        assert figure.size[0] == 2130 and figure.size[1] < 0.6 * figure.size[0]


def test_new_galaxies_are_placed_into_an_existing_map(place: Path, tmp_path: Path) -> None:
    gz("map", place / "fewer.parquet", "-o", tmp_path / "old.html")
    found = gz(
        *(
            "map",
            place / "one.parquet",
            "--into",
            tmp_path / "old.map.parquet",
            "-o",
            tmp_path / "new.html",
        ),
        *("--catalog", place / "catalog.csv"),
    )
    assert found["rows"] == N and "far" in found
    old, new = Map.read(tmp_path / "old.map.parquet"), Map.read(Path(found["coordinates"]))
    np.testing.assert_allclose(new.coordinates[:50], old.coordinates, atol=1e-4)
    data = data_of(tmp_path / "new.html")
    placed = next(column for column in data["columns"] if column["name"] == "placed")
    assert np.frombuffer(base64.b64decode(placed["values"]), "<u2").tolist() == [0] * 50 + [1] * 10
    assert placed["classes"] == ["no", "yes"]


def test_cubes_metrics_and_supervision_are_options(place: Path, tmp_path: Path) -> None:
    gz(
        *(
            "map",
            place / "one.parquet",
            "--dimensions",
            3,
            "--metric",
            "cosine",
            "--min-dist",
            0.5,
            "--neighbours",
            9,
        ),
        *("--supervised", "--labels", place / "labels.csv", "-o", tmp_path / "cube.html"),
    )
    chart = Map.read(tmp_path / "cube.map.parquet")
    kept = {key: chart.settings[key] for key in ("metric", "min_dist", "n_neighbors", "supervised")}
    assert kept == {"metric": "cosine", "min_dist": 0.5, "n_neighbors": 9, "supervised": True}
    assert chart.coordinates.shape == (N, 3)


@pytest.mark.parametrize(
    ("verb", "caption"),
    [
        (["similar", "g0", "-k", 3], "1 from g0"),
        (["odd"], "score "),
        (["doubt", "-H", "prototype"], "round, looks spiral"),
    ],
)
def test_what_is_found_becomes_a_gallery_and_a_csv(
    place: Path, tmp_path: Path, verb: list[object], caption: str
) -> None:
    name, *options = verb
    labels = ["--labels", place / "spoiled.csv"] if name == "doubt" else []
    output = [
        "-o",
        tmp_path / "found.csv",
        "--images",
        place / "images",
        "--gallery",
        tmp_path / "found.html",
    ]
    found = gz(name, place / "one.parquet", *options, *labels, *output)["rows"]
    assert pd.read_csv(tmp_path / "found.csv")["galaxy_id"].tolist() == [
        row["galaxy_id"] for row in found
    ]
    text = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == len(found) and caption in text
    if name == "doubt":
        assert [row["galaxy_id"] for row in found] == ["g7"]


def test_galaxies_worth_a_look_are_those_without_a_label(place: Path, tmp_path: Path) -> None:
    few = read_labels(place / "labels.csv")[0].select(IDS[:40])
    write_labels(tmp_path / "few.csv", few)
    words = ["doubt", place / "one.parquet", "--labels", tmp_path / "few.csv", "-H", "prototype"]
    gz(*words, "--next", tmp_path / "next.csv", "--count", 5)
    looks = pd.read_csv(tmp_path / "next.csv")
    assert len(looks) == 5 and set(looks["galaxy_id"]) <= set(IDS[40:])


@pytest.fixture(scope="module")
def checkpoint(place: Path) -> Path:
    spec = Backbone("tiny", "resnet18", None, "flatten", 512, View(size=32), classes=2)
    return write_folder(place / "checkpoint", spec, build(spec), {"classes": list(CLASSES)})


def quick(dream: Callable[..., Any], *words: Any, steps: int, **options: Any) -> Any:
    """An image that maximises a class, after ten steps in place of hundreds."""
    return dream(*words, steps=min(steps, 10), **options)


def test_prototypes_layers_and_dreams_share_a_gallery(
    place: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the gallery is the same after few steps, which `test_attribution.py` lets climb
    monkeypatch.setattr(galleries, "dream", partial(quick, galleries.dream))
    found = gz(
        *(
            "explain",
            checkpoint,
            "--images",
            place / "images",
            "-o",
            tmp_path / "why.html",
            "--layers",
            "--dreams",
        ),
        *("--table", place / "one.parquet", "--labels", place / "labels.csv", "--per-class", 1),
        *("--method", "grad-cam", "--method", "occlusion"),
    )
    asked = {
        name for heading, ids in found["sections"].items() if "grad-cam" in heading for name in ids
    }
    central = set(found["sections"]["Prototypes, nearest to the middle of their class"])
    assert asked == central and len(central) == 2
    text = (tmp_path / "why.html").read_text(encoding="utf-8")
    for heading in (
        "Prototypes, nearest",
        ": grad-cam, occlusion",
        "layer3: 256 maps",
        "would like best",
    ):
        assert heading in text


def test_a_head_on_a_checkpoint_is_explained(place: Path, checkpoint: Path, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).random((N, 512)).astype(np.float32)
    table = EmbeddingTable(IDS, IDS, vectors, extractor_of(checkpoint))
    labels = Labels(IDS, CLASSES, CODES, scheme="two")
    path = fit(table, labels, "logistic", split=Split.draw(labels, seed=0)).write(
        tmp_path / "logistic.skops"
    )
    output = tmp_path / "why.png"
    words = [
        "explain",
        checkpoint,
        "g7",
        "g8",
        "--head",
        path,
        "--images",
        place / "images",
        "-o",
        output,
    ]
    found = gz(*words, "--method", "grad-cam", "--class", "spiral")
    assert found["sections"] == {"spiral: grad-cam": ["g7", "g8"]}
    with Image.open(output) as gallery:
        assert gallery.size[0] > 500
    with pytest.raises(UnknownNameError, match="unknown method of explanation"):
        gz(*words, "--method", "guess")


def test_an_explanation_first_tells_whether_it_beats_the_bright_part(
    place: Path, checkpoint: Path, tmp_path: Path
) -> None:
    words = ["explain", checkpoint, *IDS[:12], "--images", place / "images", "-o"]
    result = called(*words, tmp_path / "why.html", "--method", "grad-cam", "--json")
    first, second, *_ = result.stderr.splitlines()
    found = json.loads(result.stdout)
    assert result.returncode == 0 and first == found["verdict"] and "gallery drawn" in second
    # weights by chance explain nothing
    assert first.startswith("grad-cam does not beat the bright part of the image: ")
    assert "paired 90% interval" in first and "12 galaxies" in first
    assert [row["map"] for row in found["maps"]] == ["grad-cam", "brightness", "gaussian"]
    assert found["galaxies"] == 12 and found["maps"][0]["passes"] >= 2
    text = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "grad-cam does not beat the bright part" in text
    # the figure costs passes, and can be left out
    without = gz(*words, tmp_path / "quick.html", "--method", "grad-cam", "--no-measure")
    assert without.keys() == {"sections"} and without["sections"] == found["sections"]


def test_a_packaged_network_is_explained_by_its_name(place: Path, tmp_path: Path) -> None:
    words = ["explain", "googlenet-gz2", "g7", "--images", place / "images", "--no-measure"]
    found = gz(*words, "-o", tmp_path / "why.html", "--method", "grad-cam", "--class", "spiral")
    assert found["sections"] == {"spiral: grad-cam": ["g7"]}


def test_an_explanation_without_galaxies_says_how_to_name_them(
    place: Path, checkpoint: Path, tmp_path: Path
) -> None:
    words = ["explain", checkpoint, "--images", place / "images", "-o", tmp_path / "why.html"]
    with pytest.raises(
        InputError,
        match="an explanation; must have galaxies; name some, or give a table and labels",
    ):
        gz(*words)


def test_rows_that_have_none_of_the_chosen_columns_are_shown_with_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gzfeatures.cli.console import show

    skipped = [{"id": "elsewhere", "reason": "bands do not overlap"}]
    show({"tables": [{"rows": 2, "dim": 512}], "skipped": skipped}, False, columns=("rows", "dim"))
    printed = capsys.readouterr().out
    assert "elsewhere" in printed and "bands do not overlap" in printed and "512" in printed


def test_values_of_several_names_are_shown_a_line_each_and_columns_keep_their_underscores(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gzfeatures.cli.console import show

    result = {
        "scored_on": "test",
        "intervals": {"rmse": (0.1, 0.2), "bias": (-0.3, 0.4)},
        "log_mass of 7 test galaxies": [{"galaxy_id": "a", "fit_seconds": 2.0}],
    }
    show(result, False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["scored on: test", "intervals:", "  rmse: 0.1, 0.2", "  bias: -0.3, 0.4"]
    table = " ".join(lines[4:])
    assert "log_mass of 7 test galaxies" in table
    assert "galaxy_id" in table and "fit seconds" in table
