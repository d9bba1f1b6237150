"""docs/tutorial.ipynb runs from top to bottom, and keeps its pictures out of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from places import ROOT

LONGEST = 6
"""Most lines of a cell: a page is read, not scrolled."""


def book() -> Any:
    return nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_in_the_repository_holds_no_output_and_short_cells() -> None:
    for cell in code(book()):
        assert cell.outputs == [] and cell.execution_count is None
        assert len(cell.source.splitlines()) <= LONGEST


@pytest.mark.filterwarnings("default")  # of the kernel's own libraries
def test_the_tutorial_runs_without_a_warning_and_shows_objects_and_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = book()
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=where).execute()
    shown = {cell.source.splitlines()[-1]: cell.outputs for cell in code(notebook)}
    streams = [each.text for outputs in shown.values() for each in outputs if "text" in each]
    assert not [text for text in streams if "arning" in text]
    cards = [
        output["data"]["text/html"]
        for outputs in shown.values()
        for output in outputs
        if output.output_type == "execute_result" and "text/html" in output["data"]
    ]
    assert len(cards) >= 7 and any('<img src="data:image/png' in card for card in cards)
    plots = [line for line, outputs in shown.items() if "image/png" in str(outputs)]
    assert {"gz.plot.confusion", "gz.plot.map", "gz.plot.gallery"} <= {
        line.partition("(")[0] for line in plots
    }
    assert (tmp_path / "svm.skops").exists()
