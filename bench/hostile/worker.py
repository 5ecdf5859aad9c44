"""Starts `ocrpool-worker` with a gauge on its event loop.

`python -m bench.hostile.worker REPORT COOLDOWN serve …` does what `ocrpool-worker serve …` does,
but a ceiling that memory has lowered is raised again after COOLDOWN seconds and not after five
minutes: else the worker of a run with hundreds of faults had one instance soon.

Every callback of the loop is timed by the CPU time of its thread, and a heartbeat says how late the
loop was by the clock; SIGUSR1 writes the worst since the last time to REPORT (JSON) and begins
anew. SIGUSR2 lets the wall clock of this process jump a day ahead, and back with the next one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio import events
from typing import Any

_DAY = 86_400.0
_BEAT_SECONDS = 0.05


class Gauge:
    """The worst callbacks of a loop, and how late it was at most."""

    def __init__(self, report: str) -> None:
        self._report = report
        self._number = 0
        self._jump = 0.0
        self._beats = False
        self._reset()

    def _reset(self) -> None:
        self.cpu, self.cpu_of = 0.0, ""
        self.late = 0.0
        self.calls = 0

    def install(self) -> None:
        """From now on, in this process."""
        run = events.Handle._run
        now = time.thread_time

        def timed(handle: events.Handle) -> None:
            callback = getattr(handle, "_callback", None)  # gone once it is cancelled
            began = now()
            run(handle)
            cpu = now() - began
            self.calls += 1
            if cpu > self.cpu:
                self.cpu, self.cpu_of = cpu, _name(callback)
            if not self._beats:
                self._beats = True
                self._beat(asyncio.get_running_loop(), 0.0)

        events.Handle._run = timed  # type: ignore[method-assign, assignment]
        wall_clock = time.time
        time.time = lambda: wall_clock() + self._jump
        signal.signal(signal.SIGUSR1, lambda *_: self.write())
        signal.signal(signal.SIGUSR2, lambda *_: self._leap())

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        if due:
            self.late = max(self.late, now - due)
        loop.call_later(_BEAT_SECONDS, self._beat, loop, now + _BEAT_SECONDS)

    def write(self) -> None:
        """Write the report and begin anew."""
        self._number += 1
        found = {
            "number": self._number,
            "calls": self.calls,
            "cpu": self.cpu,
            "cpuOf": self.cpu_of,
            "late": self.late,
        }
        self._reset()
        with open(f"{self._report}.new", "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(f"{self._report}.new", self._report)

    def _leap(self) -> None:
        self._jump = 0.0 if self._jump else _DAY


def _name(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", repr(owner))
    return getattr(callback, "__qualname__", None) or repr(callback)[:200]


def main() -> int:
    report, cooldown, *arguments = sys.argv[1:]
    Gauge(report).install()
    # Imported late: the gauge is there before anything of the worker.
    from ocrpool_worker import cli  # noqa: PLC0415
    from ocrpool_worker.supervisor import rules  # noqa: PLC0415

    rules.CEILING_COOLDOWN = float(cooldown)
    return cli.main(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
