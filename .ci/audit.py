"""Ask pip-audit for known holes in the versions of `.ci/constraints.txt`.

Exit code 0: none is known; 1: some are, and they are listed; 3: nobody could be asked, and why.
Code 3 is no all-clear: it means that nothing is known.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().with_name("constraints.txt")
SERVICE = "https://api.osv.dev"
CLEAN, HOLES, NOT_ASKED = 0, 1, 3


def main(words: Sequence[str] | None = None) -> int:
    """Audit the constraints; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--constraints", type=Path, default=CONSTRAINTS)
    parser.add_argument(
        "--service", default=SERVICE, help="address whose answer shows that it is up"
    )
    arguments = parser.parse_args(words)
    if (why := unreachable(arguments.service)) is not None:
        return not_asked(f"{arguments.service} cannot be reached from here: {why}")
    if importlib.util.find_spec("pip_audit") is None:
        return not_asked("pip-audit is not installed; pip install pip-audit")
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--vulnerability-service",
        "osv",
        "--format",
        "json",
    ]
    command += ["--disable-pip", "--no-deps", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "-r", str(arguments.constraints)], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
        holes = [(p["name"], p["version"], v["id"]) for p in packages for v in p.get("vulns", ())]
        skipped = [p["name"] for p in packages if "skip_reason" in p]
    except (ValueError, KeyError, TypeError):
        # pip-audit ends with 1 for holes and for failures alike: only its JSON tells them apart
        return not_asked(
            f"pip-audit gave no result: {(done.stderr.strip() or 'no words').splitlines()[-1]}"
        )
    for name, version, hole in holes:
        print(f"{name} {version}: {hole}")
    if skipped:
        return not_asked(f"pip-audit passed over {', '.join(skipped)}") if not holes else HOLES
    print(f"{len(packages)} packages audited, {len(holes)} known holes")
    return HOLES if holes else CLEAN


def unreachable(address: str) -> str | None:
    """Return why nobody answers at an address; None where somebody does, whatever the answer is."""
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)).splitlines()[0]
    return None


def not_asked(why: str) -> int:
    """Say why nothing is known, and return the exit code that means it."""
    print(f"dependencies not audited: {why}", file=sys.stderr)
    return NOT_ASKED


if __name__ == "__main__":
    raise SystemExit(main())
