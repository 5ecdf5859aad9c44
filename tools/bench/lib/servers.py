"""Processes that a measurement starts, waits for, and always ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tools.bench.lib.cgroup import MemoryCgroup

ROOT = Path(__file__).resolve().parents[3]
STOP_SECONDS = 30.0


class StartError(Exception):
    """A process did not start. The message contains the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get_status(url: str, timeout: float = 2) -> int | None:
    """The HTTP status of a GET, or None where nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Process:
    """A command in a process group of its own, with its output in a log file.

    `pipes`: the caller uses its stdin and stdout. `cgroup`: it runs in that memory cgroup. Used as
    a context manager, it starts on entry and ends on exit: SIGTERM, a wait, then SIGKILL to the
    rest of its group.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        environment: Mapping[str, str] | None = None,
        pipes: bool = False,
        cgroup: MemoryCgroup | None = None,
    ) -> None:
        self.name = name
        self._cgroup = cgroup
        self._pipes = pipes
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._folder = tempfile.TemporaryDirectory(prefix="ocrpool-bench-")
        self.folder = Path(self._folder.name)
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._paused = False

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command if self._cgroup is None else self._cgroup.command(self._command),
                stdin=subprocess.PIPE if self._pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._pipes else log,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._folder.cleanup()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = STOP_SECONDS) -> int | None:
        """Terminate it and wait. Returns the exit status, negative for a signal."""
        if self.process is None:
            return None
        self.resume()
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        # Kill what the leader left behind. The group does not exist where nothing is left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code

    def pause(self) -> None:
        """Stop the whole group, so that its idle loops use no CPU time."""
        if self.process is not None and not self._paused:
            os.killpg(self.process.pid, signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        if self.process is not None and self._paused:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGCONT)
            self._paused = False

    def log_tail(self, lines: int = 15) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def failed(self, what: str) -> StartError:
        state = "still running" if self.alive else f"exit status {self._exit_code()}"
        return StartError(f"{self.name}: {what} ({state}). End of its log:\n{self.log_tail()}")

    def _exit_code(self) -> int | None:
        return self.process.returncode if self.process is not None else None


class Server(Process):
    """A process that serves HTTP on 127.0.0.1:`port` and answers 200 on `health` when ready."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        name: str,
        health: str = "/health",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", module, "--port", str(self.port), *arguments]
        super().__init__(command, name=name, environment=environment)
        self._health = health

    def wait_ready(self, seconds: float = 180) -> Self:
        """Wait for `health`. Raises StartError."""
        deadline = time.monotonic() + seconds
        while get_status(f"http://127.0.0.1:{self.port}{self._health}") != 200:
            if not self.alive:
                raise self.failed("ended before it was ready")
            if time.monotonic() > deadline:
                raise self.failed(f"not ready within {seconds:.0f} s")
            time.sleep(0.1)
        return self
