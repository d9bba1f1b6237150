"""What is added touches only the files that docs/house.md names: one of each, in a copy of the
package."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from processes import Forks

import gzfeatures

PACKAGE = Path(gzfeatures.__file__).parent
HOUSE = PACKAGE.parent / "docs" / "house.md"


@dataclasses.dataclass(frozen=True)
class Edit:
    """What is written into a file: `new` after a piece of its text, and `above` before that piece.

    Parameters
    ----------
    file : str
        Module, below the package.
    anchor : str
        Text that is there exactly once; empty for the end of the file.
    new, above : str
        What is put in.
    """

    file: str
    anchor: str
    new: str
    above: str = ""

    def apply(self, package: Path) -> None:
        """Make the edit in a copy of the package."""
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        if not self.anchor:
            path.write_text(text + self.new, encoding="utf-8")
            return
        assert text.count(self.anchor) == 1, (self.file, self.anchor)
        whole = self.above + self.anchor + self.new
        path.write_text(text.replace(self.anchor, whole), encoding="utf-8")


VERB = '''
"""A verb of one's own."""
from pathlib import Path
from typing import Annotated
import typer
from gzfeatures.cli.console import app, show
from gzfeatures.cli.options import Json
from gzfeatures.cli.writing import writes

@app.command(epilog="Example: gzfeatures count table.csv")
@writes()
def count(table: Annotated[Path, typer.Argument(help="A table.")], as_json: Json = False) -> None:
    """Count rows of a table."""
    from gzfeatures.tablefiles.tables import read_table
    show({"rows": len(read_table(table))}, as_json)
'''
MACHINE = '''
class MedianPrototype(Prototype):
    """Nearest class median."""

    def fit(self, X, y):
        super().fit(X, y)
        self.means_ = np.stack([np.median(X[y == code], 0) for code in self.classes_])
        return self


