"""List published class schemes (rules that turn votes into classes); read others from files.

If the published rules have a defect, the scheme exists twice: corrected, and with `-faithful` in
its name as it was published.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, parsing, unknown
from gzfeatures.files import require_file
from gzfeatures.galaxies.labels.label_scheme import LabelScheme
from gzfeatures.galaxies.votes.votes import ANSWERS

_TOMI = (
    "SatoshiTomi/galaxy-morphology (2018), from gz2_class of Hart+2016 (doi:10.1093/mnras/stw1588)"
)
_STAR = {"star or artifact": ("form in A",)}

_EARLY = {
    "e0": ("form in E", "roundness in r"),
    "e3": ("form in E", "roundness in i"),
    "e7": ("form in E", "roundness in c"),
}
_EDGE_ON = {"edge-on": ("form in S", "edge in rbn")}
_DISK, _BARRED = ("bulge in abcd", "bar in -"), ("bulge in abcd", "bar in B")

_GZ2_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "gz2-2class": {"elliptical": ("form in E",), "spiral": ("form in S",)},
    "gz2-4class": {"en": ("form in E",), **_EDGE_ON, "sb": _BARRED, "s": _DISK},
    "gz2-8class": {
        **_EARLY,
        **_EDGE_ON,
        "s0": (*_DISK, "winding in -"),
        "sb0": (*_BARRED, "winding in -"),
        "sabc": (*_DISK, "winding in tml"),
        "sbabc": (*_BARRED, "winding in tml"),
    },
    "gz2-12class": {
        **_EARLY,
        **_EDGE_ON,
        "s0": (*_DISK, "winding in -"),
        "sb0": (*_BARRED, "winding in -"),
        "sa": (*_DISK, "winding in t"),
        "sb": (*_DISK, "winding in m"),
        "sc": (*_DISK, "winding in l"),
        "sba": (*_BARRED, "winding in t"),
        "sbb": (*_BARRED, "winding in m"),
        "sbc": (*_BARRED, "winding in l"),
    },
}
"""Schemes from GZ2 class strings; a, b and c are the winding of the arms, tight to loose.

