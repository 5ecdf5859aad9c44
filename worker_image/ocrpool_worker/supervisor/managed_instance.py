"""One instance, and what its supervisor knows about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from ocrpool.protocol import Problem
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.footprint import FootprintEstimator, InstanceMemory
from ocrpool_worker.supervisor.instance_process import InstanceProcess
from ocrpool_worker.supervisor.lifecycle import (
    ACTIVE,
    WARM,
    IllegalTransition,
    LifecycleState,
    Trigger,
    transition,
)
from ocrpool_worker.supervisor.requests import WorkItem

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class ManagedInstance:
    """Memory is in bytes. Times are on the manager's clock."""

    ident: str
    process: InstanceProcess
    created_at: float
    # The first frame that the process gets.
    start_command: Mapping[str, object] = field(default_factory=dict)
    # Set by `lifecycle.transition` and nowhere else.
    state: LifecycleState = LifecycleState.STARTING
    state_since: float = 0.0
    item: WorkItem | None = None
    assigned_at: float = 0.0
    # The number of the last command that was sent to it.
    command_number: int = 0
    # The number of the request whose bytes are in its shared buffer; 0 for none.
    buffered_request: int = 0
    answered: int = 0
    # `progress` frames for the current work item.
    progress_frames: int = 0
    failed_in_a_row: int = 0
    memory: int = 0
    peak: int = 0
    memory_when_warm: int = 0
    memory_source: str = "none"
    # Free device memory before it started. None where other instances were there already.
    free_before: int | None = None
    # Why it is to be replaced although it works.
    replace_reason: str | None = None
    # Why its startup failed, where that is known before it exits.
    startup_problem: Problem | None = None
    # Since when it is stopped (SIGSTOP, a debugger), on the active clock.
    stopped_since: float | None = None
    # Why it was asked to exit.
    retire_reason: str | None = None
    timers: list[Deadline] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """Whether it counts towards the desired number."""
        return self.state in ACTIVE

    @property
    def warm(self) -> bool:
        return self.state in WARM

    @property
    def ready(self) -> bool:
        """Whether it can read pages: it is warm and not stopped."""
        return self.state in WARM and self.stopped_since is None

    @property
    def expected_answer(self) -> str | None:
        """The op of the command that it has not answered: `start`, `read` or `inspect`."""
        if self.state is LifecycleState.STARTING:
            return "start"
        return None if self.item is None else self.item.op

    def memory_at(self, snapshot: DeviceSnapshot) -> int:
        """Bytes that it held when this snapshot was taken, so that the sum over all instances fits
        the device's free memory in the same snapshot.

        In RAM an instance takes most of its footprint when a page begins, and gives it back when
        the page ends. The memory that it reported with its last answer is not what it holds now.
        """
        if self.memory_source in ("rss", "none"):
            return snapshot.resident.get(self.process.pid, self.memory)
        return self.memory

    def record_memory(self, measured: InstanceMemory, estimator: FootprintEstimator) -> None:
        self.memory, self.memory_source = estimator.record_held(measured)
        peak = measured.rss_peak if self.memory_source == "rss" else self.memory
        self.peak = max(self.peak, self.memory, peak)

    def cancel_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def apply(self, trigger: Trigger, now: float) -> None:
        """Move to the next state.

        A trigger that is not allowed is a bug in the supervisor. It is logged with a traceback, and
        the process is killed and replaced: its page is put back, so no request is lost.
        """
        try:
            transition(self, trigger, now)
        except IllegalTransition as error:
            _log.exception("illegal state transition", extra={"instance": self.ident})
            if self.state is not LifecycleState.EXITED:
                transition(self, Trigger.KILL, now)
                self.process.kill(str(error))
