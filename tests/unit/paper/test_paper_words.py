"""Tables, references and the methods paragraph of a paper: the run's numbers, nothing invented."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pybtex.database import parse_string
from pypdf import PdfReader
from reports import finished, labelled, report
from torchvision import models

from gzfeatures.errors import UnknownNameError
from gzfeatures.evaluation.statistics.interval_methods import INTERVAL_METHODS
from gzfeatures.galaxies.catalogs.kinds import KINDS
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.paper.finished_run import FinishedRun, read_run
from gzfeatures.paper.methods import methods_paragraph
from gzfeatures.paper.ranking_table import FORMS, ranking_table
from gzfeatures.paper.references import citations, escape_latex, of_network, of_source, references


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("words") / "run"
    finished(folder)
    return read_run(folder)


def numbers_in(value: Any) -> list[float]:
    """Every number of a JSON value, those inside texts too."""
    if isinstance(value, dict):
        return [n for each in (*value, *value.values()) for n in numbers_in(each)]
    if isinstance(value, list):
        return [n for each in value for n in numbers_in(each)]
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, (int, float)):
        return [float(value)]
    return [float(text) for text in re.findall(r"\d+(?:\.\d+)?", value)]


@pytest.mark.parametrize("form", ["text", "latex"])
def test_every_number_of_the_methods_paragraph_stands_in_the_run(
    run: FinishedRun, form: str
) -> None:
    text = methods_paragraph(run, form)
    known = [n for name in ("report.json", "experiment.json")
             for n in numbers_in(json.loads((run.folder / name).read_text()))]  # fmt: skip
    known += [float(len(run.report.candidates)), float(len(run.report.labels))]
    # years of references and keys are those of the list
    text = re.sub(r"\\cite[pt]\{[^}]*\}", "", text)
    for each in references().values():
        text = text.replace(each.label, "")
    text = text.replace(run.report.split.fingerprint[:12], "")
    found = re.findall(r"(?<![\w.])\d+(?:\.\d+)*%?", text.replace("\\%", "%"))
    assert len(found) > 15
    versions = set(run.provenance["versions"].values()) | {run.provenance["python"]}
    for each in found:
        if each in versions:
            continue
        value = float(each.rstrip("%")) / (100 if each.endswith("%") else 1)
        digits = len(each.rstrip("%").partition(".")[2]) + 2 * each.endswith("%")
        assert any(abs(round(n, digits) - value) < 1e-9 for n in known), each


def test_a_changed_number_would_be_found(run: FinishedRun) -> None:
    accuracy = run.report.ranked[0][0].metrics["accuracy"]
    assert f"{accuracy:.3f}" in methods_paragraph(run)
    assert "17 galaxies are left out: no rule claims it." in methods_paragraph(run)


def test_the_paragraph_cites_keys_that_the_bibliography_has(run: FinishedRun) -> None:
    text = methods_paragraph(run, "latex")
    keys = {key for group in re.findall(r"\\cite[pt]\{([^}]*)\}", text) for key in group.split(",")}
    entries = parse_string(citations(run).bibtex(), "bibtex").entries
    assert len(keys) > 8 and keys <= set(entries)
    assert {"sandler2018", "he2015", "zhu2019", "willett2013", "romano2005"} <= set(entries)


def test_the_whole_list_of_references_is_read_by_a_bibtex_library() -> None:
    every = references()
    text = "\n\n".join(each.bibtex() for each in every.values())
    entries = parse_string(text, "bibtex").entries
    assert set(entries) == set(every)
    for key, entry in entries.items():
        assert entry.persons["author"] and entry.fields["title"]
        if key != "gzfeatures":
            assert entry.fields["year"] in every[key].label or key == "liu2021"
            assert {"doi", "eprint", "howpublished", "journal"} & set(entry.fields)
    assert len({each.label for each in every.values()}) == len(every)


def test_every_classifier_of_torchvision_has_a_reference() -> None:
    for name in models.list_models(module=models):
        assert of_network(name) is not None, name
    assert of_network("efficientnet-v2-s").key == "tan2021"  # type: ignore[union-attr]
    assert of_network("wide_resnet50_2").key == "zagoruyko2016"  # type: ignore[union-attr]
    assert of_network("swin_v2_b").key == "liu2021v2"  # type: ignore[union-attr]
    assert of_network("tomi") is None


def test_every_doi_that_schemes_catalogs_and_intervals_name_is_known() -> None:
    texts = [*(each.source for each in SCHEMES.values()), *(each.source for each in KINDS.values())]
    for text in texts:
        dois = re.findall(r"10\.\d{4,}/[\w.()/-]+\w", text)
        assert len(of_source(text)) >= len(set(dois)), text
    for method in INTERVAL_METHODS.values():
        years = set(re.findall(r"\b(?:19|20)\d\d\b", method))
        assert len(of_source(method)) >= len(years), method


def test_a_source_without_a_known_reference_is_named_not_guessed(tmp_path: Path) -> None:
    made = report()
    finished(tmp_path, made)
    record = json.loads((tmp_path / "report.json").read_text())
    record["scheme"] = "q1-3class-faithful"
    (tmp_path / "report.json").write_text(json.dumps(record))
    found = citations(read_run(tmp_path))
    assert any("q1-3class-faithful: iled/galaxyzoo (2017)" in note for note in found.unknown)
    # the catalog of this run was never there
    assert any("catalog.csv cannot be read now" in note for note in found.unknown)
    text = found.bibtex()
    assert text.startswith("% ") and parse_string(text, "bibtex").entries
    assert "@" not in text[: text.index("@misc")].replace("% ", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_table_has_each_candidate_once_with_intervals(run: FinishedRun, form: str) -> None:
    text = ranking_table(run.report.comparison, form)
    for candidate in run.report.candidates:
        assert candidate.backbone in text
    if form == "csv":
        table = pd.read_csv(io.StringIO(text))
        assert len(table) == 4
        assert (table["accuracy_low"] < table["accuracy"]).all()
        # pandas 2 reads the last digit of a number as it likes
        digits = [float(row["accuracy"]) for row in csv.DictReader(io.StringIO(text))]
        assert digits == [row.metrics["accuracy"] for row in run.report.comparison.ranking]
    else:
        assert "tested as one family at 90" in text


def test_names_with_markup_are_text_in_every_form(tmp_path: Path) -> None:
    made = report(labelled())
    rows = made.comparison.ranking
    for number, row in enumerate(rows):
        object.__setattr__(row, "backbone", f"net_{number} & 5% $x$ #1 {{y}} ~^\\z <b> | [a](b)")
    latex = ranking_table(made.comparison, "latex")
    body = latex[latex.index(r"\hline") :]
    # each row keeps the number of its columns, and no sign is left that LaTeX would obey
    for line in body.splitlines():
        if line.startswith(tuple("1234")):
            assert len(re.findall(r"(?<!\\)&", line)) == 7
            assert r"net\_" in line and r"5\%" in line and r"\{y\}" in line and r"\#1" in line
    markdown = ranking_table(made.comparison, "markdown")
    assert "<b>" not in markdown and r"\|" in markdown and r"\[a\]" in markdown


def test_latex_compiles_where_a_tex_engine_is(tmp_path: Path) -> None:
    engine = shutil.which("tectonic") or shutil.which("pdflatex")
    if engine is None:
        pytest.skip("neither tectonic nor pdflatex is installed")
    made = report(labelled())
    for number, row in enumerate(made.comparison.ranking):
        object.__setattr__(row, "backbone", f"net_{number} & 5% $x$ #1 {{y}} ~^\\z <b> | [a](b)")
    table = ranking_table(made.comparison, "latex")
    source = tmp_path / "paper.tex"
    source.write_text(
        "\\documentclass{article}\n\\begin{document}\n" + table + "\n\\end{document}\n",
        encoding="utf-8",
    )
    quiet = [] if "tectonic" in engine else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run(
        [engine, *quiet, source.name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:]
    pages = PdfReader(tmp_path / "paper.pdf").pages
    text = "".join(page.extract_text() for page in pages)
    assert "Candidate" in text and text.count("net") >= 4


def test_escaped_text_has_no_command_and_no_control_character() -> None:
    assert escape_latex("\\input{x}\n\x1b$") == r"\textbackslash{}input\{x\}  \$"


def test_unknown_forms_are_refused(run: FinishedRun) -> None:
    with pytest.raises(UnknownNameError, match="form of a table"):
        ranking_table(run.report.comparison, "word")
    with pytest.raises(UnknownNameError, match="form of a methods paragraph"):
        methods_paragraph(run, "word")
