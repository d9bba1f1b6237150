"""A notebook in which galaxies are labelled keeps ids and labels, and not one byte of an image."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image
from places import ROOT
from tables_of import table_of

from gzfeatures.errors import InputError, MissingExtraError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.maps.map import Map
from gzfeatures.verbs.teaching import teach

pytest.importorskip("anywidget")

N = 60
SHOWN = """import gzfeatures as gz
view = gz.teach("table.parquet", "images/", "mine.csv", map="chart.map.parquet")
view"""
TOLD = "view, view.labels.counts, type(view.labels).__name__"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table, its map, noisy images, and a label file with one galaxy."""
    rng = np.random.default_rng(0)
    table = table_of(rng.normal(size=(N, 6)))
    table.write(tmp_path / "table.parquet")
    space = FeatureSpace.fit(table.matrix)
    Map(table.ids, table.matrix[:, :2], {"n_neighbors": 5}, {}, space, table.matrix).write(
        tmp_path / "chart.map.parquet"
    )
    (tmp_path / "images").mkdir()
    for name in table.ids:
        pixels = rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.jpg", quality=90)
    (tmp_path / "mine.csv").write_text("galaxy_id,label\ng0007,ring\n")
    return tmp_path


async def executed(book: Any, folder: Path) -> list[dict[str, Any]]:
    """Execute a notebook; between its cells a click arrives, and the page is asked for, by comm."""
    client = nbclient.NotebookClient(
        book, timeout=300, startup_timeout=300, resources={"metadata": {"path": folder}}
    )
    replies: list[dict[str, Any]] = []
    async with client.async_setup_kernel():
        await client.async_execute_cell(book.cells[0], 0)
        bundle = book.cells[0].outputs[-1]["data"]
        comm = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
        click = {"id": "g0003", "label": "odd", "asked": "user", "round": 0, "who": "", "when": ""}
        for what, content in (("page", {"part": 0}), ("answers", {"answers": [click]})):
            asked = {"request": what, "what": what, "content": content}
            data = {"method": "custom", "content": asked}
            message = client.kc.session.msg("comm_msg", {"comm_id": comm, "data": data})
            client.kc.shell_channel.send(message)
            reply: dict[str, Any] = {}
            while reply.get("content", {}).get("data", {}).get("method") != "custom":
                reply = await client.kc.get_iopub_msg(timeout=300)
                if reply["msg_type"].startswith("comm"):
                    client.handle_comm_msg(book.cells[0].outputs, reply, 0)
            replies.append(reply)
        await client.async_execute_cell(book.cells[1], 1)
    # what nbclient does at the end of `execute`
    client.set_widgets_metadata()
    return replies


@pytest.mark.filterwarnings("default")  # of the kernel's own libraries
def test_a_saved_notebook_keeps_labels_and_ids_and_no_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    cells = [nbformat.v4.new_code_cell(source) for source in (SHOWN, TOLD)]
    book = nbformat.v4.new_notebook(cells=cells)
    page, kept = asyncio.run(executed(book, folder))
    # the page with its images did reach whoever looked at it, and the click is on the disk
    html = gzip.decompress(bytes(page["buffers"][0])).decode()
    sheet = re.search(r'id="sheet-0">([^<]*)<', html)
    assert sheet is not None and base64.b64decode(sheet[1]).startswith(b"\xff\xd8")
    assert kept["content"]["data"]["content"]["answer"] == {"labels": 2}
    assert read_labels(folder / "mine.csv")[0].counts == {"odd": 1, "ring": 1}
    told = cells[1].outputs[-1]["data"]["text/plain"]
    assert told == "(2 labels in mine.csv, {'odd': 1, 'ring': 1}, 'Labels')"
    nbformat.write(book, folder / "saved.ipynb")
    text = (folder / "saved.ipynb").read_text("utf-8")
    states = book.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    (answers,) = [
        each["state"]["answers"] for each in states.values() if "answers" in each["state"]
    ]
    assert answers == {"g0007": "ring", "g0003": "odd"}
    # neither whole nor in part: no buffer, no base64, no markup of the page, no name of an image
    assert len(text) < 25_000 < len(page["buffers"][0])
    assert not any(each.get("buffers") for each in states.values())
    assert not re.search(r"[A-Za-z0-9+/]{200}", text)
    for word in (sheet[1][:60], "data:image", "image/", "<html", ".jpg", "g0008"):
        assert word not in text, word


def test_without_anywidget_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    # before the map is computed, which would take seconds, and before the label file is read
    with pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[jupyter\]'") as raised:
        teach(folder / "no.parquet", labels=folder / "no" / "labels.csv", widget=True)
    assert len(str(raised.value).splitlines()) == 1
    monkeypatch.undo()
    with pytest.raises(InputError, match="must be left out where a widget"):
        teach(folder / "table.parquet", labels=folder / "mine.csv", widget=True, port=8000)
