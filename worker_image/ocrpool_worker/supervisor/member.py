"""One instance and what the supervisor knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from ocrpool_wire import InstanceState, Problem
from ocrpool_worker.supervisor.process import InstanceProcess
from ocrpool_worker.supervisor.work import Work


@dataclass(eq=False)
class Member:
    """Memory is in bytes, times are on the crew's clock."""

    ident: str
    process: InstanceProcess
    born: float
    state: InstanceState = "booting"
    work: Work | None = None
    # When it was given its work or, when it has none, since when it rests.
    since: float = 0.0
    # The number of the request whose bytes are in its mailbox.
    holds: int = 0
    answered: int = 0
    failed_in_a_row: int = 0
    memory: int = 0
    peak: int = 0
    memory_when_warm: int = 0
    memory_source: str = "none"
    # Why it is to be replaced although it works.
    recycle: str | None = None
    # Why its boot failed, in its own words.
    failure: Problem | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def here(self) -> bool:
        """Whether it counts towards what is wanted."""
        return self.state != "retiring"

    @property
    def ready(self) -> bool:
        return self.state in ("idle", "busy")

    def note_memory(self, head: Mapping[str, object]) -> None:
        """Take over what it said of its memory: the device's where it has one, else its RAM."""
        device, rss, peak = head.get("device"), head.get("rss"), head.get("rssPeak")
        if isinstance(device, int):
            self.memory, self.memory_source = device, "paddle"
            self.peak = max(self.peak, device)
        elif isinstance(rss, int):
            self.memory, self.memory_source = rss, "rss"
            self.peak = max(self.peak, rss, peak if isinstance(peak, int) else 0)

    def cancel_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()
