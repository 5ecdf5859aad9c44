"""A supervisor without processes, for unit tests."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ocrpool_worker.supervisor.requests import PageAnswer, RequestSpec
from ocrpool_worker.supervisor.supervisor import Supervisor
from tests.unit.worker.fake_instances import Clock, FakeProbe, FakeProcess, settings, settle

IMAGE, PDF, TIFF = RequestSpec("image"), RequestSpec("pdf"), RequestSpec("tiff")
Answers = asyncio.Task[list[PageAnswer]]


class SupervisorWorld:
    """A supervisor, its instances by number, and the clock."""

    def __init__(self, supervisor: Supervisor, clock: Clock) -> None:
        self.supervisor = supervisor
        self.clock = clock

    @property
    def counters(self) -> Mapping[str, float]:
        return self.supervisor.counters

    def processes(self) -> dict[int, FakeProcess]:
        found = {}
        for instance in self.supervisor._manager.instances.values():
            assert isinstance(instance.process, FakeProcess)
            found[int(instance.ident[1:])] = instance.process
        return found

    def states(self) -> list[str]:
        return [one.state for one in self.supervisor.state().instances.each]

    async def start_instances(self) -> None:
        """Let instances start until all are warm."""
        self.clock.now += 60
        self.supervisor._manager.reconcile()
        await self.until_warm()

    async def until_warm(self) -> None:
        while True:
            # `observe` asks the fake device in a thread.
            await asyncio.sleep(0.002)
            starting = [
                one for one in self.supervisor._manager.instances.values() if one.expected_answer
            ]
            starting = [one for one in starting if one.expected_answer == "start"]
            if not starting and not self.supervisor._manager.starting:
                return
            for one in starting:
                assert isinstance(one.process, FakeProcess)
                one.process.report("ready")

    async def send(self, body: bytes = b"picture", spec: RequestSpec = IMAGE) -> Answers:
        task = asyncio.ensure_future(self.supervisor.process(body, spec))
        await settle()
        return task

    def busy(self) -> FakeProcess:
        """The one instance that has a page."""
        (busy,) = (
            one for one in self.supervisor._manager.instances.values() if one.item is not None
        )
        assert isinstance(busy.process, FakeProcess)
        return busy.process

    async def let_it_exit(self, status: int = -signal.SIGSEGV) -> None:
        """The busy instance begins its page and exits; others start in its place."""
        process = self.busy()
        process.begin()
        process.exit(status)
        await self.start_instances()


@asynccontextmanager
async def world_of(instances: int = 1, **sections: Any) -> AsyncIterator[SupervisorWorld]:
    clock = Clock()
    supervisor = Supervisor(
        settings(**sections), probe=FakeProbe(), instances=instances, clock=clock
    )
    world = SupervisorWorld(supervisor, clock)
    supervisor.start()
    await world.start_instances()
    try:
        yield world
    finally:
        for process in world.processes().values():
            process.exit(0)
        await supervisor.close()
