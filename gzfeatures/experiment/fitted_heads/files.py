"""Name the files that fitting a head writes: the head and its two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gzfeatures.experiment.config import HeadChoice


def files_of(head: Path) -> list[Path]:
    """Return those files of a fitted head that exist: the head, and the pictures next to it."""
    return [path for path in _files(head) if path.exists()]


def named(folder: Path, choices: Sequence[HeadChoice]) -> list[Path]:
    """Return the paths of all files that `fit_heads` may write into a folder."""
    names = [name for choice in choices for name in _names(choice)]
    return [path for name in names for path in _files(folder / f"{name}.skops")]


def _names(choice: HeadChoice) -> list[str]:
    return [f"{choice.name}-seed{seed}" for seed in choice.seeds] or [choice.name]


def _files(head: Path) -> list[Path]:
    """Return the paths of all files that one fit may write: the head, and its two pictures."""
    return [head, trials_beside(head), picture_beside(head)]


def picture_beside(head: Path) -> Path:
    """Return the path of the picture of a head's predicted against true numbers."""
    return head.with_name(f"{head.stem}-predicted.png")


def trials_beside(head: Path) -> Path:
    """Return the path of the picture of the parameters tried while a head was tuned."""
    return head.with_name(f"{head.stem}-trials.png")
