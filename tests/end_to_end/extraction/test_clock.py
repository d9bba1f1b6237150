"""Looking up a host, connecting and TLS end when the work is stopped; no call into C does."""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from web_server import full_backlog, redirect, serving, speechless

from gzfeatures.web.clock import interruptible, timed
from gzfeatures.web.outcomes import NoAnswer, Unanswered
from gzfeatures.web.polite_http import Service

LONG = 60.0
"""Seconds that a silent resolver or server would cost if it were waited for."""


class Resolver:
    """A resolver of names that says nothing until it is released; before that it answers some."""

    def __init__(self, answers: int = 0) -> None:
        self.released, self._left, self._plain = threading.Event(), answers, socket.getaddrinfo

    def __call__(self, *words: object, **more: object) -> object:
        self._left -= 1
        if self._left < 0:
            self.released.wait(LONG)
            raise socket.gaierror("released")
        return self._plain(*words, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def silent_resolver() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolver := Resolver())
        yield "http://galaxies.invalid/"
        resolver.released.set()


@contextlib.contextmanager
def silent_resolver_of_a_redirect() -> Iterator[str]:
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        server.paths["/"] = redirect("http://galaxies.invalid/")
        # the first look-up is that of the connection
        patch.setattr(socket, "getaddrinfo", resolver := Resolver(answers=1))
        yield server.url + "/"
        resolver.released.set()


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "a full backlog": full_backlog,
    "no word of TLS": speechless,
    "a silent resolver": silent_resolver,
    "a silent resolver of a redirect": silent_resolver_of_a_redirect,
}


def left_behind() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "left behind if late"]


@pytest.mark.parametrize("place", PLACES)
def test_who_waits_for_a_connection_is_woken_when_the_work_is_stopped(place: str) -> None:
    service, said = Service(retries=0, timeout=LONG), []

    def ask(address: str) -> None:
        with pytest.raises(NoAnswer) as caught:
            service.ask(lambda: service.answer(address))
        said.append(str(caught.value))

    with PLACES[place]() as address:
        thread = threading.Thread(target=ask, args=(address,), daemon=True)
        thread.start()
        time.sleep(0.5)
        assert thread.is_alive() and left_behind()
        service.stop()
        thread.join(2)
        assert said == ["stopped"]


def test_a_silent_resolver_costs_no_more_than_a_whole_answer_may() -> None:
    service = Service(retries=0, timeout=0.1)
    with silent_resolver() as address, pytest.raises(NoAnswer, match=r"not complete within 0\.4 s"):
        service.ask(lambda: service.answer(address))


def test_what_a_call_left_behind_brings_late_is_given_back_and_what_it_raises_is_dropped() -> None:
    release, given_back = threading.Event(), threading.Event()

    def slow(end: Callable[[], int]) -> Callable[[], int]:
        return lambda: end() if release.wait(LONG) else 0

    with timed(1, 0.05, threading.Event()):
        for end in (lambda: 7, lambda: 1 // 0):
            with pytest.raises(Unanswered):
                interruptible(slow(end), late=lambda found: given_back.set() if found == 7 else 1)
    release.set()
    assert given_back.wait(5)


def test_a_call_says_and_raises_what_it_would_without_a_clock() -> None:
    with timed(1, 5, threading.Event()):
        assert interruptible(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            interruptible(lambda: 1 // 0)
    here = threading.current_thread()
    assert interruptible(threading.current_thread) is here


CHILD = """
import os, socket, sys, time
from gzfeatures.cli import main
plain = socket.getaddrinfo
def found(host, *words, **more):
    if host == "127.0.0.1":
        return plain(host, *words, **more)
    os.write(2, b"asked\\n")
    time.sleep(60)
socket.getaddrinfo = found
port = int(sys.argv[1])
def connects(event, words):
    if event == "socket.connect" and words[1][1] == port:
        os.write(2, b"asked\\n")
sys.addaudithook(connects)
sys.argv[:2] = ["gzfeatures"]
main()
"""
"""A verb, which says when it connects to a silent server, or looks up a name that nobody knows."""


@pytest.mark.parametrize(
    ("silent", "number", "code"),
    [("resolver", signal.SIGTERM, 143), ("backlog", signal.SIGINT, 130)],
)
def test_a_signal_ends_a_verb_whose_images_lead_to_no_server_within_two_seconds(
    silent: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    labels = "".join(f"{k},{'ab'[k % 2]}\n" for k in range(40))
    (tmp_path / "labels.csv").write_text("galaxy_id,label\n" + labels)
    with full_backlog() as address, serving() as server:
        away = redirect((address if silent == "backlog" else "http://galaxies.invalid") + "/1.jpg")
        images = server.put_folder({f"{k}.jpg": away for k in range(40)})
        verb = ["check", str(tmp_path / "labels.csv"), "--images", images]
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, address.rpartition(":")[2], *verb],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[3],
        ) as child:
            assert isinstance(child.stderr, io.BufferedReader)
            try:
                assert child.stderr.readline() == b"asked\n"
                time.sleep(0.5)
                start = time.monotonic()
                child.send_signal(number)
                said = child.stderr.read().decode()
                child.wait(30)
            finally:
                child.kill()
    assert child.returncode == code
    assert time.monotonic() - start < 2, said
    assert said.count("interrupted;") == 1 and "Traceback" not in said
