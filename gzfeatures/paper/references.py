"""Collect references that a paper about a run should cite, such as software and data."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from gzfeatures import __version__
from gzfeatures.errors import GzError
from gzfeatures.evaluation.statistics.interval_methods import INTERVAL_METHODS
from gzfeatures.features.backbones import BACKBONES, backbone
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.kinds import KINDS
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.paper.finished_run import FinishedRun

TYPES = (("journal", "article"), ("booktitle", "inproceedings"), ("howpublished", "misc"))
"""(field, BibTeX type): the first field in this list that a reference has decides its type."""
FIELDS = ("author", "title", "journal", "booktitle", "howpublished", "volume", "pages", "year",
          "doi", "eprint")  # fmt: skip
"""Fields of a BibTeX entry, in the order in which they are written."""
HEAD_LIBRARY = {"xgboost": "xgboost", "xgboost-regressor": "xgboost"}
"""Head → library that fits it; all other heads are fitted by scikit-learn."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Store one reference of a paper: BibTeX key, label in the text, and BibTeX fields.

    Parameters
    ----------
    key : str
        BibTeX key.
    label : str
        Authors and year, such as "He+2015", as the texts of gzfeatures cite the reference.
    fields : tuple of (str, str)
        BibTeX fields (name, value) in order; values are not yet escaped for LaTeX.
    software : str
        Software library that the reference is about; "" if it is not about a library.
    networks : tuple of str
        Families of torchvision's networks that the reference is about.
    """

    key: str
    label: str
    fields: tuple[tuple[str, str], ...]
    software: str = ""
    networks: tuple[str, ...] = ()

    @property
    def doi(self) -> str:
        """Return the DOI of this reference; "" if it has none."""
        return dict(self.fields).get("doi", "")

    def bibtex(self) -> str:
        """Return this reference as a BibTeX entry."""
        names = [name for name, _ in self.fields]
        kind = next(kind for field, kind in TYPES if field in names)
        lines = []
        for name, value in self.fields:
            # put a title in double braces, which make BibTeX keep its capital letters
            text = f"{{{_latex(value)}}}" if name == "title" else _bibtex(name, value)
            lines.append(f"  {name} = {{{text}}},")
        if "eprint" in names:
            lines.append("  archivePrefix = {arXiv},")
        return "\n".join([f"@{kind}{{{self.key},", *lines, "}"])


@cache
def references() -> dict[str, Reference]:
    """Return BibTeX key → reference, for gzfeatures and all references in `references.toml`."""
    text = files("gzfeatures.paper").joinpath("references.toml").read_text("utf-8")
    entries = {"gzfeatures": _own()}
    for key, entry in tomllib.loads(text).items():
        fields = tuple((name, str(entry[name])) for name in FIELDS if name in entry)
        entries[key] = Reference(
            key, entry["label"], fields, entry.get("software", ""), tuple(entry.get("networks", ()))
        )
    return entries


def _own() -> Reference:
    """Return the reference of gzfeatures itself, with the installed version."""
    fields = (
        ("author", "{The gzfeatures developers}"),
        ("title", f"gzfeatures {__version__}: embeddings, classifiers and maps of galaxies"),
        ("howpublished", "Python package"),
    )
    return Reference("gzfeatures", "The gzfeatures developers", fields)


@dataclasses.dataclass(frozen=True)
class Citations:
    """Store the references for a paper about a run, and remarks on what its author must check.

    Parameters
    ----------
    references : tuple of Reference
        References, each only once.
    unknown : tuple of str
        Sentences about sources for which gzfeatures knows no reference.
    """

    references: tuple[Reference, ...]
    unknown: tuple[str, ...] = ()

    def bibtex(self) -> str:
        """Return BibTeX text: first the remarks for the author as comments, then the references."""
        # write the notes before the entries, where BibTeX ignores all text except @, which begins
        # an entry: replace it
        notes = [f"% {note.replace('@', ' at ')}" for note in self.unknown]
        entries = [reference.bibtex() for reference in self.references]
        return "\n\n".join(["\n".join(notes), *entries] if notes else entries) + "\n"


def citations(run: FinishedRun) -> Citations:
    """Return the references that a paper about a run should cite.

    Parameters
    ----------
    run : FinishedRun
        The run, from `read_run`. Only software that the run used is cited. The run's catalog is
        read to find out which Galaxy Zoo campaign made it; if the file is gone, a note says so.
    """
    found: dict[str, Reference] = {}
    unknown: list[str] = []
    steps = (_software(run), _data(run), _scheme(run), _networks(run), statistics_of(run))
    for each in (item for step in steps for item in step):
        if isinstance(each, Reference):
            found[each.key] = each
        else:
            unknown.append(each)
    return Citations(tuple(found.values()), tuple(dict.fromkeys(unknown)))


def of_software(library: str) -> Reference:
    """Return the reference of a software library."""
    return next(entry for entry in references().values() if entry.software == library)


def of_network(architecture: str) -> Reference | None:
    """Return the reference of a network by torchvision's name; None if it is unknown.

    Examples
    --------
    >>> of_network("resnet50").label
    'He+2015'
    """
    name = architecture.lower().replace("-", "_")
    families = {family: each for each in references().values() for family in each.networks}
    # `name` may begin with several families (efficientnet, efficientnet_v2): choose the longest
    begins = [family for family in families if name.startswith(family)]
    return families[max(begins, key=len)] if begins else None


def of_source(text: str) -> list[Reference]:
    """Return the references whose DOI or label is contained in a text."""
    return [
        each
        for each in references().values()
        if (each.doi and each.doi in text) or re.search(rf"{re.escape(each.label)}\b", text)
    ]


def libraries_of(run: FinishedRun) -> list[str]:
    """Return the libraries that a run certainly used, in the order of the methods paragraph."""
    used = ["torch", "torchvision"]
    if any(each.approach != "frozen" for each in run.report.candidates):
        used.append("lightning")
    heads = {each.head for each in run.report.candidates if each.head is not None}
    used += sorted({HEAD_LIBRARY.get(head, "scikit-learn") for head in heads})
    if (run.folder / "map.parquet").exists():
        used.append("umap-learn")
    return [*used, "numpy", "pandas"]


def architecture_of(run: FinishedRun, name: str) -> str:
    """Return torchvision's name for the architecture of a run's backbone or network."""
    if name in BACKBONES:
        return BACKBONES[name].architecture
    # the run may have trained a network of this name: look for its checkpoint in the run's folder
    for place in sorted((run.folder / "networks").glob("*")):
        try:
            entry = backbone(place)
        except GzError:
            continue
        if entry.name == name:
            return entry.architecture
    return name


def _software(run: FinishedRun) -> Iterator[Reference]:
    yield references()["gzfeatures"]
    for library in libraries_of(run):
        yield of_software(library)


def _data(run: FinishedRun) -> Iterator[Reference | str]:
    """Yield references of the run's catalogs, which are recognised by their columns.

    For each catalog also yield a sentence that asks the paper's author to check or add a reference.
    """
    galaxies = run.settings.galaxies
    for entry in (galaxies, *galaxies.training_only):
        path = Path(entry.catalog)
        try:
            kind = Catalog.read(path, id_column=entry.id_column).kind
        except GzError:
            yield f"catalog {path.name} cannot be read now: cite where its galaxies come from"
            continue
        known = of_source(KINDS[kind].source) if kind in KINDS else []
        yield from known
        # ask the author to check: a simulated catalog may have the same columns as a published one
        if known:
            yield f"catalog {path.name} is cited by its columns ({kind}): is it from there?"
        else:
            yield f"catalog {path.name} ({kind}): cite where its galaxies come from"


def _scheme(run: FinishedRun) -> Iterator[Reference | str]:
    name = run.scheme
    if name in SCHEMES:
        known = of_source(SCHEMES[name].source)
        yield from known
        if not known:
            yield f"class scheme {name}: {SCHEMES[name].source}"


def _networks(run: FinishedRun) -> Iterator[Reference | str]:
    names = dict.fromkeys(each.backbone for each in run.report.candidates)
    for name in names:
        for part in name.split(" + "):
            architecture = architecture_of(run, part)
            reference = of_network(architecture)
            yield reference or f"network {part}: no reference of {architecture} is known"


def statistics_of(run: FinishedRun) -> Iterator[Reference]:
    """Yield references for the statistical methods by which a run's ranking was computed."""
    yield from of_source(INTERVAL_METHODS.get(run.report.comparison.metric, ""))
    if len(run.report.comparison.ranking) > 1:
        yield references()["romano2005"]
    winner = run.report.comparison.winner
    if winner is not None and winner.among > 1:
        yield references()["tsamardinos2018"]


SPECIAL = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_"}
REST = {"{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}", "<": r"\textless{}", ">": r"\textgreater{}"}  # fmt: skip

MEANT, EVERY = str.maketrans(SPECIAL), str.maketrans(SPECIAL | REST)


def escape_latex(text: str) -> str:
    """Escape text for LaTeX; control characters and line breaks become blanks.

    Examples
    --------
    >>> escape_latex("a_b & 50%")
    'a\\\\_b \\\\& 50\\\\%'
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return plain.translate(EVERY)


def _latex(text: str) -> str:
    """Escape text of `references.toml` for LaTeX, but leave braces, which group letters there."""
    return text.translate(MEANT)


def _bibtex(name: str, value: str) -> str:
    """Return the value of a BibTeX field, escaped unless it is an identifier."""
    return value if name in ("doi", "eprint") else _latex(value)
