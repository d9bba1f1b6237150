"""Say what setup.cfg requires, and note the result of a leg in docs/versions.md.

python .ci/versions.py requirements
python .ci/versions.py note lowest requirements.txt result.txt
"""

from __future__ import annotations

import configparser
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "versions.md"
SHOWN = ("torch", "lightning", "numpy", "pandas", "pyarrow", "scikit-learn", "astropy", "mlflow")
"""Packages whose versions a row shows."""
CLOSING = re.compile(r"^=*\s*((?:\d+ \w+(?:, )?)+) in ", re.MULTILINE)
"""Closing line of pytest."""


def requirements() -> str:
    """Return what setup.cfg requires, one package a line."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    return settings["options"]["install_requires"].strip()


def note(kind: str, pins: str, result: str) -> None:
    """Put the row of a leg and of this Python into the page, in place of an earlier one."""
    versions = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", pins, re.MULTILINE))
    counts = CLOSING.findall(result)
    told = counts[-1].strip(", ") if counts else "no result"
    python = ".".join(platform.python_version_tuple()[:2])
    start = f"| {python} | {kind} |"
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    row = f"{start} {datetime.now(UTC):%Y-%m-%d} | {told} | {shown} |"
    lines = PAGE.read_text(encoding="utf-8").split("\n")
    places = [place for place, line in enumerate(lines) if line.startswith(start)]
    if places:
        lines[places[0]] = row
    else:
        table = [place for place, line in enumerate(lines) if line.startswith("| 3.")]
        lines.insert(table[-1] + 1, row)
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print(row)


if __name__ == "__main__":
    if sys.argv[1] == "requirements":
        print(requirements())
    else:
        note(sys.argv[2], *(Path(name).read_text(encoding="utf-8") for name in sys.argv[3:5]))
