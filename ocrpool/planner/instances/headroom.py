"""Device memory that can be planned with: the figures that the rule compares."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits, InstanceReason
from ocrpool.protocol import State

# Changes below this share of the reserve are noise.
NOISE_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class MemoryHeadroom:
    """Figures in bytes. `promised` is what instances may still take until each holds its footprint.
    `returning` is what retiring instances still hold."""

    total: int
    free: int
    footprint: int
    promised: int
    returning: int
    reserve: int
    # An instance whose memory the worker does not know yet is starting, and more memory has gone
    # than one footprint. From now on, what goes belongs to other processes.
    startup_exceeds_footprint: bool = False

    @property
    def headroom(self) -> int:
        """What can be planned for: free − reserve − promised."""
        return self.free - self.reserve - self.promised

    @property
    def left(self) -> int:
        """Free memory once all instances hold their footprint and the retiring ones have ended."""
        return self.free - self.promised + self.returning


def measure_headroom(
    limits: InstanceLimits, history: InstanceHistory, state: State
) -> MemoryHeadroom:
    """Return the figures of one observation. Its memory must be known and plausible.

    A worker may not know what an instance holds before its warm-up. Until then, what has gone from
    `free` since the last observation without a starting instance is attributed to it, up to one
    footprint. Otherwise its memory would count twice: as gone and as promised.
    """
    memory = state.device.memory
    assert memory is not None
    footprint = max(state.footprint.bytes, limits.per_instance or 0)
    promised = returning = 0
    exceeds_footprint = False
    startup_holds = 0
    if history.free_before_startup is not None:
        startup_holds = max(0, history.free_before_startup - memory.free)
    for instance in state.instances.each:
        if instance.state == "retiring":
            returning += instance.memory
            continue
        held = instance.memory
        if instance.state == "booting" and held == 0:
            held = min(startup_holds, footprint)
            exceeds_footprint = startup_holds > footprint + limits.reserve * NOISE_SHARE
        promised += max(0, footprint - held)
    if state.footprint.bytes == 0:
        promised = 0  # not measured yet
    return MemoryHeadroom(
        memory.total, memory.free, footprint, promised, returning, limits.reserve, exceeds_footprint
    )


def why_unusable(state: State) -> tuple[InstanceReason, str] | None:
    """Return why the figures of an observation cannot be used, or None.

    `DeviceLost` or `DeviceUnreadable`: the worker has no figures of the device.
    `ImplausibleFigures`: its figures cannot be true. The target is kept in all three cases.
    """
    memory = state.device.memory
    if memory is None:
        problem = state.problem
        lost = problem is not None and problem.reason == "DeviceLost"
        why = ""
        if problem is not None and problem.reason.startswith("Device"):
            why = f": {problem.message}"
        reason: InstanceReason = "DeviceLost" if lost else "DeviceUnreadable"
        return reason, f"the {state.device.kind}'s memory cannot be read{why}"
    if memory.total <= 0:
        return "ImplausibleFigures", f"the device reports {memory.total} bytes of memory"
    if not 0 <= memory.free <= memory.total:
        return "ImplausibleFigures", (
            f"the device reports {memory.free} bytes free of {memory.total}"
        )
    if state.footprint.bytes < 0 or any(one.memory < 0 for one in state.instances.each):
        return "ImplausibleFigures", "the worker reports negative memory of an instance"
    instances = state.instances
    if min(instances.target, instances.ready, instances.booting, instances.ceiling) < 0:
        return "ImplausibleFigures", "the worker reports a negative number of instances"
    if not math.isfinite(state.counters.page_seconds):
        return "ImplausibleFigures", f"the worker reports pageSeconds {state.counters.page_seconds}"
    return None
