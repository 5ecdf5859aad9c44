"""Run a helper program for a bounded time, and clean up all of its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FinishedProcess:
    """The result of a helper program. `code` is None after a time-out; `output` is its stdout and
    stderr."""

    code: int | None
    output: str


def run_bounded(
    command: Sequence[str], *, scratch: Path, env: Mapping[str, str], seconds: float
) -> FinishedProcess:
    """Run `command` with this environment, changed by `env` (an empty value removes a variable).

    Its temporary files and output go into `scratch`. After `seconds`, and whenever this function
    ends, it is killed together with its child processes. Raises OSError if it cannot be started.
    """
    log = scratch / "output.log"
    merged = {**os.environ, "TMPDIR": str(scratch), **env}
    merged = {key: value for key, value in merged.items() if value}
    with log.open("wb") as output:
        # Its own session, so that one signal also reaches its children. The output is a file,
        # because a pipe would stay open as long as any grandchild lives.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=merged,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return FinishedProcess(code, log.read_text(encoding="utf-8", errors="replace"))


def last_line(output: str, *, containing: str = "") -> str:
    """The last non-empty line that contains `containing`, shortened and printable, or ""."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and containing in line]
    return "".join(c for c in lines[-1][:300] if c.isprintable()) if lines else ""