'''
READER = """
def _read_bars(path: Path) -> RawTable:
    rows = [line.split("|") for line in path.read_text("utf-8").splitlines()]
    return RawTable(rows[0], [pa.array(column) for column in zip(*rows[1:])])


"""
IMPORT = "from gzfeatures.heads.estimators.machines import MedianPrototype\n"
ADDITIONS: dict[str, list[Edit]] = {
    "a backbone": [
        Edit(
            "features/backbones.py",
            "BACKBONES: dict[str, Backbone] = {",
            '"mine": Backbone("mine", "resnet18", None, "avgpool", 512, view=View(size=32)),',
        )
    ],
    "a network": [
        Edit(
            "networks/models/architectures.py",
            "NETWORKS: dict[str, SmallNetwork] = {",
            '"mine": SmallNetwork("me, 2026", (("conv", 4, 3), ("flatten",)), size=16),',
        )
    ],
    "a head": [
        Edit(
            "heads/estimators/registry.py",
            "HEADS: dict[str, HeadKind] = {",
            '"mine": HeadKind("mine", "classes", "medians", "me, 2026", _CLASSES, {}),',
        ),
        Edit("heads/estimators/machines.py", "", MACHINE),
        Edit(
            "heads/estimators/build.py",
            "_MACHINES: dict[str, Callable[[Mapping[str, Any], int], Any]] = {",
            '"mine": lambda p, seed: MedianPrototype(),',
            above=IMPORT,
        ),
        Edit("heads/file_safety.py", '"estimators.machines": (', '"MedianPrototype", '),
        Edit(
            "heads/array_checks.py",
            "_MACHINES: dict[type, Callable[[Any, int, int], None]] = {",
            "MedianPrototype: _prototype,",
            above=IMPORT,
        ),
    ],
    "a class scheme": [
        Edit(
            "galaxies/labels/schemes.py",
            "_ALL: tuple[LabelScheme, ...] = (",
            'LabelScheme("mine", {"e": ("form in E",), "s": ("form in S",)}, "me, 2026"),',
        )
    ],
    "a reader of tables": [
        Edit(
            "tablefiles/tables.py",
            "_READERS: dict[str, Callable[[Path, tuple[str, ...], Collection[str]], RawTable]] = {",
            '".bars": _typed(lambda path, _: _read_bars(path)),',
            above=READER,
        )
    ],
    "a verb": [
        Edit("cli/__init__.py", "VERBS = {", '"counting": ("count",), '),
        Edit("cli/__init__.py", '"Heads on vectors": {', '"count": "Count rows of a table.", '),
    ],
}
SHOW = """
import importlib, json, sys
from pathlib import Path
import numpy as np
import pandas as pd
from PIL import Image
from typer.testing import CliRunner
import gzfeatures
from gzfeatures.cli import VERBS
from gzfeatures.cli.console import app

for module in VERBS:
    importlib.import_module(f"gzfeatures.cli.verbs.{module}")

def gz(*words):
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)

def listed(kind):
    return "mine" in [item["name"] for item in gz("list", kind)["items"]]

shown = {"package": str(Path(gzfeatures.__file__).parent)}

Path("images").mkdir()
for number in range(2):
    pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(f"images/g{number}.png")
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.extract import extract
table = extract(ImageSet.of("images"), "mine", weights="none", device="cpu", progress=False)
shown["a backbone"] = [listed("backbones"), list(table.matrix.shape)]

import torch
from gzfeatures.networks.models.architectures import build
shown["a network"] = [listed("networks"), list(build("mine", 3)(torch.zeros(1, 3, 16, 16)).shape)]

from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head
from gzfeatures.ids import as_ids
from gzfeatures.images.view import View
ids = as_ids([f"g{row:03d}" for row in range(90)])
digests = np.array([f"{row:064x}" for row in range(90)], dtype=object)
codes = np.arange(90) % 2
vectors = np.random.default_rng(0).normal(size=(90, 4)) + 9 * codes[:, None]
extractor = Extractor("toy", "toy", "random:0", "flatten", 4, View(size=32))
table = EmbeddingTable(ids, digests, vectors.astype(np.float32), extractor)
labels = Labels(ids, ("a", "b"), codes, scheme="toy")
split = Split.draw(labels)
path = fit(table, labels, "mine", split=split).write("mine.skops")
predicted = Head.read(path).predict(table)
shown["a head"] = [listed("heads"), bool((predicted.codes == codes).all())]

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
frame = pd.DataFrame({"galaxy_id": ["1", "2", "3"], "gz2_class": ["Ei", "Sb2m", "A"]})
counts = SCHEMES["mine"].label(Catalog.of(frame)).counts
shown["a class scheme"] = [listed("schemes"), counts]

Path("table.bars").write_text("galaxy_id|colour\\n007|red\\n008|blue\\n")
from gzfeatures.tablefiles.tables import read_table
shown["a reader of tables"] = read_table("table.bars").to_dict("list")

Path("table.csv").write_text("galaxy_id\\n1\\n2\\n3\\n")
shown["a verb"] = ["count" in CliRunner().invoke(app, ["--help"]).stdout, gz("count", "table.csv")]
Path("shown.json").write_text(json.dumps(shown))
"""


COPY = """
import os, sys
os.chdir(sys.argv[1])
sys.path.insert(0, sys.argv[1])
os.environ.pop("GZFEATURES_STORE", None)
"""
"""Begins a process in a copy of the package: its modules are imported, and its store is used."""


def files_to_touch() -> dict[str, set[str]]:
    """Thing to add → the files that docs/house.md names for it."""
    table = HOUSE.read_text(encoding="utf-8").partition("| to add | touch |")[2]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.count("|") == 3]
    named = {thing.strip(): set(re.findall(r"`([\w/]+\.py)`", files)) for thing, files in rows}
    return {thing: files for thing, files in named.items() if files}


def test_each_addition_is_in_the_house_and_touches_what_the_house_names() -> None:
    touched = {thing: {edit.file for edit in edits} for thing, edits in ADDITIONS.items()}
    assert touched == files_to_touch()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> dict[str, Any]:
    """What a process says that imports a copy of the package with one addition of each kind."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "gzfeatures"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in (edit for edits in ADDITIONS.values() for edit in edits):
        edit.apply(package)
    (package / "cli" / "verbs" / "counting.py").write_text(VERB, encoding="utf-8")
    homes = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
    process = forks.start(COPY + SHOW, [str(folder)], folder / "said", homes)
    complaints = process.rest(timeout=600)
    assert process.returncode == 0, complaints[-3000:]
    said: dict[str, Any] = json.loads((folder / "shown.json").read_text())
    assert said.pop("package") == str(package)  # else the installed package was shown
    return said


@pytest.mark.parametrize(
    ("thing", "evidence"),
    [
        ("a backbone", [True, [2, 512]]),
        ("a network", [True, [1, 3]]),
        ("a head", [True, True]),
        ("a class scheme", [True, {"e": 1, "s": 1}]),
        ("a reader of tables", {"galaxy_id": ["007", "008"], "colour": ["red", "blue"]}),
        ("a verb", [True, {"rows": 3}]),
    ],
)
def test_what_is_added_by_touching_those_files_is_listed_and_works(
    shown: dict[str, Any], thing: str, evidence: object
) -> None:
    assert shown[thing] == evidence
    assert shown.keys() == ADDITIONS.keys()
