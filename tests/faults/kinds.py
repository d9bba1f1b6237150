"""FAULTS: what may go wrong around a call, by name; each entry lets it happen once at a moment
drawn by the case."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
from faults.case import EXITS, Case, Disk
from faults.life import PATIENCE, Ended, Trouble
from faults.steps import clear
from PIL import Image

from gzfeatures.written_files import RECORD

YEAR = 3.15e7


def killed(case: Case, moment: int) -> None:
    """SIGKILL at a file operation, or at any moment; up to three in a row before the call that goes
    on."""
    if moment % 3 == 0:
        case.recovers()
        case.fresh(bare=moment % 2 == 0)
    for attempt in range(20):
        by_operation = Trouble(signal=signal.SIGKILL, operation=case.operation())
        by_clock = Trouble(seconds=case.dice.uniform(0.02, 0.95 * case.truth.ended.seconds))
        ended = case.meets(by_operation if (moment + attempt) % 2 else by_clock, -signal.SIGKILL)
        if ended.code and not case.refused(ended):
            return
        case.uncounted()  # it was over before
        case.fresh()


def interrupted(case: Case, moment: int) -> None:
    """SIGTERM or Ctrl-C at a file operation: one line, exit code 143 or 130."""
    case.fresh()
    number = (signal.SIGTERM, signal.SIGINT)[moment % 2]
    ended = case.meets(Trouble(signal=number, operation=case.operation()), EXITS[number])
    if ended.code != EXITS[number]:
        case.rude.append(f"exit {ended.code} after {number.name}: {ended.stderr[-1500:]}")


def full(case: Case, moment: int) -> None:
    """A disk with too little space, where one can be mounted; else a largest file size."""
    case.fresh()
    if moment % 2 == 0:
        disk = Disk(case.desk.with_name(f"{case.desk.name}-disk-{moment}"))
        if disk.mounted:
            home, case.desk = case.desk, case.bench.desk(disk.place)
            case.fresh()
            disk.leave(_log_uniform(case, 4_096, 2_000_000))
            case.meets(Trouble())
            disk.leave(None)
            case.recovers()
            case.desk = home
            disk.close()
            return
    case.meets(Trouble(largest_file=_log_uniform(case, 4_096, 400_000)))


def read_only(case: Case, moment: int) -> None:
    """A folder of results that may not be written: made beforehand, or full of earlier results."""
    places = [case.desk / name for name in case.step.writes]
    if moment < len(places):
        case.fresh()
        places = [places[moment]]
    case.desk.mkdir(exist_ok=True)
    for place in places:
        _permit(place, 0o555, 0o444)
    case.meets(Trouble(humble=True))
    for place in places:
        _permit(place, 0o755, 0o644)


def _permit(root: Path, folders: int, files: int) -> None:
    if root.suffix:  # a file: its folder forbids it
        root.parent.chmod(folders)
        return
    root.mkdir(exist_ok=True)
    for path in [root, *root.rglob("*")]:
        path.chmod(folders if path.is_dir() else files)


def changing(case: Case, moment: int) -> None:
    """An input that vanishes, or becomes another, while it is read."""
    case.fresh()
    name = case.step.reads[0]
    data = None if moment % 2 else _other(name)
    with case.or_else(name, data):
        case.meets(Trouble(operation=case.operation(), vanish=((name, data),)))


def _other(name: str) -> bytes:
    """Another content for an input: another galaxy, or what a broken copy leaves."""
    if not name.endswith(".jpg"):
        return b"PAR1 torn"
    file = io.BytesIO()
    noise = np.random.default_rng(7).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def beside(case: Case, moment: int) -> None:
    """Two processes on one store, one output and one tracking database, from an empty desk."""
    case.fresh(bare=moment == 0)
    case.meets(Trouble(), others=1)


def clock(case: Case, moment: int) -> None:
    """A clock that jumps by years in the middle, and files from the past or the future."""
    case.fresh()
    years = case.dice.choice([-10, -1, 1, 10])
    _age(case, years)
    case.meets(Trouble(operation=case.operation(), clock=years * YEAR))
    _age(case, -years)


def _age(case: Case, years: int) -> None:
    for path in case.desk.rglob("*"):
        when = path.stat().st_mtime + years * YEAR
        os.utime(path, (when, when))


def corrupt(case: Case, moment: int) -> None:
    """A result or input that was damaged since: it is made anew, or named and refused."""
    case.fresh()
    case.meets(Trouble())
    case.uncounted()
    written = _files(case)
    kinds = sorted(
        {
            path.name if path.suffix == ".json" else path.suffix
            for path in written
            if path.suffix != ".lock"
        }
    )
    kind = [*case.step.reads[1:], *kinds][moment % (len(kinds) + len(case.step.reads) - 1)]
    path = (
        case.desk / kind
        if kind in case.step.reads
        else case.dice.choice([path for path in written if kind in (path.name, path.suffix)])
    )
    data = path.read_bytes()
    path.write_bytes(_damaged(case, path, data))
    ended = case.meets(Trouble())
    if kind in case.step.reads:
        path.write_bytes(data)
    elif ended.code:
        _follow(case, path, ended)
    elif path.suffix == ".arrow" and path.exists() and case.name == "run":
        shutil.rmtree(
            case.desk / "out"
        )  # with its tables it read no shard: without them it must, and may not take this


def _files(case: Case) -> list[Path]:
    """Everything a step has written, also what it keeps for itself."""
    places = [case.desk / place for place in case.step.writes]
    inside = (path for place in places for path in place.rglob("*") if path.is_file())
    return sorted([*inside, *(place for place in places if place.is_file())])


def _follow(case: Case, path: Path, ended: Ended) -> None:
    """Do what a refusal over a damaged file asks for: without the file, or without its record."""
    if path.name == RECORD:  # an empty one is a new one, and says nothing of itself
        assert "--overwrite" in ended.stderr
        case.announced = True
        return
    if case.refused(ended):
        clear(case.desk, case.step)
        return
    assert path.name in ended.stderr, f"{path} is not named: {ended.stderr[-800:]}"
    path.unlink()


def torn(case: Case, moment: int) -> None:
    """What a killed call left behind, finished or not, is damaged before the next one."""
    left: list[Path] = []
    for _ in range(6):
        case.fresh()
        case.meets(Trouble(signal=signal.SIGKILL, operation=case.operation()), -int(signal.SIGKILL))
        case.uncounted()
        # SQLite trusts its journal; a lock holds nothing
        left = [path for path in _files(case) if not path.name.endswith(("-journal", ".lock"))]
        if left:
            break
    if left:
        kinds = sorted({path.suffix for path in left})
        kind = kinds[moment % len(kinds)]
        path = case.dice.choice([path for path in left if path.suffix == kind])
        path.write_bytes(_damaged(case, path, path.read_bytes()))
    ended = case.meets(Trouble())
    if left and ended.code:
        _follow(case, path, ended)


def _damaged(case: Case, path: Path, data: bytes) -> bytes:
    ways = {"empty": b"", "text": b"\x00\xff no such thing\n" * 9}
    if path.suffix not in (".csv", ".toml", ".txt"):  # half a text can be a whole one
        ways["truncated"] = data[: len(data) // 2]
    if data and path.suffix in (".parquet", ".arrow", ".safetensors", ".ckpt", ".npy", ".so"):
        at = case.dice.randrange(len(data))
        ways["flipped"] = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
    return ways[case.dice.choice(sorted(ways))]


def poor(case: Case, moment: int) -> None:
    """Little memory: a line, or a death by the library that was refused it, if need be after a
    while.

    Python itself may wait for ever: for the first sign of a thread that had no memory to give one.
    """
    case.fresh()
    little = Trouble(memory=_log_uniform(case, 2**20, 2**29), seconds=PATIENCE / 3)
    case.meets(little, *range(-64, 0), *range(2, 256))


def _log_uniform(case: Case, low: int, high: int) -> int:
    return int(np.exp(case.dice.uniform(np.log(low), np.log(high))))


FAULTS: dict[str, Callable[[Case, int], None]] = {
    "SIGKILL": killed,
    "SIGTERM, Ctrl-C": interrupted,
    "disk full": full,
    "read-only output": read_only,
    "input vanishes or changes": changing,
    "two at once": beside,
    "clock jumps": clock,
    "corrupt file": corrupt,
    "corrupt remains": torn,
    "out of memory": poor,
}
