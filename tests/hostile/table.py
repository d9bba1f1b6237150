"""Try files of a stranger of every kind, and print how they were met.

    python tests/hostile/table.py [--cases 400] [--kind CSV --kind weights …] [--write]

Each kind is tried in a process of its own, forked from one that has imported everything, in an
empty folder. A case is refused (one line), or read. A process that dies, and an error that is not
one line of ours, is a crash; a case that takes longer than a minute hangs; a trap that sprang or a
program that was started is code run. After a crash or a hang the next case goes on in a new
process. `--write` puts the table into README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "support")]

import numpy as np
import pytest
from hostile.kinds import KINDS, Source
from hostile.test_malicious import MALICIOUS

from gzfeatures.errors import GzError

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- kinds -->", "<!-- end of kinds -->"
HANGS = 60.0
"""Seconds after which a case hangs: its process says where it is, and ends."""
MOST_ENDS = 20
"""Deaths after which a kind is given up."""
PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pty.spawn")
"""Audit events of a program that is started."""
COLUMNS = (
    "| kind | inputs tried | refused | p99 (s) | p99 (s of a processor) "
    "| crashes | hangs | code run |"
)

Make = Callable[[], Sequence[Source]]


@dataclasses.dataclass
class Tally:
    """How the files of one kind were met."""

    kind: str
    tried: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    code_run: int = 0
    clock: list[float] = dataclasses.field(default_factory=list)
    processor: list[float] = dataclasses.field(default_factory=list)

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        times = (f"{_late(values):.2f}" for values in (self.clock, self.processor))
        harm = (self.crashes, self.hangs, self.code_run)
        return (self.kind, f"{self.tried:,}", f"{self.refused:,}", *times, *map(str, harm))


def _late(values: Sequence[float]) -> float:
    """The 99th percentile of the seconds of refusals."""
    return float(np.percentile(values, 99)) if values else 0.0


def measured(
    kind: str, make: Make, cases: int, pattern: str = "-", *, hangs: float = HANGS
) -> Tally:
    """Try the cases of a kind, and those in MALICIOUS whose name has the pattern.

    Parameters
    ----------
    kind : str
        Named in the tally.
    make : callable
        Makes the sources, in the child.
    cases : int
        Drawn from the sources in turns, by their number.
    pattern : str
        A regular expression.
    hangs : float
        Seconds after which a case hangs.
    """
    named = [name for name in MALICIOUS if re.search(pattern, name)]
    tally, first = Tally(kind), 0
    with tempfile.TemporaryDirectory() as folder:
        while first < cases + len(named) and tally.crashes + tally.hangs < MOST_ENDS:
            log, errors = Path(folder) / f"log-{first}", Path(folder) / f"errors-{first}"
            child = multiprocessing.get_context("fork").Process(
                target=_tries, args=(make, named, cases, first, log, errors, hangs)
            )
            child.start()
            child.join()
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            for line in lines:
                _count(tally, line)
            first += len(lines)
            if child.exitcode != 0:
                text = errors.read_text(errors="replace")
                hung = "Timeout (" in text
                tally.hangs += hung
                tally.crashes += not hung
                tally.tried += 1
                print(f"{kind}, case {first}: {text[:3000]}", file=sys.stderr)
                first += 1  # it ends its process: the next goes on
    return tally


def _count(tally: Tally, line: dict[str, Any]) -> None:
    """Add one case."""
    tally.tried += 1
    tally.code_run += line["ran"]
    if line["outcome"] == "refused":
        tally.refused += 1
        tally.clock.append(line["clock"])
        tally.processor.append(line["processor"])
    elif line["outcome"] != "read":
        tally.crashes += 1
        print(f"{tally.kind}, case {tally.tried}: {line['outcome']}", file=sys.stderr)


def _tries(
    make: Make, named: Sequence[str], cases: int, first: int, log: Path, errors: Path, hangs: float
) -> None:
    """In the child: try cases from the `first` on, each with a line in the log."""
    with errors.open("w") as stream:
        os.dup2(stream.fileno(), 2)
    faulthandler.enable(2)
    warnings.simplefilter("ignore")
    log.touch()
    place = log.with_name(f"place-{first}")
    place.mkdir()
    os.chdir(place)
    patch = pytest.MonkeyPatch()
    for name in ("GZFEATURES_STORE", "GZFEATURES_COMPILED", "XDG_STATE_HOME"):
        patch.setenv(name, str(log.with_name(name)))
    sources, started = make(), _programs()
    with log.open("w") as lines:
        for case in range(first, cases + len(named)):
            started.clear()
            path, read = _case(case, named, sources, place)
            faulthandler.dump_traceback_later(hangs, exit=True, file=2)
            begun = time.perf_counter(), time.process_time()
            outcome = _outcome(read, path)
            ended = time.perf_counter(), time.process_time()
            faulthandler.cancel_dump_traceback_later()
            sprung = list(place.rglob("sprung"))
            line = {"outcome": outcome, "ran": bool(started or sprung)}
            for trap in sprung:
                trap.unlink()
            line |= {"clock": ended[0] - begun[0], "processor": ended[1] - begun[1]}
            lines.write(json.dumps(line) + "\n")
            lines.flush()
    # what libraries leave running is not asked to end
    os._exit(0)


def _case(
    case: int, named: Sequence[str], sources: Sequence[Source], place: Path
) -> tuple[Path, Callable[[Path], object]]:
    """Lay the file of a case, and say what reads it."""
    folder = place / f"case-{case}"
    folder.mkdir()
    if case < len(named):
        name, make, read = MALICIOUS[named[case]]
        make(folder / name)
        return folder / name, read
    source = sources[case % len(sources)]
    data = source.draw(np.random.default_rng(case))
    (folder / source.name).write_bytes(data)
    return folder / source.name, source.read


def _outcome(read: Callable[[Path], object], path: Path) -> str:
    """Read a file: "read", "refused", or what else it ended with."""
    try:
        read(path)
    except GzError as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"many lines: {error}"
    except MemoryError:
        return "refused"  # reported in one line by the command line
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read"


def _programs() -> list[str]:
    """A list that grows when a program is started; what draws cases starts none."""
    started: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in PROGRAMS:
            started.append(event)

    sys.addaudithook(hook)
    return started


def table(tallies: Sequence[Tally]) -> str:
    """The table in Markdown."""
    rows = [f"| {' | '.join(tally.cells)} |" for tally in tallies]
    return "\n".join([COLUMNS, "|---|--:|--:|--:|--:|--:|--:|--:|", *rows])


def _write(tallies: Sequence[Tally]) -> None:
    """Put the rows into README.md, in the place of those of the same kinds."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = {line.split("|")[1].strip(): line for line in old.splitlines() if line.startswith("| ")}
    rows |= {tally.kind: f"| {' | '.join(tally.cells)} |" for tally in tallies}
    head = table([])
    lines = "\n".join([head, *(rows[kind] for kind in KINDS if kind in rows)])
    README.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Try every kind and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    tallies = []
    for kind, (make, pattern) in KINDS.items():
        if not options.kind or kind in options.kind:
            tallies.append(measured(kind, make, options.cases, pattern))
            print(f"| {' | '.join(tallies[-1].cells)} |", file=sys.stderr, flush=True)
    print(table(tallies))
    if options.write:
        _write(tallies)
    sys.exit(any(tally.crashes or tally.hangs or tally.code_run for tally in tallies))


if __name__ == "__main__":
    main()
