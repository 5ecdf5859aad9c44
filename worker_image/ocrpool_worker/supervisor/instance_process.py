"""The process of one instance, as its supervisor sees it: pid, socket, shared buffer, parent pipe.

This module moves bytes and watches the process. The instance manager decides what follows from a
message or an exit.
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
_OUTPUT_LINES = 20
_LINE_LIMIT = 64 * 1024
# How long a process may take to exit after its socket closed. A core dump of gigabytes takes time.
_EXIT_SECONDS = 2.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class InstanceProcess:
    """Lives from `start` until `on_exit` is called. That happens exactly once, with the exit status
    as in `subprocess`."""

    def __init__(
        self,
        ident: str,
        *,
        environment: Mapping[str, str],
        answer_budget: AnswerBudget,
        on_frame: Callable[[Frame], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self.ident = ident
        self.pid = 0
        self._environment = environment
        self._on_frame = on_frame
        self._on_exit = on_exit
        self._reader = FrameReader(answer_budget)
        self._sock: socket.socket | None = None
        self._parent_pipe = -1
        self._process: asyncio.subprocess.Process | None = None
        self._output: deque[str] = deque(maxlen=_OUTPUT_LINES)
        self._watcher: asyncio.Task[None] | None = None
        self._unsent = bytearray()
        self._hung_up = False
        self._pidfd = -1
        self.shared_buffer: SharedBuffer | None = None
        # The number of the last command that it began; known once its socket has closed.
        self.last_taken = 0
        # Why its supervisor killed it.
        self.killed_for: str | None = None

    async def start(self) -> None:
        """Exec the process. Raises OSError where the system cannot create one more."""
        ours, theirs = socket.socketpair()
        held, inherited = -1, -1
        try:
            self.shared_buffer = SharedBuffer()
            # The instance reads this pipe. It gets an end of file when this process exits.
            inherited, held = os.pipe()
            command: Sequence[str] = (
                sys.executable,
                "-m",
                "ocrpool_worker.instance.main",
                str(theirs.fileno()),
                str(inherited),
                str(self.shared_buffer.fileno()),
                str(os.getpid()),
            )
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self._environment),
                pass_fds=(theirs.fileno(), inherited, self.shared_buffer.fileno()),
                limit=_LINE_LIMIT,
                # Ctrl-C in a terminal must not reach it: the supervisor stops it.
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
            if inherited >= 0:
                os.close(inherited)
        ours.setblocking(False)
        self.pid = self._process.pid
        with contextlib.suppress(OSError):  # kernels and sandboxes without pidfd_open
            self._pidfd = os.pidfd_open(self.pid)
        self._sock, self._parent_pipe = ours, held
        loop = asyncio.get_running_loop()
        loop.add_reader(ours.fileno(), self._on_readable)
        self._watcher = loop.create_task(self._watch_process(self._process))

    @property
    def connected(self) -> bool:
        """Whether its socket is open. It closes a little before the exit is reported."""
        return self._sock is not None

    def send(self, head: Mapping[str, Any]) -> bool:
        """Send one frame. False where the process exits or has exited; `on_exit` reports it."""
        if self._sock is None:
            return False
        data = encode(head)
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            # One small frame is sent at a time, so a full socket means that it does not read.
            self.kill("its socket is full")
            return False
        except OSError:
            return False
        if sent < len(data):
            self._unsent += data[sent:]
            asyncio.get_running_loop().add_writer(self._sock.fileno(), self._on_writable)
        return True

    def hang_up(self) -> None:
        """Ask it to exit: it does so at the end of file on its socket, after its current page."""
        self._hung_up = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    @property
    def ended(self) -> bool:
        """Whether the process has exited. `on_exit` may not have been called yet."""
        if self._process is None or self._process.returncode is not None:
            return True
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:  # it was reaped a moment ago
            return True

    @property
    def stopped(self) -> bool:
        """Whether the process is stopped: by SIGSTOP, or by a debugger."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b") ")[2][:1] in (b"T", b"t")
        except OSError:
            return False

    def kill(self, why: str) -> None:
        """Send SIGKILL, which also ends a stopped process. Does nothing where it has exited."""
        if not self.ended:
            self.killed_for = self.killed_for or why
            _log.info("instance killed", extra={"instance": self.ident, "why": why})
            self._kill()

    def _kill(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        # Not asyncio's `kill`: it polls the process, which can take the exit status away from
        # asyncio's own child watcher.
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Wait until `on_exit` was called."""
        if self._watcher is not None:
            await asyncio.shield(self._watcher)

    @property
    def last_output(self) -> str:
        """The last lines of its output, in one line."""
        return " | ".join(self._output)

    def _on_readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            if not self._hung_up:  # it is most likely exiting; nothing more can come from it
                why = "it closed its socket and did not exit"
                asyncio.get_running_loop().call_later(_EXIT_SECONDS, self.kill, why)
            return
        try:
            for frame in self._reader.feed(data):
                self._on_frame(frame)
        except ChannelBroken as error:
            self.kill(f"it sent {error}")
            self._close()  # read nothing more from it

    def _on_writable(self) -> None:
        assert self._sock is not None
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = len(self._unsent)
        del self._unsent[:sent]
        if not self._unsent:
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
                self.last_taken = self.shared_buffer.last_taken()
                self.shared_buffer.close()
                self.shared_buffer = None

    async def _watch_process(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        output = asyncio.create_task(self._read_output(process.stdout))
        status = await process.wait()
        # Frames that it sent before it exited still count.
        while self._sock is not None:
            before = self._sock
            self._on_readable()
            if self._sock is before and not _has_data(before):
                break
        self._close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        # A grandchild may keep the pipe open, so wait for the rest of the output only briefly.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(output, timeout=0.2)
        self._on_exit(status)

    async def _read_output(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line over the limit: asyncio drops its beginning
                continue
            if not line:
                return
            text = _COLOUR.sub("", line.decode("utf-8", errors="replace")).rstrip()
            if text:
                self._output.append(text)
                _log.debug(text, extra={"instance": self.ident})


def _has_data(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False
