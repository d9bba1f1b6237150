"""Serve a page to a browser on this machine (127.0.0.1), and to no other machine or website.

Any website can make a browser send requests to this machine, also under the website's own name (DNS
rebinding). So a request must have name and port of this server in `Host`, the origin of its page in
`Origin`, and a secret token that only its page contains.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gzfeatures.errors import GzError

Action = Callable[[Any], Any]
LARGEST = 2**22
"""Largest allowed size of a request's body, in bytes."""
TOKEN = "X-Gzfeatures-Token"
PATIENCE = 30.0
"""Seconds of silence after which the server gives up an incomplete request."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LocalServer(ThreadingHTTPServer):
    """Serve one web page to a browser, and answer the requests that the page sends.

    Parameters
    ----------
    port : int
        Port on 127.0.0.1; 0 chooses a free port.

    Raises
    ------
    OSError
        Another program uses the port.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.page = b""
        self.actions: Mapping[str, Action] = {}
        self.token = secrets.token_urlsafe(32)
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback if a browser closes its connection during a request."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    @property
    def port(self) -> int:
        """Return the network port on which the server waits for requests."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """Return the web address of the page, which contains the secret token of this server."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, str]:
        """Return the names of this server, with its port, that a request may have in `Host`."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"


class _Refusal(Exception):
    """Error by which the server refuses a request, with an HTTP status and a reason."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server_version = "gzfeatures"
    sys_version = ""

    def log_message(self, format: str, *values: object) -> None:
        """Log nothing, because every requested address contains the secret token."""

    def do_GET(self) -> None:
        """Send the web page to a browser whose request contains the secret token."""
        try:
            self._require_host()
            address = urlsplit(self.path)
            if address.path != "/":
                raise _Refusal(404, "there is one page")
            self._require_token(parse_qs(address.query).get("token", [""])[0])
            self._send(200, self.server.page, "text/html; charset=utf-8")
        except _Refusal as refusal:
            self._refuse(refusal)

    def do_POST(self) -> None:
        """Run the action that the web page requests, one at a time; send its result as JSON."""
        try:
            content = self._content()
            action = self.server.actions.get(self.path.lstrip("/"))
            if action is None:
                raise _Refusal(404, "nothing of this name can be asked")
            with self.server.lock:
                answer = action(content)
            body = json.dumps(answer, ensure_ascii=True, allow_nan=False).encode()
            self._send(200, body, "application/json")
        except _Refusal as refusal:
            self._refuse(refusal)
        except GzError as error:
            self._refuse(_Refusal(400, str(error)))
        except OSError:
            raise
        except Exception as error:
            # show any unexpected error on the page, and let the server continue
            self._refuse(_Refusal(500, f"unexpected {type(error).__name__}: {error}"))

    def _content(self) -> Any:
        """Return the JSON data of a request; refuse a request of another page or without token."""
        self._require_host()
        if self.headers.get("Origin") not in [f"http://{host}" for host in self.server.hosts]:
            raise _Refusal(403, "another page asks")
        self._require_token(self.headers.get(TOKEN, ""))
        # accept only JSON: any web page can make a browser send a form here, but before it sends
        # JSON for another page, the browser asks this server, which does not allow it
        if self.headers.get_content_type() != "application/json":
            raise _Refusal(415, "a question is JSON")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refusal(411, "a question says how long it is")
        if len(length) > 10 or int(length) > LARGEST:
            raise _Refusal(413, f"a question has at most {LARGEST} bytes")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise _Refusal(400, "a question is JSON") from error

    def _require_host(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            raise _Refusal(421, "another server was meant")

    def _require_token(self, token: str) -> None:
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise _Refusal(403, "the token is missing: open the address that was printed")

    def _refuse(self, refusal: _Refusal) -> None:
        # close the connection: otherwise the part of the refused request that was not read would be
        # taken for the next request
        self.close_connection = True
        self._send(refusal.status, str(refusal).encode(), "text/plain; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
