"""What every verb prints on a terminal of 80 columns, compared with a file for each.

`pytest tests/end_to_end/printed --rewrite-printed` writes the files anew; look at their difference.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from cutout_server import cutouts_served
from faults.steps import lay
from reports import finished
from shortcuts.undrawn import undrawn
from typer.testing import CliRunner
from verbs import app

from gzfeatures.cli import CHAPTERS

GOLDEN = Path(__file__).parent / "golden"
WIDTH = 80
NETWORK = "--backbone resnet18 --weights none --view size=32"
CASES = {
    "check": "check catalog.csv --images images",
    "label": "label catalog.csv --scheme smooth-featured -o out/labels.csv",
    "join": "join catalog.csv hart.csv --on GalaxyID=asset_id -o out/joined.parquet",
    "join-sky": "join positions.csv positions.csv --sky 1 --suffix _2 -o out/pairs.fits",
    "sample": "sample catalog.csv --scheme smooth-featured -o out/sample.csv",
    "cutouts": "cutouts positions.csv -o out/cut --base-url {url} --pixels 32 --workers 1",
    "new": "new out/mine.toml --images images --labels labels.csv",
    "list-backbones": "list backbones",
    "list-heads": "list heads",
    "list-schemes": "list schemes",
    "list-networks": "list networks",
    "plan": f"plan images {NETWORK} --seconds 1",
    "extract": f"extract images {NETWORK} -o out/table.parquet",
    "extract-several": f"extract images {NETWORK} --view size=40 -o out/tables",
    "store": "store show",
    "fit": "fit table.parquet --labels labels.csv -H prototype -H svm -H logistic -o out/heads",
    "fit-number": "fit table.parquet --labels catalog.csv --target Class1.1 --as-number -H ridge "
    "-o out/numbers",
    "predict": "predict out/heads/svm.skops table.parquet --labels labels.csv -o out/classes.csv",
    "export": "export out/heads/prototype.skops --from vectors --check-on table.parquet -o "
    "out/head.onnx",
    "finetune": "finetune images --labels labels.csv --network engel --view size=32 --epochs 1 -o "
    "out/tuned",
    "run": "run small.toml -o out/run --set networks=[] --set map=false",
    "record": "record out/run",
    "compare": "compare out/run",
    "ui": "ui",
    "map": "map table.parquet --labels labels.csv --images images -o out/map.html",
    "teach": "teach table.parquet --images images --labels out/mine.csv",
    "find": "find table.parquet spiral --labels catalog.csv -o out/found.csv",
    "similar": "similar table.parquet 10000007 --images images -o out/like.csv --gallery "
    "out/like.html",
    "odd": "odd table.parquet --images images -o out/odd.csv --gallery out/odd.html",
    "duplicates": "duplicates table.parquet -o out/twins.csv",
    "doubt": "doubt table.parquet --labels some.csv -H prototype -o out/doubt.csv --next "
    "out/next.csv",
    "explain": "explain out/tuned 10000007 --images images --method grad-cam -o out/why.html",
    "audit": "audit table.parquet --labels labels.csv --catalog positions.csv --draws 19 -o "
    "out/audit",
    "table-import": "table import table.parquet -o out/imported.parquet",
    "table-export": "table export table.parquet -o out/table.npz",
    "table-join": "table join table.parquet table.parquet -o out/joined-table.parquet",
    "table-index": "table index table.parquet -o out/table.index",
    "table-slice": "table slice table.parquet --ids labels.csv -o out/some.parquet",
    "table-repair": "table repair table.parquet --like table.parquet -o out/whole.parquet",
    "table-compare": "table compare table.parquet table.parquet --labels labels.csv",
    "table-info": "table info table.parquet",
    "figure": "figure finished --kind ranking -o out/ranking.pdf",
    "cite": "cite finished -o out/run.bib",
    "methods": "methods finished",
}
"""Each verb in the order of the work, so that one reads what another wrote."""
WRITTEN_BY = {"demo": "run"}
"""Verbs that print what another prints, about a survey of their own."""
MASKS = (
    # paths of this machine, digests, and pages of a library that differ with its version
    (r"(sqlite|file)://\S+", "ADDRESS"),
    (r"(?<![\w.:-])(?:/[\w.+-]+){2,}/?", "PATH"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,64}\b", "DIGEST"),
    (r"[━─╸╺]+", "─"),
    (r"[-\d]+:[-\d]{2}:[-\d]{2}", "TIME"),
    # figures differ by library and machine, and so does the room that they take
    (r"[-+]?\d[\d,.]*(e[-+]?\d+)?", "0"),
    (r"[ \t]+", " "),
)
"""What is masked before the comparison, in this order."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = lay(tmp_path_factory.mktemp("printed") / "desk")
    finished(folder / "finished")
    (folder / "out").mkdir()
    # a command sets this level before it imports MLflow, which other tests may have imported
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch, undrawn():
        patch.chdir(folder)
        patch.setenv("GZFEATURES_STORE", str(folder.with_name("store")))
        yield folder
    logger.setLevel(level)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cutouts_served() as server:
        yield server.url


def printed(words: list[str], width: int | None = WIDTH) -> str:
    """Both streams of a verb on a terminal; what serves until it is stopped ends at once."""
    environment = {"COLUMNS": str(width)} if width else {}
    with (
        mock.patch("gzfeatures.verbs.teaching.teach"),
        mock.patch("gzfeatures.tracking.Tracking.ui"),
    ):
        result = CliRunner().invoke(app, words, env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return str(result.output)


def masked(text: str) -> str:
    """What has to stay as it is."""
    # where a line is broken depends on the figures in it
    text = re.sub(r"(?: \\)?\n {2,}(?=\S)", " ", text)
    for pattern, sign in MASKS:
        text = re.sub(pattern, sign, text)
    return "\n".join(line.strip() for line in text.splitlines()).strip("\n") + "\n"


@pytest.mark.parametrize("name", CASES)
def test_a_verb_prints_what_its_file_says(
    name: str, desk: Path, url: str, pytestconfig: pytest.Config
) -> None:
    text = printed(CASES[name].format(url=url).split())
    path = GOLDEN / f"{name}.txt"
    if pytestconfig.getoption("--rewrite-printed"):
        path.write_text(masked(text), encoding="utf-8")
    assert masked(text) == path.read_text(encoding="utf-8"), text
    # a path longer than the line stays whole, and nothing else is longer
    long = [line for line in text.splitlines() if len(line.rstrip()) > WIDTH]
    assert [line for line in long if max(map(len, line.split())) < WIDTH - 30] == [], text


@pytest.mark.parametrize("name", CASES)
def test_a_verb_ends_in_what_comes_next(name: str) -> None:
    last = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").splitlines()[-1]
    assert re.match("(next|then): ", last), last


def test_every_verb_has_a_file() -> None:
    verbs = {verb for chapter in CHAPTERS.values() for verb in chapter}
    shown = {words.split()[0] for words in CASES.values()}
    assert shown | {*WRITTEN_BY} == verbs and not shown & {*WRITTEN_BY}
    assert {path.stem for path in GOLDEN.iterdir()} == {*CASES}


def test_figures_paths_and_digests_are_masked_and_words_are_not() -> None:
    text = "svm  0.951 (0.9–1) /tmp/a/b.csv 12s 9f86d081884c7d659a2feaa0 → next"
    assert masked(text) == "svm 0 (0–0) PATH 0s DIGEST → next\n"
