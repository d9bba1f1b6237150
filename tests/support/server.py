"""A server in a process of its own, on a free port of 127.0.0.1, for tests that ask it over
HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """Started with it; `close` ends it and what it began.

    Parameters
    ----------
    command : sequence of str
        What to run.
    port : int
        Where it will listen.
    alive : str
        Path that answers once it does.
    log : Path
        Takes all that it writes.
    environment : mapping of str to str
        Added to this process's.
    seconds : float
        How long it may take to begin.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        alive: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        seconds: float = 120,
    ) -> None:
        self.base = f"http://127.0.0.1:{port}"
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                env=os.environ | (environment or {}),
                start_new_session=True,
            )
        end = time.monotonic() + seconds
        while True:
            try:
                self.ask(alive)
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.close()
                    raise AssertionError(f"does not answer:\n{log.read_text()}") from None
                time.sleep(0.1)

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """Its answer; a JSON body is posted."""
        request = urllib.request.Request(
            self.base + path, body, {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return bytes(answer.read())

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)
