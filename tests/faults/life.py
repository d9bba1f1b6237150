"""A verb in a process of its own, and what may befall it: one fork of the warm server of
`zygote`."""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import fcntl
import functools
import multiprocessing
import os
import resource
import signal
import sys
import time
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from faults.steps import COMPILED, LIBRARIES, STATE, confirmed_on

OPERATIONS = (
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink",
    "os.truncate",
    "sqlite3.connect",
)  # fmt: skip
"""Audit events that name a file: what is counted when a life ends "at the n-th file operation"."""
PATIENCE = 300.0


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What befalls a life. Files count where they lie under its working folder.

    Parameters
    ----------
    signal : int
        Sent by the process to itself …
    operation : int
        … at this file operation (0: never), which is a moment that can be repeated; or
    seconds : float
        killed from outside after so long, in the middle of whatever it does.
    vanish : tuple of (str, bytes or None)
        At `operation` a file takes on other bytes, or is removed.
    clock : float
        At `operation` the clock jumps by so many seconds.
    largest_file : int
        No file may grow beyond, as on a full disk; 0: no limit.
    memory : int
        Bytes of address space beyond those held at the start; 0: no limit.
    humble : bool
        Give up root's right to write where the permissions say no.
    """

    signal: int = 0
    operation: int = 0
    seconds: float = 0.0
    vanish: tuple[tuple[str, bytes | None], ...] = ()
    clock: float = 0.0
    largest_file: int = 0
    memory: int = 0
    humble: bool = False


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a life ended: exit code (negative: the signal that killed it), both streams, its seconds
    and operations."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    operations: int


class Life:
    """A running verb. `ended` waits for it."""

    def __init__(
        self,
        desk: Path,
        words: tuple[str, ...],
        trouble: Trouble = Trouble(),
        *,
        records: bool = False,
        compiles: bool = False,
        clicks: bool = False,
    ) -> None:
        """Begin; the record of written files may lie on the desk, the network may be compiled, and
        a page that is served may be labelled."""
        self.desk, self.trouble, self.start = desk, trouble, time.monotonic()
        self.log = desk.with_name(
            f"life-{time.monotonic_ns()}"
        )  # not on the desk, whose disk may be full
        self.streams = {ending: _pipe(self.log.with_suffix(ending)) for ending in (".out", ".err")}
        self.process: ForkServerProcess = _server().Process(
            target=_live, args=(desk, words, trouble, self.log, records, compiles, clicks)
        )
        self.process.start()

    def ended(self, patience: float = PATIENCE) -> Ended:
        """Wait, killing it when its time has come, and say how it ended."""
        self.process.join(self.trouble.seconds or patience)
        hangs = self.process.is_alive() and not self.trouble.seconds
        if hangs and self.process.pid:
            os.kill(self.process.pid, signal.SIGUSR1)  # it says where
            time.sleep(1)
        self.process.kill()
        self.process.join()
        code, seconds = self.process.exitcode, time.monotonic() - self.start
        self.process.close()
        stdout, stderr = (self._said(ending) for ending in (".out", ".err"))
        assert code is not None and not hangs, f"hangs: {stderr}"
        tally = self.log.with_suffix(".ops")
        return Ended(code, stdout, stderr, seconds, tally.stat().st_size if tally.exists() else 0)

    def _said(self, ending: str) -> str:
        with open(self.streams[ending], "rb") as stream:  # noqa: PTH123  (a descriptor)
            return (stream.read() or b"").decode()


def _pipe(path: Path) -> int:
    """A pipe by name, to read from: what a process says must not need space on a disk."""
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 2**20)
    return end


@functools.cache
def _server() -> ForkServerContext:
    """The server with `zygote` loaded; it would pass over a module it does not find."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults.zygote"])
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "NUMBA_NUM_THREADS",
        ):
            patch.setenv(name, "1")
        patch.setenv("NUMBA_THREADING_LAYER", "workqueue")  # the others refuse to work after a fork
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(sys.path)
        )  # Python 3.11 gives the server no path of ours
        # one that an earlier test had started preloads nothing: there is one a process, and it is
        # not asked again
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        forkserver.ensure_running()
    return context


def _live(
    desk: Path,
    words: tuple[str, ...],
    trouble: Trouble,
    log: Path,
    records: bool,
    compiles: bool,
    clicks: bool,
) -> None:
    """In the child: take on the trouble, then be the command line."""
    from faults import zygote

    assert zygote.WARM == os.getppid(), "the fork server is not warm"
    for number, ending in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(log.with_suffix(ending), os.O_WRONLY), number)
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
    os.chdir(desk)
    os.environ["GZFEATURES_STORE"] = str(desk / "store")
    os.environ["GZFEATURES_COMPILED"] = str(desk / COMPILED)
    # no result, and not on a disk that is full, but where it is what is tried
    os.environ["XDG_STATE_HOME"] = str((desk if records else desk.parent) / STATE)
    os.environ["MPLCONFIGDIR"] = str(desk.parent)
    if compiles:
        zygote.compile_at_once(Path((desk / LIBRARIES).read_text()))
    if clicks:
        zygote.volunteer(confirmed_on(desk))
    sys.argv = ["gzfeatures", *words]
    if trouble.humble:
        _without_rights()
    if trouble.largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.largest_file, trouble.largest_file))
    if trouble.memory:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + trouble.memory, held + trouble.memory))
    _count(desk, trouble, os.open(log.with_suffix(".ops"), os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    from gzfeatures.cli import main

    main()


def _count(desk: Path, trouble: Trouble, tally: int) -> None:
    """Count file operations under the desk; let the trouble come at its own."""
    inside, done = str(desk), 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event not in OPERATIONS or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        place = os.path.join(inside, os.fsdecode(arguments[0]))  # noqa: PTH118
        if not place.startswith(inside):
            return
        done += 1
        os.write(tally, b".")
        if done == trouble.operation:
            if trouble.signal:
                os.kill(os.getpid(), trouble.signal)
            if trouble.clock:
                now = time.time
                time.time = lambda: now() + trouble.clock
            for name, data in trouble.vanish:
                _exchange(desk / name, data)

    sys.addaudithook(hook)


def _exchange(path: Path, data: bytes | None) -> None:
    """Remove a file, or put another in its place as a download would: under its name in one
    step."""
    if data is None:
        path.unlink()
    else:
        path.with_name(".new").write_bytes(data)
        path.with_name(".new").replace(path)


def _without_rights() -> None:
    """Give up all capabilities: to root, permissions then say what they say to everybody."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(Header(0x20080522, 0)), nothing):
        raise OSError(ctypes.get_errno(), "capset")
