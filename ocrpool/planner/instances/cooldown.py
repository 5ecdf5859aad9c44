"""How long nothing grows after a shrink: longer each time that a growth had to be taken back."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits

# A growth that had to be taken back within a cool-down makes the next one twice as long, so often.
MOST_RELAPSES = 2


def after_growth(history: InstanceHistory, now: float) -> InstanceHistory:
    """After a growth; only one that follows a shrink can be a relapse."""
    return replace(history, grown_at=now) if history.grow_after > -math.inf else history


def after_shrink(limits: InstanceLimits, history: InstanceHistory, now: float) -> InstanceHistory:
    """After a shrink."""
    relapses = history.relapses
    if now - history.grown_at < limits.cool_down * 2**relapses:
        relapses = min(MOST_RELAPSES, relapses + 1)
    elif now >= history.grow_after:
        relapses = 0
    wait = limits.cool_down * 2**relapses * (1 + _more(limits.name, history.shrinks))
    return replace(
        history,
        grow_after=now + wait,
        grown_at=-math.inf,
        relapses=relapses,
        shrinks=history.shrinks + 1,
    )


def _more(name: str, turn: int) -> float:
    """0 to 0.5, as if thrown, but the same for the same name and turn; 0 without a name."""
    return zlib.crc32(f"{name} {turn}".encode()) % 1000 / 2000.0 if name else 0.0
