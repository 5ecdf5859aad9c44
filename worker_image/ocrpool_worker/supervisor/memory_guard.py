"""The worker's own brake, for when the operator is slow or gone.

The planner shrinks a worker while most of the reserve is still there (docs/scaling.md). Where
nobody does, and less than a quarter of it is left on two looks in a row, the worker gives up one.
"""

from __future__ import annotations

from ocrpool.protocol import Memory

CRITICAL_SHARE = 0.25
LOOKS_IN_A_ROW = 2


class MemoryGuard:
    """Fed with every look at the device; says when to give up an instance."""

    def __init__(self, reserve: int) -> None:
        self._critical = reserve * CRITICAL_SHARE
        self._seen = 0

    def should_shrink(self, memory: Memory | None) -> bool:
        """Whether an instance should go now. An unknown memory changes nothing."""
        if memory is None:
            return False
        self._seen = self._seen + 1 if memory.free < self._critical else 0
        if self._seen < LOOKS_IN_A_ROW:
            return False
        self._seen = 0  # what its end gives back is seen in the next looks
        return True