The `-faithful` schemes look for the winding letter in the whole string, where they take the odd
features (m)erger and (l)ens for a winding.
"""

_HAZRA_RULES = (
    ("smooth > 0.8", "completely-round > 0.4"),
    ("smooth > 0.8", "in-between > 0.4"),
    ("features-or-disk > 0.8", "edge-on-yes > 0.4"),
)
_HAZRA_SOFT = ("completely-round", "in-between", "edge-on-yes")
_Q1 = {
    "smooth": "smooth",
    "features-or-disk": "features-or-disk",
    "star-or-artifact": "star-or-artifact",
}

_ALL: tuple[LabelScheme, ...] = (
    *(LabelScheme(name, classes, _TOMI, leave_out=_STAR) for name, classes in _GZ2_CLASSES.items()),
    *(
        LabelScheme(
            f"{name}-faithful",
            classes,
            f"{_TOMI}, winding searched in the whole string",
            reading="anywhere",
            leave_out=_STAR,
        )
        for name, classes in _GZ2_CLASSES.items()
    ),
    LabelScheme(
        "hazra-3class",
        dict(zip(("round", "in-between", "edge-on"), _HAZRA_RULES, strict=True)),
        "sayan0506/Galaxy-Classification-using-CNN (2020), its cuts under the names of the answers "
        "they cut on; a galaxy both round and in between is left out",
        soft=dict(zip(("round", "in-between", "edge-on"), _HAZRA_SOFT, strict=True)),
    ),
    LabelScheme(
        "hazra-3class-faithful",
        dict(zip(("elliptical", "lenticular", "spiral"), _HAZRA_RULES, strict=True)),
        "sayan0506/Galaxy-Classification-using-CNN (2020), its own names; a galaxy that it copied "
        "into two folders stands in the first",
        on_conflict="first",
        soft=dict(zip(("elliptical", "lenticular", "spiral"), _HAZRA_SOFT, strict=True)),
    ),
    LabelScheme(
        "tuning-fork",
        {
            "elliptical": ("smooth > 0.5",),
            "edge-on": ("edge-on-yes > 0.5",),
            "barred": ("bar-yes > 0.5",),
            "spiral": ("spiral-yes > 0.5",),
            "bulge": ("bulge-dominant > 0.5",),
            "merger": ("merger > 0.5",),
        },
        "timchilders/galaxyzoo2 (2023), rounded debiased fractions of Hart+2016; several or none "
        "may be true",
        target="multi-label",
        form="conditional",
        measures=("debiased", "weighted", "fraction", "count"),
    ),
    LabelScheme(
        "engel-esa",
        {"elliptical": ("form in E",), "spiral": ("form in S",), "artifact": ("form in A",)},
        "awe2/GZ2_project (2019), first letter of gz2class in zoo2MainSpecz (Willett+2013)",
    ),
    LabelScheme(
        "q1-3class",
        {name: (f"wins {answer}",) for name, answer in _Q1.items()},
        "the most voted answer of question 1; a tie is left out",
        soft=_Q1,
    ),
    LabelScheme(
        "q1-3class-faithful",
        dict.fromkeys(_Q1, ()),
        "iled/galaxyzoo (2017): the class is drawn with the vote fractions as probabilities, here "
        "once per galaxy",
        soft=_Q1,
        draw=True,
    ),
    LabelScheme(
        "zhu-5class",
        {
            "smooth-round": ("smooth >= 0.469", "completely-round >= 0.50"),
            "smooth-inbetween": ("smooth >= 0.469", "in-between >= 0.50"),
            "smooth-cigar": ("smooth >= 0.469", "cigar-shaped >= 0.50"),
            "edge-on": ("features-or-disk >= 0.430", "edge-on-yes >= 0.602"),
            "spiral": ("features-or-disk >= 0.430", "edge-on-no >= 0.715", "spiral-yes >= 0.619"),
        },
        "Zhu+2019, doi:10.1007/s10509-019-3540-1, thresholds of Willett+2013 table 3 on Kaggle "
        "fractions",
        soft={
            "smooth-round": "completely-round",
            "smooth-inbetween": "in-between",
            "smooth-cigar": "cigar-shaped",
            "edge-on": "edge-on-yes",
            "spiral": "spiral-yes",
        },
        column="class5",
    ),
    LabelScheme(
        "walmsley-7class",
        {
            "round": ("smooth > 0.5", "wins completely-round"),
            "in-between": ("smooth > 0.5", "wins in-between"),
            "cigar": ("smooth > 0.5", "wins cigar-shaped"),
            "edge-on": ("features-or-disk > 0.5", "wins edge-on-yes"),
            "barred": ("edge-on-no > 0.5", "wins bar-yes"),
            "unbarred-spiral": ("edge-on-no > 0.5", "wins bar-no", "wins spiral-yes"),
            "featured-other": ("edge-on-no > 0.5", "wins bar-no", "wins spiral-no"),
        },
        "mwalmsley/galaxy-datasets, on Hart+2016 votes: the tree is walked by the most voted "
        "answers, a question counts where more than half of the volunteers reached it; ties are "
        "left out",
    ),
    LabelScheme(
        "smooth-featured",
        {"smooth": ("smooth >= features-or-disk",), "featured": ("features-or-disk > smooth",)},
        "ralorin (2026): raw fractions of question 1, at least 20 votes (the Kaggle table does not "
        "tell), artifact fraction at most 0.3",
        measures=("weighted", "fraction", "count"),
        leave_out={
            "fewer than 20 votes": ("classifications < 20 if known",),
            "artifact": ("star-or-artifact > 0.3",),
        },
        soft={"smooth": "smooth", "featured": "features-or-disk"},
    ),
    LabelScheme(
        "votes-37",
        {answer: (answer,) for answer in ANSWERS},
        "Kaggle Galaxy Zoo challenge (2014): all cumulative vote fractions, as regression targets",
        target="fractions",
    ),
    LabelScheme(
        "votes-37-debiased",
        {answer: (answer,) for answer in ANSWERS},
        "timchilders/galaxyzoo2 (2023): all debiased conditional fractions of Hart+2016, NaN where "
        "nobody was asked",
        target="fractions",
        form="conditional",
        measures=("debiased",),
    ),
)

SCHEMES: dict[str, LabelScheme] = {entry.name: entry for entry in _ALL}
"""Class schemes by name."""


def scheme(name: str | Path) -> LabelScheme:
    """Return a class scheme (rules that turn votes into classes) by name, or read it from TOML.

    ::

        name = "round-or-disk"
        source = "me, 2026"
        [classes]
        round = ["smooth > 0.8", "completely-round > 0.5"]
        disk = ["features-or-disk > 0.8"]
        [leave_out]
        "few votes" = ["classifications < 20"]

    Other fields of LabelScheme may stand above the first `[...]`; without `name` the scheme has the
    name of the file.

    Parameters
    ----------
    name : str or Path
        A name of SCHEMES, or a path that ends in .toml.

    Raises
    ------
    UnknownNameError
        No scheme has this name; the message lists all names.
    MissingFileError
        The file does not exist.
    InputError
        The file is not TOML, or a field is unknown or not legal.

    Examples
    --------
    >>> list(scheme("gz2-2class").classes)
    ['elliptical', 'spiral']
    """
    if str(name).endswith(".toml"):
        return _read(require_file(name, "scheme"))
    if str(name) not in SCHEMES:
        raise unknown("scheme", str(name), SCHEMES)
    return SCHEMES[str(name)]


def _read(file: Path) -> LabelScheme:
    """Read a class scheme from a TOML file; refuse keys that class schemes do not have."""
    with parsing("scheme cannot be read", file, rule="be TOML"):
        fields: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    # check the type of each field, because a text in place of a list would be read letter by letter
    shape = {"classes": dict, "leave_out": dict, "soft": dict, "measures": list, "draw": bool}
    legal = {field.name: shape.get(field.name, str) for field in dataclasses.fields(LabelScheme)}
    wrong = [
        name
        for name, value in fields.items()
        if name not in legal or not isinstance(value, legal[name])
    ]
    if wrong or "classes" not in fields:
        raise InputError(
            "scheme file",
            where=file,
            rule="have a table [classes], else only "
            + ", ".join(f"{n} ({kind.__name__})" for n, kind in legal.items()),
            found=", ".join(wrong or fields),
        )
    for table in {"classes", "leave_out"} & fields.keys():
        for name, texts in fields[table].items():
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise InputError(
                    "conditions",
                    where=f"{file}, {table}.{name}",
                    rule="be a list of texts",
                    found=texts,
                )
        fields[table] = {name: tuple(texts) for name, texts in fields[table].items()}
    return LabelScheme(**{"name": file.stem.replace("_", "-").lower(), **fields})
