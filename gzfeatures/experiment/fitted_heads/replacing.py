"""Refuse to overwrite the file of a head that predicts something else than the new head."""

from __future__ import annotations

from pathlib import Path

from gzfeatures import outputs
from gzfeatures.errors import GzError, OutputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.heads.head import Head


def require_same_target(path: Path, labels: Labels) -> None:
    """Refuse to replace a head that predicts something else, unless files may be overwritten.

    A head may be replaced if it predicts the same number, or at least one of the classes in
    `labels`. Files that are no heads are not checked here, but by `outputs`.

    Raises
    ------
    OutputError
        The head in the file predicts another number, or only classes that are not in `labels`.
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
