"""Selections: `--ids` reads some galaxies alone in every verb, and examples may be several."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from blobs import draw
from tables_of import table_of
from typer.testing import CliRunner
from verbs import app, called, gz

from gzfeatures.cli.several_words import repeated
from gzfeatures.features.table import EmbeddingTable

N = 60
WITHOUT = {
    **dict.fromkeys(("table import", "table join", "table repair"), "writes a table of its own"),
    **dict.fromkeys(("table info",), "describes the file"),
    "table index": "keeps vectors of the whole table, to whose bytes its file is bound",
}
"""Verbs with a table or images that take no selection, and why."""
READS = {"TABLE", "SOURCE", "VECTORS", "TABLE…", "NETWORK"}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of three clouds of galaxies, and a selection of the map page."""
    centres = 5 * np.eye(4)[np.arange(N) % 3]
    matrix = centres + np.random.default_rng(0).normal(size=(N, 4))
    table_of(matrix).write(tmp_path / "table.parquet")
    rows = "".join(f'g{row:04d},0.5,1e-3,,"a, b"\r\n' for row in range(0, 30))
    # the header of the page: names of columns are anything
    header = 'galaxy_id,x,y,label,"taught probability: a, ""b"""\r\n'
    (tmp_path / "galaxies.csv").write_bytes((header + rows).encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[str]:
    """Every verb that reads a table or images."""
    found = []
    groups = [("", app), *((g.name or "", g.typer_instance) for g in app.registered_groups)]
    for group, typer_ in groups:
        for command in typer_.registered_commands:
            name = command.name or command.callback.__name__.strip("_")  # type: ignore[union-attr]
            signature = inspect.signature(command.callback)  # type: ignore[arg-type]
            kinds = [
                getattr(p.annotation, "__metadata__", ()) for p in signature.parameters.values()
            ]
            if READS & {getattr(one, "metavar", None) for kind in kinds for one in kind}:
                found.append(f"{group} {name}".strip())
    return found


def test_every_verb_that_reads_a_table_or_images_takes_a_selection() -> None:
    names = commands()
    assert {"similar", "map", "fit", "predict", "teach", "table slice", "extract"} <= set(names)
    for name in sorted(set(names) - set(WITHOUT)):
        told = CliRunner().invoke(app, [*name.split(), "--help"]).output
        assert "--ids " in told, name


def test_a_selection_of_the_page_is_read_as_it_is(desk: Path) -> None:
    assert len(gz("odd", "table.parquet", "--ids", "galaxies.csv")["rows"]) == 30
    written = gz("table", "export", "table.parquet", "--ids", "galaxies.csv", "-o", "part.npz")
    assert written["rows"] == 30
    gz("table", "slice", "table.parquet", "--ids", "galaxies.csv", "-o", "part.parquet")
    assert EmbeddingTable.read("part.parquet").ids.tolist() == [f"g{i:04d}" for i in range(30)]
    labels = "".join(f"g{row:04d},{'ab'[row % 2]}\n" for row in range(N))
    Path("labels.csv").write_text("galaxy_id,label\n" + labels)
    gz("fit", "table.parquet", "--labels", "labels.csv", "-H", "logistic", "-o", "heads")
    head = "heads/logistic.skops"
    for ending, rows in ((["--ids", "galaxies.csv"], 30), ([], N)):
        assert gz("predict", head, "table.parquet", "-o", "p.csv", *ending)["rows"] == rows
    Path("labels.split.csv").unlink()
    words = "fit table.parquet --labels labels.csv -H logistic -o some --ids galaxies.csv"
    gz(*words.split())
    # the split that is drawn holds the selected galaxies alone
    split = Path("labels.split.csv").read_text()
    assert "g0029" in split and "g0030" not in split


@pytest.mark.parametrize(
    ("content", "words"),
    [("galaxy_id\ng0001\nstranger\n", "1 of 2 galaxies are not in the table"), ("galaxy_id\n", "")],
)
def test_a_selection_of_strangers_or_of_nobody_is_refused(
    desk: Path, content: str, words: str
) -> None:
    Path("some.csv").write_text(content)
    ended = called("odd", "table.parquet", "--ids", "some.csv")
    assert ended.returncode == 1 and ended.stderr.startswith("error: ") and words in ended.stderr


def test_several_examples_and_counterexamples_give_one_ranking(desk: Path) -> None:
    words = "similar table.parquet -k 18 --like g0000 g0003 --unlike g0001 g0002"
    rows = gz(*words.split())["rows"]
    # the 18 others of the first cloud, and none of the examples
    assert {int(row["galaxy_id"][1:]) % 3 for row in rows} == {0}
    assert not {row["galaxy_id"] for row in rows} & {"g0000", "g0003"}
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True) and [row["rank"] for row in rows] == [
        *range(1, 19)
    ]
    # a selection as examples, by either option
    Path("first.csv").write_text("galaxy_id\ng0000\ng0003\n")
    unlike = ["--unlike", "g0001", "g0002"]
    for option in ("--ids", "--like"):
        again = gz("similar", "table.parquet", "-k", 18, option, "first.csv", *unlike)["rows"]
        assert again == rows
    # without counterexamples the mean of the examples is what is searched
    table = EmbeddingTable.read("table.parquet")
    centre = table.matrix[[0, 3]].mean(0)
    nearest = np.argsort(np.linalg.norm(table.matrix - centre, axis=1))
    expected = [table.ids[row] for row in nearest if row not in (0, 3)][:5]
    words = "similar table.parquet -k 5 --like g0000 g0003"
    found = gz(*words.split())["rows"]
    assert [row["galaxy_id"] for row in found] == expected


