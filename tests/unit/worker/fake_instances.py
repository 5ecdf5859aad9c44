"""Instances without processes, for unit tests of the supervisor: a test sends their frames and lets
them exit."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ocrpool.protocol import Memory, Problem
from ocrpool_worker.devices.snapshot import DeviceIdentity, DeviceSnapshot
from ocrpool_worker.errors import ModelError
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import startup
from ocrpool_worker.supervisor.launch import LaunchPlan

MIB = 2**20


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeBuffer:
    written: list[bytes] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    error: OSError | None = None

    def write(self, data: bytes, at: int = 0) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(bytes(data))

    def shrink(self) -> None:
        pass

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)


class FakeProcess:
    """Takes the place of InstanceProcess."""

    start_error: OSError | None = None

    def __init__(
        self,
        ident: str,
        *,
        environment: Mapping[str, str],
        answer_budget: object,
        on_frame: Callable[[Frame], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self.ident = ident
        self.pid = 0
        self.shared_buffer: FakeBuffer | None = FakeBuffer()
        self.connected = True
        self.exiting = False  # its socket is still open, but nothing can be sent any more
        self.stopped = False
        self.ended = False
        self.last_taken = 0
        self.killed_for: str | None = None
        self.last_output = "its last line"
        self.sent: list[Mapping[str, Any]] = []
        self.hung_up = False
        self._on_frame = on_frame
        self._on_exit = on_exit
        self._exited = asyncio.Event()

    async def start(self) -> None:
        if FakeProcess.start_error is not None:
            raise FakeProcess.start_error
        self.pid = int(self.ident[1:])

    def send(self, head: Mapping[str, Any]) -> bool:
        reached = self.connected and not self.exiting
        if reached:
            self.sent.append(head)
        return reached

    def hang_up(self) -> None:
        self.hung_up = True

    def kill(self, why: str) -> None:
        if not self.ended:
            self.killed_for = self.killed_for or why

    async def wait(self) -> None:
        await self._exited.wait()

    # -- what a test makes it do -----------------------------------------------------------

    def report(self, op: str, **fields: Any) -> None:
        """Send a frame."""
        head = {"op": op, "rss": 50 * MIB, "rssPeak": 60 * MIB, "device": None, "seconds": 0.5}
        if op == "ready":
            head |= {"buildSeconds": 1.0, "warmSeconds": 2.0, "pageSeconds": 0.5}
        elif self.sent:
            head["number"] = self.sent[-1].get("number")
        if op == "done":
            head |= {"width": 4, "height": 3}
        payload = fields.pop("payload", b"{}" if op == "done" else b"")
        self._on_frame(Frame(head | fields, payload))

    def begin(self) -> None:
        """Take the command that it was sent last."""
        self.last_taken = int(self.sent[-1]["number"])

    def exit(self, status: int = -signal.SIGKILL) -> None:
        self.ended, self.connected = True, False
        self._exited.set()
        self._on_exit(status)


class FakeWatch:
    """A device with 16 GiB of memory that a test can fill or break."""

    def __init__(self, kind: str = "cpu") -> None:
        self.identity = DeviceIdentity(kind, "a device")  # type: ignore[arg-type]
        self.free = 8192 * MIB
        self.problem: Problem | None = None
        self.refused = False

    def latest(self) -> DeviceSnapshot:
        total = 16384 * MIB
        memory = Memory(total=total, used=total - self.free, free=self.free)
        return DeviceSnapshot(memory=memory, problem=self.problem, refused=self.refused)

    async def observe(self) -> DeviceSnapshot:
        return self.latest()


class FakeProbe:
    def identity(self) -> DeviceIdentity:
        return DeviceIdentity("cpu", "a device")

    def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
        return FakeWatch().latest()


class FakeLauncher:
    """Model files that a test can damage."""

    def __init__(self) -> None:
        self.error: ModelError | None = None
        self.prepared: list[int] = []

    async def prepare(self, *, instances: int = 1, context_bytes: int = 0) -> LaunchPlan:
        if self.error is not None:
            raise self.error
        self.prepared.append(instances)
        return LaunchPlan({}, {"op": "start"})


def settings(**sections: Mapping[str, Any]) -> WorkerSettings:
    """Small settings with the noop engine."""
    values: dict[str, Any] = {
        "device": "cpu",
        "engine": {"name": "noop"},
        "instances": {"min": 1, "max": 8},
        "memory": {"reserve": 0},
        "recycle": {"memoryGrowth": 0},
    }
    return WorkerSettings.model_validate(values | sections)


def in_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Runs an async test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "InstanceProcess", FakeProcess)
    monkeypatch.setattr(FakeProcess, "start_error", None)


async def settle() -> None:
    """Let all tasks that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)
