"""Read a gzip file from any offset: decompressor states are stored every few megabytes."""

from __future__ import annotations

import bisect
import functools
import io
import zlib
from collections import deque
from pathlib import Path
from typing import Any, TypeAlias

STRIDE = 8 * 2**20
"""Decompressed bytes between two stored states; each state needs about 50 kB."""

BLOCK = 2**16

Mark: TypeAlias = tuple[int, int, Any]
"""Decompressed offset, compressed offset, and the decompressor's state at that position."""


class _SeekPoints:
    """Store decompressor states of a gzip file, from which reading can start again.

    A state is stored every few megabytes, and at the positions where the last readers stopped.
    """

    def __init__(self) -> None:
        self.strides: list[Mark] = [(0, 0, zlib.decompressobj(31))]
        self.stops: deque[Mark] = deque(maxlen=16)

    def before(self, offset: int) -> Mark:
        """Return the last stored decompressor state at or before a decompressed offset."""
        best = self.strides[bisect.bisect_right(self.strides, offset, key=lambda mark: mark[0]) - 1]
        for stop in tuple(self.stops):
            best = stop if best[0] < stop[0] <= offset else best
        return best

    def keep_beyond(self, mark: Mark) -> None:
        """Store a decompressor state if it is 8 MB or more beyond the last stored state."""
        if mark[0] >= self.strides[-1][0] + STRIDE:
            self.strides.append(mark)


@functools.lru_cache(maxsize=8)
def _seek_points(path: Path, size: int, changed: int) -> _SeekPoints:
    """Return the decompressor states stored in this process for a gzip file.

    They are stored in lists and deques, which need no lock that a fork could break.
    """
    return _SeekPoints()


class GzipReader(io.RawIOBase):
    """Read the decompressed bytes of a gzip file; going backwards is fast too.

    Raises
    ------
    zlib.error
        The file is damaged.
    EOFError
        The file ends too early.
    """

    def __init__(self, path: Path) -> None:
        status = path.stat()
        self._marks = _seek_points(path, status.st_size, status.st_mtime_ns)
        self._file = path.open("rb")
        self._position = 0
        self._restart(self._marks.before(0))

    def _restart(self, mark: Mark) -> None:
        self._start, self._done, self._packed = mark, mark[0], mark[1]
        self._state = mark[2].copy()
        self._ready = b""
        self._file.seek(self._packed)

    def readable(self) -> bool:
        """Return True, as Python's file interface asks, because the gzip file can be read."""
        return True

    def seekable(self) -> bool:
        """Return True, as Python's file interface asks, because `seek` works."""
        return True

    def tell(self) -> int:
        """Return the decompressed offset of the next byte to be read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a decompressed offset, counted from the start or from the current position."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of a gzip file is not known beforehand")
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` decompressed bytes, or all bytes if `size` is negative."""
        mark = self._marks.before(self._position)
        if self._position < self._done or mark[0] > self._done + len(self._ready):
            self._restart(mark)
        parts: list[bytes] = []
        while size != 0:
            part = self._ready[self._position - self._done :]
            part = part[:size] if size > 0 else part
            if not part and not self._more():
                break
            parts.append(part)
            self._position += len(part)
            size -= len(part) if size > 0 else 0
        return b"".join(parts)

    def _more(self) -> bool:
        """Decompress the next block of the gzip file; return False if the file has ended."""
        self._done += len(self._ready)
        self._ready = b""
        self._start = (self._done, self._packed, self._state.copy())
        self._marks.keep_beyond(self._start)
        while not self._ready:
            if self._state.eof:
                self._file.seek(self._packed - len(self._state.unused_data))
                # skip zeros behind the compressed data: tapes and some programs fill up blocks
                while self._file.peek(1).startswith(b"\0"):
                    ready = self._file.peek(1)
                    self._file.read(len(ready) - len(ready.lstrip(b"\0")))
                if not self._file.peek(1):
                    return False
                self._packed, self._state = self._file.tell(), zlib.decompressobj(31)
            block = self._file.read(BLOCK)
            if not block:
                raise EOFError("gzip file is truncated")
            self._packed += len(block)
            self._ready = self._state.decompress(block)
        return True

    def close(self) -> None:
        """Close the gzip file; store the decompressor state at this position for later readers."""
        if not self.closed:
            self._marks.stops.append(self._start)
            self._file.close()
        super().close()
