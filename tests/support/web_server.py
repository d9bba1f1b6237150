"""A web server on 127.0.0.1 with one action for each path, well-behaved or not."""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


class WebHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append((self.path, time.monotonic()))
            plan = self.server.paths.get(self.path, missing)
        try:
            plan(self)
        except OSError:  # the client hung up
            self.close_connection = True

    def answer(
        self, body: bytes, kind: str = "image/jpeg", status: int = 200, **headers: str
    ) -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


Action = Callable[[WebHandler], None]


class WebServer(ThreadingHTTPServer):
    """Serves `paths`, and notes what was asked when."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), WebHandler)
        self.paths: dict[str, Action] = {}
        self.asked: list[tuple[str, float]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the game."""

    def put_folder(self, images: dict[str, Action], where: str = "/g/") -> str:
        """Serve images under an index page; return its address."""
        links = "".join(f'<li><a href="{name}">{name}</a>' for name in images)
        self.paths[where] = page(links)
        self.paths |= {where + name: action for name, action in images.items()}
        return self.url + where


@contextlib.contextmanager
def serving() -> Iterator[WebServer]:
    """A server that answers while the block runs."""
    server = WebServer()
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def picture(number: int = 0, pixels: int = 20) -> bytes:
    """A JPEG that no other number has."""
    values = np.random.default_rng(number).integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG")
    return file.getvalue()


def missing(handler: WebHandler) -> None:
    handler.answer(b"no", "text/plain", 404)


def page(links: str) -> Action:
    return lambda handler: handler.answer(links.encode(), "text/html")


def sends(body: bytes, **headers: str) -> Action:
    return lambda handler: handler.answer(body, **headers)


def redirect(target: str) -> Action:
    return lambda handler: handler.answer(b"", status=302, Location=target)


def status(code: int, **headers: str) -> Action:
    return lambda handler: handler.answer(b"go away", "text/plain", code, **headers)


def in_turn(*actions: Action) -> Action:
    """Another action at each question; the last one stays."""
    left = list(actions)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def chunks(parts: Iterator[bytes], pause: float = 0.0) -> Action:
    """A body in chunks, whose length nobody says before."""

    def action(handler: WebHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            handler.wfile.flush()
            time.sleep(pause)
        handler.wfile.write(b"0\r\n\r\n")

    return action


def endless(start: bytes, part: bytes = bytes(2**16)) -> Iterator[bytes]:
    yield start
    while True:
        yield part


def drip_body(handler: WebHandler) -> None:
    """A byte of a picture now and then."""
    data = picture()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    for byte in data:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def drip_headers(handler: WebHandler) -> None:
    """A byte of the headers now and then, for some twenty seconds."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 400:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


def unpacks_to(start: bytes, size: int) -> bytes:
    """A packed body that is short, and long when it is unpacked."""
    return gzip.compress(start + bytes(size), 9)


def part_of(body: bytes) -> Action:
    """A file whose parts can be asked for."""

    def action(handler: WebHandler) -> None:
        begin, _, end = handler.headers.get("Range", "").removeprefix("bytes=").partition("-")
        first, last = int(begin), min(int(end), len(body) - 1)
        place = f"bytes {first}-{last}/{len(body)}"
        handler.answer(body[first : last + 1], status=206, Content_Range=place)

    return action


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """Address of a port of 127.0.0.1 that listens and takes no further connection."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # those that fit the queue, and those that wait for it
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def speechless() -> Iterator[str]:
    """Address of a port of 127.0.0.1 that takes connections and never says a word of TLS."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
