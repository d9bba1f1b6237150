"""Record what the results depend on: versions, hardware, and the state of the code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = (
    "gzfeatures", "torch", "torchvision", "lightning", "scikit-learn",
    "scikit-learn-intelex", "xgboost", "numpy",
    "pandas", "pyarrow", "pillow", "umap-learn", "mlflow", "skops",
)  # fmt: skip
"""Libraries whose version can change a result."""


def surroundings() -> dict[str, Any]:
    """Return versions of Python and libraries, the machine, and the git commit of the code.

    Returns
    -------
    dict
        `python`, `versions`, `machine`, `cores`, and in a git checkout `commit`, with `+` where
        files were changed.
    """
    installed = {}
    # leave out optional libraries that are not installed
    for name in LIBRARIES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": installed,
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    # add + to the commit if its code was changed: the results are then not those of the commit
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit:
        versions["commit"] = commit + (
            "+" if _git("status", "--porcelain", "--untracked-files=no") else ""
        )
    return versions


def _git(*words: str) -> str:
    """Return git's output on the checkout of gzfeatures; an empty text without a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
