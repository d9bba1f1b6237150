"""A server of cutouts on 127.0.0.1 that misbehaves where it is told to."""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import fits
from PIL import Image

PIXELS = 32


@functools.cache
def galaxy(ra: float, pixels: int = PIXELS) -> bytes:
    """A JPEG that no other position has."""
    noise = np.random.default_rng(round(ra * 1000)).integers(
        0, 255, (pixels, pixels, 3), dtype=np.uint8
    )
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=90)
    return file.getvalue()


def cube(ra: float, pixels: int = PIXELS, bands: str = "grz", blank: str = "") -> bytes:
    flux = (
        np.random.default_rng(round(ra * 1000))
        .normal(size=(len(bands), pixels, pixels))
        .astype(np.float32)
    )
    for band in blank:
        flux[bands.index(band)] = 0
    header = fits.Header(
        {"BANDS": bands, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": 0.0}
    )
    file = io.BytesIO()
    fits.PrimaryHDU(flux, header).writeto(file)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Serves galaxies; `plans[ra]` lists what to do at the first, second, … question for that
    position."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plans: dict[float, list[Callable[[Handler], None]]] = {}
        self.asked: list[tuple[float, float]] = []
        self.queries: list[dict[str, str]] = []
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/getjpeg"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the game."""


@contextlib.contextmanager
def cutouts_served() -> Iterator[Server]:
    """A server that answers in a thread of its own until the block ends."""
    with Server() as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.query = {
            name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()
        }
        ra = round(float(self.query["ra"]), 4)
        with self.server.lock:
            self.server.asked.append((ra, time.monotonic()))
            self.server.queries.append(self.query)
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            plan = self.server.plans.get(ra)
            action = plan.pop(0) if plan else serve
        try:
            time.sleep(self.server.delay)
            action(self)
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def answer(
        self, body: bytes, status: int = 200, length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def serve(handler: Handler) -> None:
    handler.answer(galaxy(float(handler.query["ra"]), int(handler.query.get("width", PIXELS))))


def body(data: bytes, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(data, **headers)


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(b"go away", code, **headers)


def cut_off(handler: Handler) -> None:
    data = galaxy(float(handler.query["ra"]))
    handler.answer(data[: len(data) // 2], length=len(data))
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def fall_silent(handler: Handler) -> None:
    time.sleep(0.5)
    handler.close_connection = True


def drip(handler: Handler) -> None:
    data = galaxy(float(handler.query["ra"]))
    handler.answer(b"", length=len(data))
    for byte in data[:30]:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)
    handler.close_connection = True
