"""The cool-down after a shrink: how long a worker does not grow.

It doubles each time that growth had to be reverted within a cool-down.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits

# The cool-down doubles at most this many times.
MAX_REVERTED_GROWTHS = 2


def after_growth(history: InstanceHistory, now: float) -> InstanceHistory:
    """Return the history after growth. Only growth that follows a shrink can be reverted."""
    return replace(history, last_growth_at=now) if history.grow_after > -math.inf else history


def after_shrink(limits: InstanceLimits, history: InstanceHistory, now: float) -> InstanceHistory:
    """Return the history after a shrink, with the cool-down that it starts."""
    reverted_growths = history.reverted_growths
    if now - history.last_growth_at < limits.cool_down * 2**reverted_growths:
        reverted_growths = min(MAX_REVERTED_GROWTHS, reverted_growths + 1)
    elif now >= history.grow_after:
        reverted_growths = 0
    wait = limits.cool_down * 2**reverted_growths * (1 + _jitter(limits.name, history.shrinks))
    return replace(
        history,
        grow_after=now + wait,
        last_growth_at=-math.inf,
        reverted_growths=reverted_growths,
        shrinks=history.shrinks + 1,
    )


def _jitter(name: str, turn: int) -> float:
    """Return 0 to 0.5, the same for the same name and turn; 0 without a name."""
    return zlib.crc32(f"{name} {turn}".encode()) % 1000 / 2000.0 if name else 0.0
