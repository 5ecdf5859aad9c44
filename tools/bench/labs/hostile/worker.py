"""Starts `ocrpool-worker` with a monitor on its event loop.

`python -m tools.bench.labs.hostile.worker REPORT COOLDOWN serve …` runs `ocrpool-worker serve …`.
It raises a ceiling that memory has lowered after COOLDOWN seconds instead of five minutes:
otherwise a run with hundreds of faults would soon be down to one instance.

The monitor measures the CPU time of every callback and the delay of a heartbeat. SIGUSR1 writes the
worst values to REPORT (JSON) and resets them. SIGUSR2 moves the wall clock of this process a day
ahead, and back the next time.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

_DAY = 86_400.0
_PR_SET_PDEATHSIG = 1
_BEAT_SECONDS = 0.05
# Methods of a protocol that its transport calls directly, past the methods of the loop.
_PROTOCOL = ("connection_made", "data_received", "eof_received", "resume_writing")
# Methods of the loop with a callback, and its position; then those with a protocol factory.
_CALLBACKS = {"call_soon": 1, "call_soon_threadsafe": 1, "call_later": 2, "call_at": 2}
_CALLBACKS |= {"add_reader": 2, "add_writer": 2}
_PROTOCOLS = ("create_server", "connect_accepted_socket")

Callback = Callable[..., Any]


class LoopMonitor:
    """The longest callback of an event loop, and its largest delay."""

    def __init__(self, report: str) -> None:
        self._report = report
        self._number = 0
        self._jump = 0.0
        self._classes: set[type] = set()
        self._reset()

    def _reset(self) -> None:
        self.cpu, self.cpu_of = 0.0, ""
        self.late = 0.0
        self.calls = 0

    def install(self) -> None:
        """Monitor every loop that this process creates from now on."""
        uvloop.Loop = timed_loop(self)  # type: ignore[misc]
        wall_clock = time.time
        time.time = lambda: wall_clock() + self._jump
        signal.signal(signal.SIGUSR1, lambda *_: self.write())
        signal.signal(signal.SIGUSR2, lambda *_: self._move_clock())

    def timed(self, callback: Callback) -> Callback:
        """Wrap a callback so that its CPU time is measured."""
        now = time.thread_time

        def run(*args: Any) -> Any:
            began = now()
            try:
                return callback(*args)
            finally:
                cpu = now() - began
                self.calls += 1
                if cpu > self.cpu:
                    self.cpu, self.cpu_of = cpu, _name(callback)

        return run

    def time_protocol(self, factory: Callable[[], Any]) -> Callable[[], Any]:
        """Wrap a protocol factory so that the methods of its protocols are measured, too."""

        def make() -> Any:
            protocol = factory()
            kind = type(protocol)
            if kind not in self._classes:
                self._classes.add(kind)
                for name in _PROTOCOL:
                    setattr(kind, name, self.timed(getattr(kind, name)))
            return protocol

        return make

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the heartbeat."""
        self._heartbeat(loop, 0.0)

    def _heartbeat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        if due:
            self.late = max(self.late, now - due)
        loop.call_later(_BEAT_SECONDS, self._heartbeat, loop, now + _BEAT_SECONDS)

    def write(self) -> None:
        """Write the report and reset the values."""
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

    def _move_clock(self) -> None:
        self._jump = 0.0 if self._jump else _DAY


def timed_loop(monitor: LoopMonitor) -> type[uvloop.Loop]:
    """uvloop's loop class, with every callback measured."""
    base = uvloop.Loop

    def wrapped(name: str, place: int, wrap: Callable[[Callback], Callback]) -> Callback:
        method = getattr(base, name)

        def call(*args: Any, **more: Any) -> Any:
            # The first argument is the loop itself.
            return method(*args[:place], wrap(args[place]), *args[place + 1 :], **more)

        return call

    def run_forever(loop: uvloop.Loop) -> None:
        monitor.start(loop)
        base.run_forever(loop)

    methods = {name: wrapped(name, place, monitor.timed) for name, place in _CALLBACKS.items()}
    methods |= {name: wrapped(name, 1, monitor.time_protocol) for name in _PROTOCOLS}
    return type("TimedLoop", (base,), {"run_forever": run_forever, **methods})


def _name(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", repr(owner))
    return getattr(callback, "__qualname__", None) or repr(callback)[:200]


def main() -> int:
    report, cooldown, *arguments = sys.argv[1:]
    # The worker ends when the benchmark is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    LoopMonitor(report).install()
    # Imported here, so that the monitor is installed before the worker's modules load.
    from ocrpool_worker import cli  # noqa: PLC0415
    from ocrpool_worker.supervisor import failure_rules  # noqa: PLC0415

    failure_rules.CEILING_COOLDOWN = float(cooldown)
    return cli.main(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
