"""Update what is remembered of a worker between two observations."""

from __future__ import annotations

from dataclasses import replace

from ocrpool.planner.instances import cooldown
from ocrpool.planner.instances.headroom import MemoryHeadroom
from ocrpool.planner.instances.throughput import record_throughput
from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits
from ocrpool.protocol import State


def after_restart(limits: InstanceLimits, history: InstanceHistory, now: float) -> InstanceHistory:
    """Return the history after the worker's counters went back: another worker has replaced it.

    Memory may be what ended the previous one with all its instances. So a restart counts as a
    shrink and starts a cool-down; everything else that was learnt is dropped.
    """
    after = cooldown.after_shrink(limits, history, now)
    return InstanceHistory(
        grow_after=after.grow_after,
        last_growth_at=after.last_growth_at,
        reverted_growths=after.reverted_growths,
        shrinks=after.shrinks,
    )


def after_unusable(history: InstanceHistory) -> InstanceHistory:
    """Return the history after an observation without usable figures."""
    return replace(history, headroom_streak=0, left=None, free=None, free_before_startup=None)


def record_observation(
    history: InstanceHistory, state: State, headroom: MemoryHeadroom, margin: int, now: float
) -> InstanceHistory:
    """Return the history with this observation. `left`, `free` and `footprint` stay those of the
    last one, so that the decision can compare them."""
    booting = state.instances.booting or any(one.state == "booting" for one in state.instances.each)
    sufficient = state.footprint.bytes > 0 and headroom.headroom >= headroom.footprint + margin
    return replace(
        history,
        headroom_streak=history.headroom_streak + 1 if sufficient else 0,
        free_before_startup=history.free_before_startup if booting else headroom.free,
        out_of_memory=state.counters.out_of_memory,
        boots=state.counters.boots,
        throughput=record_throughput(history.throughput, state, now),
    )
