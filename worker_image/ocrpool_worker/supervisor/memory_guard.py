"""Gives up an instance when device memory is critically low and the operator does not act.

The planner shrinks a worker while most of the reserve is still free (docs/scaling.md). Where it
does not, and less than a quarter of the reserve is free in two snapshots in a row, the worker gives
up one instance by itself.
"""

from __future__ import annotations

from ocrpool.protocol import Memory

CRITICAL_SHARE = 0.25
SNAPSHOTS_IN_A_ROW = 2


class MemoryGuard:
    """Sees the memory of every device snapshot."""

    def __init__(self, reserve: int) -> None:
        """`reserve` in bytes."""
        self._critical = reserve * CRITICAL_SHARE
        self._low_in_a_row = 0

    def should_shrink(self, memory: Memory | None) -> bool:
        """Whether to give up one instance now. Unknown memory (None) changes nothing."""
        if memory is None:
            return False
        self._low_in_a_row = self._low_in_a_row + 1 if memory.free < self._critical else 0
        if self._low_in_a_row < SNAPSHOTS_IN_A_ROW:
            return False
        self._low_in_a_row = 0  # the next snapshots show what the exit gave back
        return True
