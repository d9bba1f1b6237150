"""Pages of galleries and maps show hostile ids, class names and titles as text."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

import gzfeatures
from gzfeatures.figures.gallery import Gallery, Picture
from gzfeatures.figures.page_template import page_template
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.maps.map_page import MapPage

HOSTILE = "\"></script><script>alert('x')</script><!--{{ 7*7 }}{% raw %}&amp;"
PACKAGE = Path(gzfeatures.__file__).parent


def gallery(folder: Path) -> str:
    pictures = [Picture(HOSTILE, HOSTILE, Image.new("RGB", (8, 8))), Picture(HOSTILE, "", None)]
    shown = Gallery(HOSTILE, HOSTILE, {HOSTILE: pictures})
    return shown.write(folder / "gallery.html").read_text(encoding="utf-8")


def map_page(folder: Path) -> str:
    ids = np.array([HOSTILE, "b", "c", "d"], dtype=object)
    labels = Labels(ids, (HOSTILE, "other"), np.array([0, 1, 0, 1]), scheme=HOSTILE)
    places = np.arange(8, dtype=np.float32).reshape(4, 2)
    page = MapPage(ids, places, places, {HOSTILE: HOSTILE}, {}, title=HOSTILE, labels=labels)
    return page.write(folder / "map.html").read_text(encoding="utf-8")


def test_a_gallery_shows_hostile_text_as_text(tmp_path: Path) -> None:
    text = gallery(tmp_path)
    assert "<script" not in text and "<!--{{" not in text
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)") == 7 and text.count("{{ 7*7 }}") == 7
    assert "Content-Security-Policy" in text


def test_a_map_shows_hostile_text_as_text_and_its_data_are_whole(tmp_path: Path) -> None:
    text = map_page(tmp_path)
    scripts = re.findall(r"<script[^>]*>", text)
    assert set(scripts) == {"<script>", '<script type="application/json" id="data">'}
    assert "alert('x')" not in text and "<!--{{" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert data["title"] == data["ids"][0] == HOSTILE and data["settings"] == {HOSTILE: HOSTILE}
    assert HOSTILE in data["columns"][0]["classes"]


def test_a_template_that_names_what_it_is_not_given_is_no_page() -> None:
    with pytest.raises(UndefinedError):
        page_template("gzfeatures.figures", "templates", "gallery.html").render()


def making_pages(root: Path) -> set[str]:
    """Modules that write the end of an HTML element, or escape text for one, by themselves."""
    places = set()
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            ends = isinstance(text, str) and re.search(r"</\w+>", text)
            escapes = isinstance(node, ast.Attribute) and ast.unparse(node) == "html.escape"
            if ends or escapes:
                places.add(path.relative_to(root).as_posix())
    return places


def test_pages_are_made_by_templates_alone() -> None:
    # the policy goes into a page that is written, whose texts are escaped by then; what objects
    # show in a notebook cell is no page, and one module makes and escapes it
    assert making_pages(PACKAGE) == {"figures/content_policy.py", "brief.py"}


def test_a_module_that_makes_a_page_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def f(x):\n    return f'<b>{x}</b>'\n")
    (tmp_path / "two.py").write_text("import html\nx = html.escape('y')\n")
    (tmp_path / "three.py").write_text("x = 1 < 2\n")
    assert making_pages(tmp_path) == {"one.py", "two.py"}
