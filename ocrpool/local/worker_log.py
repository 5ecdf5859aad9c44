"""The log of a worker: read from a pipe, kept in files of bounded size, last lines in memory.

The worker's end of the pipe does not block: while this process is stopped, or gone, the worker
loses log lines and keeps serving. A full disk loses log lines as well. The ports and the last
error are taken from the pipe, never from the disk.
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

# NAME.log, NAME.log.1 and NAME.log.2 have at most this size each.
MAX_BYTES = 10 * 2**20
FILES = 3
_CHUNK = 64 * 1024
_LAST_LINES = 20
# After an exit the last lines are already in the pipe.
_DRAIN_SECONDS = 1.0


class WorkerLog:
    """The log of one worker, over all restarts of its process."""

    def __init__(
        self, path: Path, *, on_line: Callable[[str], None], on_error: Callable[[OSError], None]
    ) -> None:
        """`on_line` gets every line; `on_error` gets the error of a line that cannot be written."""
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._files = _Files(path, on_error)
        self._on_line = on_line
        self._reading = -1
        self._partial_line = b""
        self._ended = asyncio.Event()

    def open(self) -> int:
        """A descriptor for the worker's output. The caller closes it once the worker has it.

        Raises OSError if no descriptor is left.
        """
        self._close()
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(writing, False)
        self.last.clear()
        self._ended.clear()
        asyncio.get_running_loop().add_reader(self._reading, self._readable)
        return writing

    async def drain(self) -> None:
        """After the worker's exit: wait until all of its output has been read."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _DRAIN_SECONDS)

    def close(self) -> None:
        """Stop reading and close the files."""
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
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        if len(self._partial_line) > _CHUNK:
            lines.append(self._partial_line)
            self._partial_line = b""
        for line in lines:
            self._record_line(line)

    def _record_line(self, raw: bytes) -> None:
        line = raw.decode("utf-8", errors="replace")
        self.last.append(line)
        self._on_line(line)
        self._files.emit(logging.makeLogRecord({"msg": line}))

    def _close(self) -> None:
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1
            if self._partial_line:
                self._record_line(self._partial_line)
                self._partial_line = b""
        self._ended.set()


class _Files(RotatingFileHandler):
    def __init__(self, path: Path, on_error: Callable[[OSError], None]) -> None:
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True
        )
        self._on_error = on_error

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        # The stream keeps the unwritten bytes, and each later close() would fail on them.
        stream, self.stream = self.stream, None
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
        self._on_error(error)
