"""Case: one step of the job under one kind of fault, again and again; what was lost, served wrong,
and recovered."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.life import Ended, Life, Trouble
from faults.pieces import EARLIER, pieces, said
from faults.steps import LIBRARIES, MADE, NOWHERE, STATE, STEPS, Step, clear

from gzfeatures.report.report import UNRECORDED

EXITS = {signal.SIGINT: 130, signal.SIGTERM: 143}
COMPILING = 1800.0
"""Seconds within which the compiler ends, on a busy machine."""
ANEW = "it is a folder; choose another name"
"""How a step is refused whose result, a folder, is there."""
NOT_KNOWN = "the same command again will ask for --overwrite"
AFTERWARDS = "afterwards, 'gzfeatures record "
"""How a call that could not record tells what records it later."""
INTERRUPTED = "interrupted; what was finished is kept, and the same command goes on from there"


@dataclasses.dataclass(frozen=True)
class Truth:
    """What an undisturbed call gives, and how long it takes."""

    ended: Ended
    said: Any
    pieces: dict[str, str]


class Bench:
    """The inputs of all steps, and what undisturbed calls make of them.

    Parameters
    ----------
    inputs : Path
        Made by `steps.lay`.
    url : str
        Address of a server of cutouts.
    """

    def __init__(self, inputs: Path, url: str) -> None:
        self.inputs, self.url = inputs, url
        self._made: set[str] = set()
        Life(inputs, ("--version",)).ended()  # no later time holds that of the server's start

    def desk(self, place: Path) -> Path:
        """A desk of its own, with the times of the files."""
        return Path(shutil.copytree(self.inputs, place, dirs_exist_ok=True))

    def life(
        self, desk: Path, step: Step, trouble: Trouble | None = None, more: tuple[str, ...] = ()
    ) -> Life:
        """Begin a call of a step on a desk; `more` are further words."""
        return Life(
            desk,
            (*step.command(self.url), *more),
            trouble or Trouble(),
            records=STATE in step.writes,
            compiles=step.compiles,
            clicks=step.clicks,
        )

    def make(self, need: str) -> None:
        """Have a verb make an input, once."""
        if need in self._made:
            return
        self._made.add(need)
        desk, compiles = self.inputs, need == LIBRARIES
        if compiles:
            (self.inputs / LIBRARIES).write_text(str(self.inputs.with_name("compiled-once")))
            desk = self.desk(self.inputs.with_name("compiler"))
        ended = Life(desk, (*MADE[need].split(), "--json"), compiles=compiles).ended(COMPILING)
        assert ended.code == 0, ended.stderr
        if need == "another":
            (desk / "store").rename(desk / need)
        shutil.rmtree(desk / "store", ignore_errors=True)

    @functools.cache  # noqa: B019  (a bench lives as long as the test run)
    def truth(
        self,
        name: str,
        exchanged: str | None = None,
        data: bytes | None = None,
        more: tuple[str, ...] = (),
    ) -> Truth | None:
        """Outcome of an undisturbed call, with one input exchanged or taken away, or with further
        words; None where it refuses."""
        kind = "" if exchanged is None else "-without" if data is None else "-with-another"
        desk = self.desk(self.inputs.with_name(f"{name}{kind}{'-more' if more else ''}"))
        if exchanged is not None:
            (desk / exchanged).unlink()
            if data is not None:
                (desk / exchanged).write_bytes(data)
        ended = self.life(desk, STEPS[name], more=more).ended()
        if ended.code and exchanged is not None:
            return None
        assert ended.code == 0, ended.stderr
        made = pieces(desk, STEPS[name])
        broken = {piece: content for piece, content in made.items() if "broken" in content}
        assert not broken, broken
        return Truth(ended, said(ended.stdout), made)


class Case:
    """A step on a desk.

    Attributes
    ----------
    runs, recovered : int
        Calls that met the fault, and those of them after which a later call gave the undisturbed
        result.
    announced : bool
        Said since the last recovery: the record of written files is gone, --overwrite is needed.
    lost, wrong, rude : list of str
        Finished pieces that vanished; pieces that are not what they should be; messages that break
        the promise of one clear line.
    """

    def __init__(self, bench: Bench, name: str, place: Path) -> None:
        for need in STEPS[name].needs:
            bench.make(need)
        truth = bench.truth(name)
        assert truth is not None
        self.bench, self.name, self.truth = bench, name, truth
        self.step: Step = STEPS[name]
        self.desk = bench.desk(place)
        self.dice = random.Random(name)
        self.right = self._also = [truth]
        if self.step.goes_on:
            unrecorded = bench.truth(name, more=NOWHERE)
            assert unrecorded is not None and self._waits(unrecorded.pieces)
            self.right = self._also = [truth, unrecorded]
        self.runs = self.recovered = self._open = 0
        self.announced = False
        self.lost: list[str] = []
        self.wrong: list[str] = []
        self.rude: list[str] = []

    def operation(self) -> int:
        """A file operation of the undisturbed call, drawn at random."""
        return self.dice.randint(1, self.truth.ended.operations)

    def fresh(self, *, bare: bool = False) -> None:
        """Take the results away; a bare desk has no tracking database either."""
        clear(self.desk, self.step)
        for place in self.step.changes:
            shutil.copy2(self.bench.inputs / place, self.desk / place)
        if not bare and (self.bench.inputs / "mlruns").exists():
            shutil.copytree(self.bench.inputs / "mlruns", self.desk / "mlruns", dirs_exist_ok=True)

    def meets(self, trouble: Trouble, *codes: int, others: int = 0) -> Ended:
        """Call once under a fault, beside `others` calls that meet none, and judge what it leaves.

        Exit codes 0 and 1 are always legal: the fault did no harm, or was reported. Others are
        named.
        """
        before = pieces(self.desk, self.step)
        beside = [self.bench.life(self.desk, self.step) for _ in range(others)]
        ended = self.bench.life(self.desk, self.step, trouble).ended()
        for end in [ended, *(life.ended() for life in beside)]:
            self._judge(end, (0, 1, *codes))
            self.announced |= NOT_KNOWN in end.stderr
        after = pieces(self.desk, self.step)
        self.lost += [
            name
            for name, content in before.items()
            if name not in after and "broken" not in content
        ]
        self.wrong += [name for name in self._strange(after) if name not in self._strange(before)]
        new = self._waits(after) - self._waits(before)
        if ended.code == 0 and new and AFTERWARDS not in ended.stderr:
            self.wrong.append(f"not recorded, and not said: {new}")
        self.runs += 1
        self._open += 1
        return ended

    def uncounted(self) -> None:
        """Forget the last call: it did not meet what it was meant to."""
        self.runs -= 1
        self._open -= 1

    def recovers(self) -> None:
        """Call once more without a fault: everything has to be there, as if nothing had
        happened."""
        if not self._open:
            return
        if self.step.compiles:  # with its vectors it would run no code: without them it has to
            for place in ("out", "store"):
                shutil.rmtree(self.desk / place, ignore_errors=True)
        ended = self.bench.life(self.desk, self.step).ended()
        if self.refused(ended):  # what is there is judged, then it makes room
            self.wrong += self._strange(pieces(self.desk, self.step))
            clear(self.desk, self.step)
            ended = self.bench.life(self.desk, self.step).ended()
        if "train anew" in ended.stderr:  # of other images: the remedy is followed
            clear(self.desk, self.step)
            ended = self.bench.life(self.desk, self.step).ended()
        if ended.code == 1 and self.announced and "--overwrite" in ended.stderr:
            # that nothing would be recorded was said; the remedy is followed
            ended = self.bench.life(self.desk, self.step, more=("--overwrite",)).ended()
        self._judge(ended, (0,))
        after = pieces(self.desk, self.step)
        if (
            ended.code == 0
            and self.truth.pieces.items() <= after.items()
            and said(ended.stdout) == self.truth.said
        ):
            self.recovered += self._open
        # a call that met no fault has recorded what an earlier one could not
        waits = [f"not recorded: {name}" for name in self._waits(after) if self.step.goes_on]
        self.wrong += [*self._strange(after), *self._remains(), *waits]
        self._open, self.announced = 0, False

    def refused(self, ended: Ended) -> bool:
        """Whether a call did nothing because its result is there."""
        return self.step.once and ended.code == 1 and ANEW in ended.stderr

    @staticmethod
    def _waits(found: dict[str, str]) -> set[str]:
        """Names of files that hold what is not recorded."""
        return {name for name in found if name.rpartition("/")[2] == UNRECORDED}

    def _remains(self) -> list[str]:
        """Unfinished folders: a whole call takes away what killed ones left of them."""
        found = (
            path for place in self.step.writes for path in (self.desk / place).rglob(".*.part")
        )
        return [f"remains: {path.relative_to(self.desk)}" for path in found if path.is_dir()]

    @contextmanager
    def or_else(self, exchanged: str, data: bytes | None) -> Iterator[None]:
        """While an input has two contents, the results of both are right."""
        path, other = self.desk / exchanged, self.bench.truth(self.name, exchanged, data)
        self.right = [*self._also, *([other] if other else [])]
        yield
        shutil.copy2(self.bench.inputs / exchanged, path)

    @property
    def verdict(self) -> str:
        """What broke a promise; empty if nothing did."""
        lines = [
            f"{kind}: {line}" for kind in ("lost", "wrong", "rude") for line in getattr(self, kind)
        ]
        if self.recovered != self.runs:
            lines.append(f"recovered after {self.recovered} of {self.runs} runs")
        return "\n".join(lines)

    def _strange(self, found: dict[str, str]) -> list[str]:
        return [
            f"{name}: {content}"
            for name, content in found.items()
            if all(truth.pieces.get(name.partition(EARLIER)[0]) != content for truth in self.right)
        ]

    def _judge(self, ended: Ended, codes: tuple[int, ...]) -> None:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        polite = {
            0: not errors,
            1: len(errors) == 1 and lines[-1] == errors[0],
            **{code: lines.count(INTERRUPTED) == 1 for code in EXITS.values()},
        }
        clean = not any(
            word in ended.stderr for word in ("Traceback", "unexpected", "Exception ignored")
        )
        if ended.code not in codes or not (
            ended.code < 0 or (clean and polite.get(ended.code, True))
        ):
            self.rude.append(f"exit {ended.code}: {ended.stderr[-1500:]}")
        elif ended.code == 0 and all(said(ended.stdout) != truth.said for truth in self.right):
            self.wrong.append(f"said: {ended.stdout}")


class Disk:
    """A small disk of its own (tmpfs) under a desk, where this machine lets us mount one."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self.mounted = os.geteuid() == 0 and self._mount("-t", "tmpfs", "-o", "size=512m", "tmpfs")

    def _mount(self, *words: str) -> bool:
        return (
            subprocess.run(
                ["mount", *words, self.place], capture_output=True, check=False
            ).returncode
            == 0
        )

    def leave(self, free: int | None) -> None:
        """Leave so many bytes free; None for plenty."""
        status = os.statvfs(self.place)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        assert self._mount("-o", f"remount,size={2**29 if free is None else used + free}")

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.place], check=False)
