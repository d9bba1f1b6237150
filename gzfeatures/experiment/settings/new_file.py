"""Write an experiment file with comments, for a user's images, labels and catalog."""

from __future__ import annotations

import json
from pathlib import Path

TEMPLATE = """\
# gzfeatures run {file}
#
# Each backbone with each head is fitted and scored on one split of the same galaxies, and compared
# with the networks below. Paths are relative to this file. All keys: docs/experiment-keys.md, or
# `gzfeatures run --help`.
name = {name}
seed = 0                      # of the split, the fits and the trainings
{explain}
[galaxies]
{galaxies}
split = [0.7, 0.1, 0.2]       # train, validation and test; a column `split` of the labels is kept
on_bad = "skip"               # leave out galaxies whose image is missing or broken, and say so

# The galaxy network that comes with the package. It has seen part of Galaxy Zoo 2: galaxies that it
# was trained on are recognised by their pictures, and never scored.
[[backbones]]
name = "googlenet-gz2"

# ImageNet vectors beside it (torchvision's weights are downloaded, or read from `weights`):
# [[backbones]]
# name = "resnet50"
# weights = "resnet50.pth"

# A network trained end to end, whose embeddings are a table for the heads too; on a few thousand
# galaxies it takes hours on a processor, minutes on a graphics card:
# [[networks]]
# name = "googlenet-gz2"
# seeds = [0, 1, 2]           # one training says nothing of another seed

[[heads]]
name = "svm"

[[heads]]
name = "xgboost"

[[heads]]
name = "logistic"
# tune = true                 # choose parameters by cross-validation on the training galaxies
"""


def experiment_text(
    file: Path,
    images: Path | None,
    labels: Path | None,
    catalog: Path | None,
    scheme: str | None,
) -> str:
    """Return the text of an experiment file, with comments, for a user's images and labels.

    Parameters
    ----------
    file : Path
        Path of the experiment file; paths in the text are relative to its folder, if possible.
    images, labels, catalog : Path, optional
        Inputs of the experiment. For a missing one, the text has an example marked EDIT, which the
        user must replace.
    scheme : str, optional
        Class scheme for the catalog's votes; by default zhu-5class. Not used with labels.

    Examples
    --------
    >>> text = experiment_text(Path("e.toml"), Path("images"), Path("labels.csv"), None, None)
    >>> print(text.split("[galaxies]")[1].split("split")[0].strip())
    labels = "labels.csv"
    images = "images"
    """
    lines = []
    if labels is not None or catalog is None:
        lines.append(_line("labels", labels, "labels.csv", file))
    if catalog is not None:
        lines.append(_line("catalog", catalog, "", file))
        if labels is None:
            lines.append(f"scheme = {_text(scheme or 'zhu-5class')}")
    lines.append(_line("images", images, "images/", file))
    return TEMPLATE.format(
        file=file.name,
        name=_text(_name(file)),
        explain="explain = 2                   # galaxies of each class that the report explains\n",
        galaxies="\n".join(lines),
    )


def _line(key: str, given: Path | None, example: str, file: Path) -> str:
    """Return the line `key = path` of an experiment file; without a path, with an example to edit.

    A path below the folder of the experiment file is written relative to this folder.
    """
    if given is None:
        return f"{key} = {_text(example)}   # EDIT"
    there, here = given.expanduser().resolve(), file.resolve().parent
    return f"{key} = {_text(str(there.relative_to(here) if there.is_relative_to(here) else there))}"


def _name(file: Path) -> str:
    """Derive a run's name from a file name: without ending, other characters replaced by "-"."""
    allowed = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in file.stem)
    return allowed.lstrip("._-") or "experiment"


def _text(value: str) -> str:
    # TOML reads JSON strings too, if the character DEL is escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
