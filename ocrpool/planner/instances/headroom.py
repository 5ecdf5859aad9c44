"""What there is to plan with: one observation turned into the headroom that the rule compares."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits, InstanceReason
from ocrpool.protocol import State

# Differences of less than so much of the reserve say nothing of strangers.
NOISE_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class MemoryHeadroom:
    """Bytes. `promised` is what the instances may still take up to their footprint, `returning`
    what instances that are on their way out still hold."""

    total: int
    free: int
    footprint: int
    promised: int
    returning: int
    reserve: int
    # One boots of which the worker cannot tell what it holds, and more has gone since than it may
    # take: what goes now is a stranger's.
    startup_exceeds_footprint: bool = False

    @property
    def headroom(self) -> int:
        """What may be planned for: DESIGN's room, free − reserve − Σ max(0, footprint − held)."""
        return self.free - self.reserve - self.promised

    @property
    def left(self) -> int:
        """What will be free once every promise is kept and every leaver has left."""
        return self.free - self.promised + self.returning


def measure_headroom(
    limits: InstanceLimits, history: InstanceHistory, state: State
) -> MemoryHeadroom:
    """The headroom of one observation whose memory is known and plausible.

    A worker may not know what an instance holds before it is warm. Until then, what has gone from
    `free` since the last observation without a boot is taken to be the booting instance's, up to
    one footprint; otherwise its memory would count twice, once as gone and once as promised.
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
        promised = 0  # not measured: nothing can be promised yet
    return MemoryHeadroom(
        memory.total, memory.free, footprint, promised, returning, limits.reserve, exceeds_footprint
    )


def why_unusable(state: State) -> tuple[InstanceReason, str] | None:
    """Why nothing can be planned with this observation, or None.

    Says `DeviceLost` or `DeviceUnreadable` where the worker has no headroom of the device,
    `ImplausibleFigures` where what it tells cannot be true: neither grows nor shrinks anything.
    """
    memory = state.device.memory
    if memory is None:
        told = state.problem
        lost = told is not None and told.reason == "DeviceLost"
        why = f": {told.message}" if told is not None and told.reason.startswith("Device") else ""
        reason: InstanceReason = "DeviceLost" if lost else "DeviceUnreadable"
        return reason, f"the {state.device.kind}'s memory cannot be read{why}"
    if memory.total <= 0:
        return "ImplausibleFigures", f"the device claims {memory.total} bytes of memory"
    if not 0 <= memory.free <= memory.total:
        return "ImplausibleFigures", (
            f"the device claims {memory.free} bytes free of {memory.total}"
        )
    if state.footprint.bytes < 0 or any(one.memory < 0 for one in state.instances.each):
        return "ImplausibleFigures", "an instance claims to hold less than nothing"
    instances = state.instances
    if min(instances.target, instances.ready, instances.booting, instances.ceiling) < 0:
        return "ImplausibleFigures", "the worker claims fewer than no instances"
    if not math.isfinite(state.counters.page_seconds):
        return "ImplausibleFigures", f"the worker claims {state.counters.page_seconds} pageSeconds"
    return None
