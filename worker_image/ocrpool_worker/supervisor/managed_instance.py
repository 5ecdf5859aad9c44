"""One instance and what the supervisor knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocrpool.protocol import InstanceState, Problem
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.footprint import FootprintEstimator, InstanceMemory
from ocrpool_worker.supervisor.instance_process import InstanceProcess
from ocrpool_worker.supervisor.requests import WorkItem


@dataclass(eq=False)
class ManagedInstance:
    """Memory is in bytes, times are on the manager's clock."""

    ident: str
    process: InstanceProcess
    born: float
    # The first frame that it gets.
    order: Mapping[str, object] = field(default_factory=dict)
    state: InstanceState = "booting"
    work: WorkItem | None = None
    # When it was given its work or, when it has none, since when it rests.
    since: float = 0.0
    # The number of the order that it was given last.
    given: int = 0
    # The number of the request whose bytes are in its shared_buffer.
    holds: int = 0
    answered: int = 0
    # How often it has said that its work comes on.
    told: int = 0
    failed_in_a_row: int = 0
    memory: int = 0
    peak: int = 0
    memory_when_warm: int = 0
    memory_source: str = "none"
    # What the device had free before it booted, if it boots alone on it.
    free_before: int | None = None
    # Why it is to be replaced although it works.
    recycle: str | None = None
    # Why its boot failed, in its own words.
    failure: Problem | None = None
    # Since when it is known to stand (SIGSTOP), on the clock that stands with this process.
    stopped_since: float | None = None
    # Why it was asked to end.
    asked_for: str | None = None
    timers: list[Deadline] = field(default_factory=list)

    @property
    def here(self) -> bool:
        """Whether it counts towards what is wanted."""
        return self.state != "retiring"

    @property
    def warm(self) -> bool:
        return self.state in ("idle", "busy")

    @property
    def ready(self) -> bool:
        """Whether it reads what it is given: one that is stopped does not."""
        return self.warm and self.stopped_since is None

    @property
    def asked(self) -> str | None:
        """What it owes an answer to: `boot`, `read`, `inspect`, or nothing."""
        if self.state == "booting":
            return "boot"
        return None if self.work is None else self.work.op

    def held_at(self, look: DeviceSnapshot) -> int:
        """Bytes that it held at that look, so that they add up with what the device had free then.

        In RAM an instance takes most of its footprint when a page begins and gives it back when it
        ends: what it said with its last answer is not what it holds on the next page.
        """
        if self.memory_source in ("rss", "none"):
            return look.resident.get(self.process.pid, self.memory)
        return self.memory

    def note_memory(self, figures: InstanceMemory, footprints: FootprintEstimator) -> None:
        """Take over what is known of its memory."""
        self.memory, self.memory_source = footprints.held(figures)
        peak = figures.rss_peak if self.memory_source == "rss" else self.memory
        self.peak = max(self.peak, self.memory, peak)

    def cancel_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()
