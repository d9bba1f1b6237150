"""The browser that tests share is as a new one after `renew`."""

from __future__ import annotations

from pathlib import Path

from browser import Browser


def test_a_renewed_browser_has_one_empty_tab_and_nothing_of_what_came_before(
    chromium: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>x</title><p>x</p>", encoding="utf-8")
    chromium.renew().open(page)
    chromium.run(
        "localStorage.setItem('a', 'b'); console.error('loud');"
        "const link = document.createElement('a'); link.download = 'file.txt';"
        "link.href = URL.createObjectURL(new Blob(['x'])); link.click()"
    )
    chromium.downloaded("file.txt")
    chromium.resize(400, 300)
    first = chromium.tab
    chromium.switch(chromium.new_tab())
    chromium.crash()
    chromium.switch(first)
    assert chromium.run("return localStorage.length") == 1  # else nothing was to be taken away
    chromium.renew()
    assert chromium.tab != first and list(chromium.downloads.iterdir()) == []
    assert chromium.requests() == [] and chromium.complaints() == []
    chromium.open(page)
    assert chromium.run("return localStorage.length") == 0
    assert chromium.run("return window.innerWidth") > 400
    chromium.switch(chromium.new_tab())
    assert len(chromium.tabs) == 2
