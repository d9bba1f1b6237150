"""Refuse to replace the file of a head by a head that predicts something else."""

from __future__ import annotations

from pathlib import Path

from gzfeatures import outputs
from gzfeatures.errors import GzError, OutputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.heads.head import Head


def require_same_target(path: Path, labels: Labels) -> None:
    """Refuse a file that holds a head of another target, unless files may be overwritten.

    Other labels of the same classes, or the same number, are the same target: a head is then fitted
    again. A file that is no head is left to the rules of `outputs`.

    Raises
    ------
    OutputError
        The head in the file predicts another number, or classes of which none is in the labels.
    """
    guard = outputs.current()
    if not path.is_file() or (guard is not None and guard.overwrite):
        return
    try:
        former = Head.read(path)
    except GzError:
        return
    if (former.target in VALUE_TARGETS) != (labels.target in VALUE_TARGETS) or not (
        set(former.classes) & set(labels.classes)
    ):
        raise OutputError(
            "holds a head of another target",
            where=path,
            rule=f"be absent, or predict {', '.join(labels.classes)}",
            found=", ".join(former.classes),
            remedy="choose another folder (-o), or replace it with --overwrite",
        )
