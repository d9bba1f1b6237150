"""A headless Chromium driven through chromedriver's W3C protocol, for tests of pages."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


class Browser:
    """One page at a time; `close` ends the processes it began."""

    def __init__(self, folder: Path, size: tuple[int, int] = (1280, 800)) -> None:
        driver, chromium = (
            shutil.which("chromedriver"),
            shutil.which("chromium") or shutil.which("google-chrome"),
        )
        if driver is None or chromium is None:
            missing = "no chromium with chromedriver to open the page in"
            if os.environ.get("CI"):
                pytest.fail(missing)  # a check that is never run there would pass for ever
            pytest.skip(missing)
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True)
        self.process = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        port = None
        while port is None:
            line = self.process.stdout.readline()
            port = re.search(r"successfully on port (\d+)", line)
            assert line, "chromedriver ended before it listened"
        self.base = f"http://127.0.0.1:{port[1]}/session"
        options = {
            "binary": chromium,
            "args": [
                *FLAGS,
                f"--window-size={size[0]},{size[1]}",
                f"--user-data-dir={folder / 'profile'}",
            ],
            "prefs": {
                "download.default_directory": str(self.downloads),
                "download.prompt_for_download": False,
                # a second file of one page, which nobody is there to allow
                "profile.default_content_setting_values.automatic_downloads": 1,
            },
        }
        logging = {"performance": "ALL", "browser": "ALL"}
        always = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": logging,
        }
        self.base += (
            "/" + self._call("POST", "", {"capabilities": {"alwaysMatch": always}})["sessionId"]
        )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:600]) from None

    def open(self, page: Path | str) -> None:
        """Go to a file or an address."""
        self._call(
            "POST", "/url", {"url": page if isinstance(page, str) else page.resolve().as_uri()}
        )

    def resize(self, width: int, height: int) -> None:
        """Show pages as a screen of so many px does; a window itself is not as narrow as 400."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        override = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self._call("POST", "/goog/cdp/execute", override)

    def renew(self) -> Browser:
        """Be as one that was just started: one empty tab, nothing stored, downloaded or logged.

        A start takes 2 to 3 processor seconds.
        """
        before = self.tabs
        left = self.new_tab()
        for handle in before:
            with contextlib.suppress(AssertionError):  # a tab that crashed has nothing to close
                self.switch(handle)
                self._call("DELETE", "/window")
        self.switch(left)
        everything = {"origin": "file://", "storageTypes": "all"}
        clear = {"cmd": "Storage.clearDataForOrigin", "params": everything}
        self._call("POST", "/goog/cdp/execute", clear)
        for kind in ("performance", "browser"):
            self._call("POST", "/se/log", {"type": kind})
        for path in self.downloads.iterdir():
            path.unlink()
        return self

    def new_tab(self) -> str:
        """Open another tab behind the current one; its handle."""
        handle: str = self._call("POST", "/window/new", {"type": "tab"})["handle"]
        return handle

    @property
    def tabs(self) -> list[str]:
        """Handles of all tabs."""
        handles: list[str] = self._call("GET", "/window/handles")
        return handles

    @property
    def tab(self) -> str:
        """Handle of the current tab."""
        handle: str = self._call("GET", "/window")
        return handle

    def switch(self, handle: str) -> None:
        """Go to another tab."""
        self._call("POST", "/window", {"handle": handle})

    def crash(self) -> None:
        """Kill the current tab, which runs no handler in which it could still do something."""
        with contextlib.suppress(AssertionError):  # the driver says that it crashed
            self.open("chrome://crash")

    def enter(self, selector: str) -> None:
        """Go on inside a frame of the page."""
        self._call(
            "POST",
            "/frame",
            {"id": self.until(f"return document.querySelector({json.dumps(selector)})")},
        )

    def leave(self) -> None:
        """Go back from a frame to the page around it."""
        self._call("POST", "/frame", {"id": None})

    def run(self, script: str) -> Any:
        """Value of a script's `return`."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def until(self, script: str, seconds: float = 60.0) -> Any:
        """First true value of a script, asked again and again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def downloaded(self, name: str, seconds: float = 60.0) -> Path:
        """File that the page hands over, once it is there and not empty."""
        path, end = self.downloads / name, time.monotonic() + seconds
        while not (path.exists() and path.stat().st_size):
            assert time.monotonic() < end, f"never downloaded: {name}"
            time.sleep(0.05)
        return path

    def pointer(self, *steps: dict[str, Any], kind: str = "mouse") -> None:
        """Move, press and lift: `{"type": "pointerMove", "x": …, "y": …}`, `pointerDown`,
        `pointerUp`."""
        moves = [{"duration": 20, "button": 0, **step} for step in steps]
        action = {
            "type": "pointer",
            "id": kind,
            "parameters": {"pointerType": kind},
            "actions": moves,
        }
        self._call("POST", "/actions", {"actions": [action]})

    def keys(self, text: str) -> None:
        strokes = [{"type": way, "value": key} for key in text for way in ("keyDown", "keyUp")]
        self._call(
            "POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]}
        )

    def requests(self) -> list[str]:
        """Addresses asked for so far that are not the file itself or made in the page."""
        entries = [
            json.loads(e["message"])["message"]
            for e in self._call("POST", "/se/log", {"type": "performance"})
        ]
        sent = [
            e["params"]["request"]["url"]
            for e in entries
            if e["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("file:", "blob:", "data:", "chrome:"))]

    def complaints(self) -> list[str]:
        """Errors and warnings on the page's console, but for advice on the tests' own looks at
        pixels."""
        entries = [
            e
            for e in self._call("POST", "/se/log", {"type": "browser"})
            if e["level"] in ("SEVERE", "WARNING")
        ]
        return [e["message"] for e in entries if "willReadFrequently" not in e["message"]]

    def picture(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))
        return path

    def close(self) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(20)
            self.process.stdout.close()
