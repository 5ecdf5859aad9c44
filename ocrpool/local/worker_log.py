"""What a worker writes: read from a pipe, kept in files of bounded size, its last lines in memory.

The worker's end of the pipe does not block: while we are stopped, or gone, it loses lines and goes
on. A disk that is full costs lines, too, and nothing else: what we learn from the log (the ports,
the last words) never comes from the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

# NAME.log, NAME.log.1 and NAME.log.2, of at most so many bytes each.
MOST_BYTES = 10 * 2**20
FILES = 3
_CHUNK = 64 * 1024
_LAST_LINES = 20
# After a death its last lines are in the pipe already.
_REST_SECONDS = 1.0


class WorkerLog:
    """The log of one worker, over all of its lives, one after the other."""

    def __init__(
        self, path: Path, *, on_line: Callable[[str], None], on_trouble: Callable[[OSError], None]
    ) -> None:
        """`on_line` gets every line; `on_trouble` why one could not be kept."""
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._files = _Files(path, on_trouble)
        self._on_line = on_line
        self._reading = -1
        self._begun = b""
        self._ended = asyncio.Event()

    def open(self) -> int:
        """A descriptor for the worker's output, to be closed here once it has it. Raises OSError
        where there is none left."""
        self._close()
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(writing, False)
        self.last.clear()
        self._ended.clear()
        asyncio.get_running_loop().add_reader(self._reading, self._readable)
        return writing

    async def rest(self) -> None:
        """After the worker's end: until all that it wrote has been read."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _REST_SECONDS)

    def close(self) -> None:
        """Read no further."""
        self._close()
        self._files.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._close()
            return
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _CHUNK:
            lines.append(self._begun)
            self._begun = b""
        for line in lines:
            self._take(line)

    def _take(self, raw: bytes) -> None:
        line = raw.decode("utf-8", errors="replace")
        self.last.append(line)
        self._on_line(line)
        self._files.emit(logging.makeLogRecord({"msg": line}))

    def _close(self) -> None:
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1
            if self._begun:
                self._take(self._begun)
                self._begun = b""
        self._ended.set()


class _Files(RotatingFileHandler):
    def __init__(self, path: Path, on_trouble: Callable[[OSError], None]) -> None:
        super().__init__(
            path, maxBytes=MOST_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True
        )
        self._on_trouble = on_trouble

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        # What could not be written stays in the stream, and closing it would fail again and again.
        stream, self.stream = self.stream, None
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
        self._on_trouble(error)