def test_examples_that_say_two_things_or_nothing_are_refused(desk: Path) -> None:
    refused = {
        "--like g0000 --unlike g0000": "like or unlike, not both, found g0000",
        "--like nobody": "an image file or a file of ids, found nobody",
        "-k 59 --like g0000 g0001": "58",
    }
    for words, reason in refused.items():
        ended = called("similar", "table.parquet", *words.split())
        assert ended.returncode == 1 and reason in ended.stderr, words
    for words in ("", "g0000 --like g0001", "g0000 --unlike g0001", "--unlike g0001"):
        assert called("similar", "table.parquet", *words.split()).returncode == 2, words


def test_image_files_are_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path / "store"))
    (tmp_path / "images").mkdir()
    draw(tmp_path / "images", n=12)
    monkeypatch.chdir(tmp_path)
    network = ["--backbone", "resnet18", "--weights", "none", "--view", "size=32"]
    gz("extract", "images", *network, "-o", "table.parquet")
    # a copy of a galaxy of the table finds it first, at no distance
    (tmp_path / "mine.png").write_bytes((tmp_path / "images" / "g003.png").read_bytes())
    first = gz("similar", "table.parquet", "--like", "mine.png", "-k", 2)["rows"][0]
    assert first["galaxy_id"] == "g003" and first["distance"] < 1e-3
    # vectors that another program made cannot be computed again
    gz("table", "export", "table.parquet", "-o", "foreign.npz")
    gz("table", "import", "foreign.npz", "-o", "foreign.parquet", "--encoder", "mine")
    refused = called("similar", "foreign.parquet", "--like", "mine.png")
    assert refused.returncode == 1 and "another program made" in refused.stderr
    # images of a selection alone are extracted
    Path("some.txt").write_text("g001\ng004\n")
    assert gz("extract", "images", *network, "-o", "some.parquet", "--ids", "some.txt")["rows"] == 2


def test_options_of_several_words_end_at_the_next_option() -> None:
    assert repeated(["t", "--like", "a", "b", "--json"]) == [
        "t",
        "--like",
        "a",
        "--like",
        "b",
        "--json",
    ]
    assert repeated(["t", "--like", "a", "--", "b"]) == ["t", "--like", "a", "--", "b"]
    assert repeated(["--like"]) == ["--like"]
