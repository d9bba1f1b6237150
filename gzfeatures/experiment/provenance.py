"""Record what results depend on: versions of libraries, hardware, and the code's git commit."""

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
"""Libraries whose version may change a result."""


def surroundings() -> dict[str, Any]:
    """Return the versions of Python and libraries, the machine, and the git commit of the code.

    Returns
    -------
    dict
        Keys `python`, `versions`, `machine`, `cores`, and `commit` if the code is in a git
        repository (with `+` if files were changed since the commit).
    """
    installed = {}
    # an optional library that is not installed changes no result: leave it out
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
    # add + to the commit if files were changed since: results are then not those of the commit
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit:
        versions["commit"] = commit + (
            "+" if _git("status", "--porcelain", "--untracked-files=no") else ""
        )
    return versions


def _git(*words: str) -> str:
    """Return git's output for the source folder of gzfeatures; "" if that has no git history."""
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
