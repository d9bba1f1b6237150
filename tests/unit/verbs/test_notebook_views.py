"""Objects show themselves in a shell and in a notebook, and become other libraries' objects."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reports import report
from tables_of import table_of

import gzfeatures as gz
from gzfeatures import notebook
from gzfeatures.errors import InputError, MissingExtraError
from gzfeatures.experiment.run import Run
from gzfeatures.progress import SILENT, Terminal, handed

EVIL = "<script>alert(1)</script>"
CODES = np.arange(40) % 2


@pytest.fixture(scope="module")
def table() -> gz.EmbeddingTable:
    return table_of(np.random.default_rng(0).normal(size=(40, 3)) + 4 * CODES[:, None])


@pytest.fixture(scope="module")
def labels(table: gz.EmbeddingTable) -> gz.Labels:
    return gz.Labels(table.ids, ("disk", EVIL), CODES, scheme="two")


@pytest.fixture(scope="module")
def shown(table: gz.EmbeddingTable, labels: gz.Labels) -> dict[str, Any]:
    split = gz.Split.draw(labels, seed=0)
    head = gz.fit(table, labels, "logistic", split=split)
    catalog = gz.Catalog.of(pd.DataFrame({"objid": [1, 2], "note": [EVIL, "b"]}))
    made = report()
    run = Run(made, Path("runs/one"), None, None, None, 3.0)
    return {
        "Catalog(memory, 2 galaxies, 3 columns, kind table)": catalog,
        "Labels(two, 40 galaxies, 2 classes)": labels,
        "Split(28 train, 4 validation, 8 test)": split,
        "EmbeddingTable(40 galaxies × 3 numbers, toy, flatten)": table,
        "Head(logistic on toy, 2 classes of two)": head,
        "Predictions(40 galaxies, 2 classes)": head.predict(table),
        f"Comparison({len(made.comparison.ranking)} candidates, ": made.comparison,
        f"Run(runs/one, {len(made.comparison.ranking)} candidates, 3 s)": run,
    }


def test_an_object_is_one_line_in_a_shell(shown: dict[str, Any]) -> None:
    for line, thing in shown.items():
        assert repr(thing).startswith(line)
        assert "\n" not in repr(thing) and len(repr(thing)) < 150


def test_an_object_is_a_card_in_a_notebook_and_its_texts_are_escaped(shown: dict[str, Any]) -> None:
    cards = {line: thing._repr_html_() for line, thing in shown.items()}
    for line, html in cards.items():
        assert html.startswith("<div><b>") and html.endswith("</div>"), line
        assert "<script" not in html, line
    assert sum("&lt;script&gt;" in html for html in cards.values()) >= 3
    assert "28 (70%)" in cards["Split(28 train, 4 validation, 8 test)"]


def test_images_are_thumbnails_and_a_broken_one_is_named(tmp_path: Path) -> None:
    for number in range(10):
        Image.new("RGB", (20, 20), (200, 10 * number, 0)).save(tmp_path / f"g{number}.png")
    (tmp_path / "g1.png").write_bytes(b"no picture")
    images = gz.ImageSet.of(tmp_path)
    html = images._repr_html_()
    assert html.count('<img src="data:image/png;base64,') == 7
    assert "<span>g1: " in html and "and 2 more" in html
    assert repr(images) == f"ImageSet(10 images, {tmp_path})"


def test_numbers_and_fractions_show_themselves_too(table: gz.EmbeddingTable) -> None:
    numbers = gz.Labels(table.ids, ("mass",), np.arange(40.0)[:, None], "value")
    assert repr(numbers) == "Labels(custom, 40 galaxies, number mass)"
    assert "<td>median</td><td>19.5</td>" in numbers._repr_html_()
    assert numbers.to_series().name == "mass" and numbers.to_series()["g0003"] == 3
    fractions = gz.Labels(table.ids, ("a", "b"), np.full((40, 2), 0.5), "fractions")
    assert fractions.to_pandas().shape == (40, 2)
    with pytest.raises(InputError, match=r"labels as one column.*to_pandas"):
        fractions.to_series()


def test_labels_split_and_predictions_become_columns_by_galaxy_id(
    table: gz.EmbeddingTable, labels: gz.Labels, shown: dict[str, Any]
) -> None:
    series = labels.to_series()
    assert series.index.name == "galaxy_id" and series.tolist() == labels.names.tolist()
    split = shown["Split(28 train, 4 validation, 8 test)"]
    assert split.to_series().value_counts().to_dict() == {"train": 28, "test": 8, "validation": 4}
    predictions = shown["Predictions(40 galaxies, 2 classes)"]
    frame = predictions.to_pandas()
    np.testing.assert_array_equal(frame["disk"].to_numpy(), predictions.probabilities[:, 0])
    assert frame["predicted_class"].tolist() == predictions.names.tolist()
    assert series.loc[frame.index].shape == (40,)


def test_a_table_becomes_an_array_a_data_frame_and_a_tensor(table: gz.EmbeddingTable) -> None:
    frame = table.to_pandas()
    assert frame.columns.tolist() == ["vector_0", "vector_1", "vector_2"]
    np.testing.assert_array_equal(frame.loc["g0007"].to_numpy(), table.matrix[7])
    assert table.to_numpy() is not table.matrix
    tensor = table.to_torch()
    np.testing.assert_array_equal(tensor.numpy(), table.matrix)
    tensor[0] = 0  # the table itself stays
    assert table.matrix[0].any()


def test_a_table_becomes_anndata_where_that_is_installed(
    table: gz.EmbeddingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(MissingExtraError, match=r"'anndata' is not.*gzfeatures\[anndata\]"):
        table.to_anndata()
    # its constructor is recorded here; with the library itself see the test below
    module = ModuleType("anndata")
    module.AnnData = lambda X, **parts: SimpleNamespace(X=X, **parts)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "anndata", module)
    made = table.to_anndata()
    np.testing.assert_array_equal(made.X, table.matrix)
    assert made.obs.index.tolist() == table.ids.tolist()
    assert "toy" in made.uns["gzfeatures"]


def test_anndata_itself_keeps_vectors_ids_and_extractor(
    table: gz.EmbeddingTable, tmp_path: Path
) -> None:
    anndata = pytest.importorskip("anndata", reason="anndata takes no pandas 3: .ci/beside runs it")
    table.to_anndata().write_h5ad(tmp_path / "table.h5ad")
    again = anndata.read_h5ad(tmp_path / "table.h5ad")
    np.testing.assert_array_equal(again.X, table.matrix)
    assert again.obs_names.tolist() == table.ids.tolist()
    assert "toy" in again.uns["gzfeatures"]


class Display:
    """A kernel that keeps what it was told to show."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        shell = SimpleNamespace(kernel=object())
        package, display = ModuleType("IPython"), ModuleType("IPython.display")
        package.get_ipython = lambda: shell  # type: ignore[attr-defined]
        display.HTML = str  # type: ignore[attr-defined]
        display.display = self._show  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", package)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def _show(self, text: str, display_id: bool) -> SimpleNamespace:
        self.texts.append(text)
        return SimpleNamespace(update=self.texts.append)


def test_progress_in_a_notebook_is_a_bar_of_plain_html(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Display(monkeypatch)
    monkeypatch.setattr(notebook, "SECONDS_BETWEEN", 0)
    progress = handed(True)
    assert progress == notebook.Notebook()
    progress.say("a line")
    with progress.counted(EVIL, 2, unit="images") as advance:
        advance()
        advance(title="decoding")
    with progress.busy("thinking"):
        assert kernel.texts[-1] == "<div>thinking …</div>"
    assert kernel.texts[-1] == ""
    assert 'value="2" max="2"' in kernel.texts[-3] and "images/s" in kernel.texts[-3]
    assert not any("<script" in text for text in kernel.texts)
    assert capsys.readouterr() == ("a line\n", "")


def test_outside_of_a_kernel_progress_is_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert handed(True) == Terminal() and handed(False) is SILENT
