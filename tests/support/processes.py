"""Pools of processes for tests, and processes that begin with libraries loaded.

As a script it imports the modules it is told and forks for each line of stdin (`Forks`).
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import multiprocessing.pool
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def processes(count: int, method: str = "fork") -> Iterator[multiprocessing.pool.Pool]:
    """Give a pool whose processes end by themselves.

    A pool of its own accord ends them by SIGTERM, for which a forked process may have the handler
    of a library (Ray's), and then waits for ever.
    """
    pool = multiprocessing.get_context(method).Pool(count)
    try:
        yield pool
    finally:
        pool.close()
        pool.join()


class Forks:
    """Python programs that can be signalled, one after another, forked from one that waits.

    A process imports for seconds what these have from the beginning; each is a process of its own.

    Parameters
    ----------
    *modules : str
        What is imported once; modules of the package that are not among them are new in each.
    """

    def __init__(self, *modules: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, __file__, *modules]
        self._root = {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._parent = subprocess.Popen(command, bufsize=0, env=os.environ | self._root, **pipes)

    def start(
        self, code: str, words: Sequence[str], said: Path, environment: Mapping[str, str]
    ) -> Forked:
        """Run code as `python -c` does; the one before has ended. stderr goes to the pipe `said`.

        Standard output is dropped. The environment is that of the test, and what is given.
        """
        os.mkfifo(said)
        more = os.environ | dict(environment) | self._root
        job = {"code": code, "words": list(words), "said": str(said), "more": more}
        self._parent.stdin.write(json.dumps(job).encode() + b"\n")
        return Forked(self._parent.stdout, said)

    def close(self) -> None:
        self._parent.kill()
        self._parent.communicate()


class Forked:
    """A program of `Forks`, as `subprocess.Popen` has it."""

    def __init__(self, told: Any, said: Path) -> None:
        self._told = told
        self.pid = self._number()
        self.stderr = said.open(encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit code, negative where a signal ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("forked program", timeout or 0)
            self.returncode = self._number()
        return self.returncode

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(self.pid, number)

    def kill(self) -> int:
        """End it by SIGKILL, after which nothing is tidied up; its exit code."""
        self.stderr.close()
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
        return self.wait()

    def rest(self, timeout: float) -> str:
        """What it says to stderr until it has ended."""
        self.wait(timeout)
        with self.stderr:
            return self.stderr.read()

    def _number(self) -> int:
        line = self._told.readline()
        assert line, "the process that forks has ended"
        return int(line)


def fork_for_each_line(modules: Sequence[str]) -> dict[str, Any] | None:
    """Fork for each line of stdin, and print number and exit code; a fork returns its line."""
    for name in modules:
        importlib.import_module(name)
    for line in sys.stdin:
        if not (pid := os.fork()):
            found: dict[str, Any] = json.loads(line)
            return found
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def run_as_a_program(code: str, words: Sequence[str], said: str, more: Mapping[str, str]) -> None:
    """Be the program: its streams, environment and words, then its code."""
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(os.open(said, os.O_WRONLY), 2)
    os.environ.update(more)
    sys.argv = ["-c", *words]
    exec(compile(code, "<forked>", "exec"), {"__name__": "__main__"})  # noqa: S102  (our own)


if __name__ == "__main__":
    if job := fork_for_each_line(sys.argv[1:]):
        run_as_a_program(**job)
