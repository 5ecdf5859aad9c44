"""How long nothing grows after a shrink: longer each time that a growth had to be taken back."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits

# A growth that had to be taken back within a cool-down makes the next one twice as long, so often.
MAX_REVERTED_GROWTHS = 2


def after_growth(history: InstanceHistory, now: float) -> InstanceHistory:
    """After a growth; only one that follows a shrink can be a relapse."""
    return replace(history, last_growth_at=now) if history.grow_after > -math.inf else history


def after_shrink(limits: InstanceLimits, history: InstanceHistory, now: float) -> InstanceHistory:
    """After a shrink."""
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
    """0 to 0.5, as if thrown, but the same for the same name and turn; 0 without a name."""
    return zlib.crc32(f"{name} {turn}".encode()) % 1000 / 2000.0 if name else 0.0
