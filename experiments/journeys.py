"""Write what the three journeys of the site print into their page.

    python experiments/journeys.py          # four minutes; rewrites docs/how-to/journeys.md

A synthetic survey lies under the names of the files of Kaggle, of Galaxy Zoo 2 and of one's own, so
that no real galaxy is named. Each command runs as a user runs it, in a terminal of 80 columns; what
it prints on both streams stands below it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from desks.survey_files import laid_out  # noqa: E402

PAGE = ROOT / "docs" / "how-to" / "journeys.md"


def printed(line: str, folder: Path) -> str:
    """Return what a command prints; one that fails ends the script."""
    # only what the command itself writes: nothing of another job's settings, store or outputs
    home = folder.parent / "home"
    environment = {
        **os.environ,
        "COLUMNS": "80",
        "HOME": str(home),
        "GZFEATURES_STORE": str(home / "store"),
        "XDG_STATE_HOME": str(home / "state"),
    }
    words = [sys.executable, "-m", *shlex.split(line)]
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise SystemExit(f"{line}\n{done.stdout}")
    return "\n".join(text.rstrip() for text in done.stdout.splitlines()).strip("\n")


def main() -> None:
    """Run the commands of the page in their order."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "desk"
        folder.mkdir()
        laid_out(folder, n=600, size=160)

        def answered(block: re.Match[str]) -> str:
            line = block[1]
            print(line, flush=True)
            return f"```console\n$ {line}\n{printed(line, folder)}\n```"

        page = PAGE.read_text(encoding="utf-8")
        page = re.sub(r"```console\n\$ (.*)\n(?:[^`]*\n)?```", answered, page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
