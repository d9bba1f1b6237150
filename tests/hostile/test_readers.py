"""Every reader meets damaged and hostile files: it reads them, or says what is wrong in one
line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.readers import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import put_row

from gzfeatures.errors import GzError

README = Path(__file__).with_name("README.md")
HEAD = "| reader | cases | tracebacks |"
TOKENS = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r\n", b",", b'"', b"'", b";", b"|", b"..",
    b"/etc/passwd",
    b"=1+1", b"=cmd|' /C calc'!A0", b"<script>alert(1)</script>", b"nan", b"inf", b"-1", b"1e999",
    b"9" * 40, b"true",
    b"null", b"{}", b"[]", b"[[", b"{" * 300, b"\xf0\x9f\x8c\x8c", "\u202e\u0000é".encode(), b"NaN",
    b"-999",
    b"module:name", b"%s%n", b"\\",
)  # fmt: skip
"""What is put into files: ends of words and numbers, other encodings, formulas, markup, places
outside."""

Change = tuple[str, int, int, bytes]
changes = st.lists(
    st.tuples(
        st.sampled_from(("flip", "set", "cut", "keep", "repeat", "put")),
        st.integers(0, 2**32 - 1),
        st.integers(0, 64),
        st.sampled_from(TOKENS),
    ),
    max_size=6,
)


def changed(data: bytes, change: Change) -> bytes:
    """A file after one change: a bit flipped, a byte set, a stretch cut or repeated, a beginning, a
    token put in."""
    kind, where, length, token = change
    at = where % (len(data) + 1)
    head, tail = data[:at], data[at:]
    return {
        "flip": head + bytes([tail[0] ^ 1 << length % 8]) + tail[1:] if tail else head,
        "set": head + bytes([length * 4 % 256]) + tail[1:],
        "cut": head + tail[length:],
        "keep": head,
        "repeat": head + tail[:length] * 2 + tail[length:],
        "put": head + token + tail,
    }[kind]


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_one_line(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cases = request.config.getoption("--cases")
    reader, path, met = READERS[name], tmp_path / READERS[name].name, [0]
    whole = reader.whole()

    @settings(
        max_examples=cases or 60,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(whole), changes)
    def meets(data: bytes, damage: list[Change]) -> None:
        for change in damage:
            data = changed(data, change)
        path.write_bytes(data)
        met[0] += 1
        try:
            reader.read(path)
        except GzError as error:
            assert len(str(error).splitlines()) == 1

    for data in whole:
        path.write_bytes(data)
        reader.read(path)
    meets()
    if cases:
        put_row(README, HEAD, (name, met[0], 0), keys=1)
