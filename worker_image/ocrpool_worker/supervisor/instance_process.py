"""One instance as its supervisor sees it: an exec'd process, its socket, buffer and parent pipe.

This module moves bytes and watches the process; what follows from a message or an exit is the
pool's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import ChannelBroken, Frame, FrameReader, encode
from ocrpool_worker.ipc.shared_buffer import SharedBuffer

_log = logging.getLogger(__name__)
_CHUNK = 256 * 1024
_LAST_WORDS = 20
_LINE_LIMIT = 64 * 1024
# One whose socket has closed is ending, and a core of gigabytes takes its time.
_ENDING_SECONDS = 2.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class InstanceProcess:
    """Started with `start`, gone when `on_gone` was called (exactly once, with the exit status, as
    of `subprocess`)."""

    def __init__(
        self,
        ident: str,
        *,
        environment: Mapping[str, str],
        answers: AnswerBudget,
        on_frame: Callable[[Frame], None],
        on_gone: Callable[[int], None],
    ) -> None:
        self.ident = ident
        self.pid = 0
        self._environment = environment
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._reader = FrameReader(answers)
        self._sock: socket.socket | None = None
        self._parent_pipe = -1
        self._process: asyncio.subprocess.Process | None = None
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._watch: asyncio.Task[None] | None = None
        self._outbox = bytearray()
        self._hung_up = False
        self._pidfd = -1
        self.shared_buffer: SharedBuffer | None = None
        # The last order that it had taken when it went.
        self.taken = 0
        # Why it was killed from here.
        self.killed_for: str | None = None

    async def start(self) -> None:
        """Exec the process. Raises OSError where the system has no room for one more."""
        ours, theirs = socket.socketpair()
        held, watched = -1, -1
        try:
            self.shared_buffer = SharedBuffer()
            # The instance holds the reading end; the writing end closes with this process.
            watched, held = os.pipe()
            command: Sequence[str] = (
                sys.executable,
                "-m",
                "ocrpool_worker.instance.main",
                str(theirs.fileno()),
                str(watched),
                str(self.shared_buffer.fileno()),
                str(os.getpid()),
            )
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self._environment),
                pass_fds=(theirs.fileno(), watched, self.shared_buffer.fileno()),
                limit=_LINE_LIMIT,
                # Ctrl-C in a terminal must not reach it: the supervisor ends it in order.
                start_new_session=True,
            )
        except BaseException:
            if self.shared_buffer is not None:
                self.shared_buffer.close()
            ours.close()
            if held >= 0:
                os.close(held)
            raise
        finally:
            theirs.close()
            if watched >= 0:
                os.close(watched)
        ours.setblocking(False)
        self.pid = self._process.pid
        with contextlib.suppress(OSError):  # a kernel or sandbox without it
            self._pidfd = os.pidfd_open(self.pid)
        self._sock, self._parent_pipe = ours, held
        loop = asyncio.get_running_loop()
        loop.add_reader(ours.fileno(), self._readable)
        self._watch = loop.create_task(self._watch_process(self._process))

    @property
    def listens(self) -> bool:
        """Whether its socket is open; it closes a little before the exit is reported."""
        return self._sock is not None

    def send(self, head: Mapping[str, Any]) -> bool:
        """Send one frame. False where it is dead or dying, which `on_gone` reports."""
        if self._sock is None:
            return False
        data = encode(head)
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            # Cannot happen with one small frame on the way at a time; if it does, the instance
            # does not listen and is of no use.
            self.kill("its socket is full")
            return False
        except OSError:
            return False
        if sent < len(data):
            self._outbox += data[sent:]
            asyncio.get_running_loop().add_writer(self._sock.fileno(), self._writable)
        return True

    def hang_up(self) -> None:
        """Ask it to end: it does when its socket reports the end, after the page it is on."""
        self._hung_up = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    @property
    def ended(self) -> bool:
        """Whether it has ended, although that may not have been reported yet."""
        if self._process is None or self._process.returncode is not None:
            return True
        try:
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, look) is not None
        except ChildProcessError:  # its status was taken a moment ago
            return True

    @property
    def stopped(self) -> bool:
        """Whether it stands: by SIGSTOP, or under a debugger."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b") ")[2][:1] in (b"T", b"t")
        except OSError:
            return False

    def kill(self, why: str) -> None:
        """SIGKILL. Also ends a stopped process; does nothing to one that has ended."""
        if not self.ended:
            self.killed_for = self.killed_for or why
            _log.info("instance killed", extra={"instance": self.ident, "why": why})
            self._kill()

    def _kill(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        # Not through asyncio's kill: it looks for the exit status itself, and what asyncio waits
        # with would then find none.
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Until it is gone."""
        if self._watch is not None:
            await asyncio.shield(self._watch)

    @property
    def last_words(self) -> str:
        """The end of what it wrote to its output, in one line."""
        return " | ".join(self._last_words)

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            if not self._hung_up:  # it is ending, most likely; nothing more can come of it
                why = "it has closed its socket, and goes on"
                asyncio.get_running_loop().call_later(_ENDING_SECONDS, self.kill, why)
            return
        try:
            for frame in self._reader.feed(data):
                self._on_frame(frame)
        except ChannelBroken as error:
            self.kill(f"it sent {error}")
            self._close()  # nothing more that it says is believed

    def _writable(self) -> None:
        assert self._sock is not None
        try:
            sent = self._sock.send(self._outbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = len(self._outbox)
        del self._outbox[:sent]
        if not self._outbox:
            asyncio.get_running_loop().remove_writer(self._sock.fileno())

    def _close(self) -> None:
        if self._sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock.fileno())
            loop.remove_writer(self._sock.fileno())
            self._sock.close()
            self._sock = None
            self._reader.close()
            os.close(self._parent_pipe)
            if self.shared_buffer is not None:
                self.taken = self.shared_buffer.taken()
                self.shared_buffer.close()
                self.shared_buffer = None

    async def _watch_process(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        drain = asyncio.create_task(self._drain(process.stdout))
        status = await process.wait()
        # What it managed to send before it died still counts.
        while self._sock is not None:
            before = self._sock
            self._readable()
            if self._sock is before and not _has_more(before):
                break
        self._close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        # A grandchild may hold the pipe open; last words are worth a moment, not more.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(drain, timeout=0.2)
        self._on_gone(status)

    async def _drain(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line over the limit; its beginning is gone
                continue
            if not line:
                return
            text = _COLOUR.sub("", line.decode("utf-8", errors="replace")).rstrip()
            if text:
                self._last_words.append(text)
                _log.debug(text, extra={"instance": self.ident})


def _has_more(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False
