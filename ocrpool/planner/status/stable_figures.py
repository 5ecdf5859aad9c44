"""Figures and sentences that change in the status only when the change is relevant.

Each write of the status costs the API server, and memory figures change with every observation.
"""

from __future__ import annotations

from ocrpool.planner.status.debounce import without_numbers
from ocrpool.protocol import Memory
from ocrpool.resource.status import MemoryReport, WorkerReport

# A figure is updated when it changes by more than 1/16.
STABLE_SHARE = 16
MEMORY_STEP = 64 * 2**20
FOOTPRINT_STEP = 2**20


def stable_sentence(sentence: str, new: WorkerReport, old: WorkerReport | None) -> str:
    """Return the old sentence if only its numbers changed and the figures beside it did not."""
    if old is None or without_numbers(old.decision) != without_numbers(sentence):
        return sentence
    same = (new.memory, new.footprint, new.instances) == (old.memory, old.footprint, old.instances)
    return old.decision if same else sentence


def stable_memory(memory: Memory | None, old: MemoryReport | None) -> MemoryReport | None:
    """Return memory figures in steps; the old ones while they are close enough."""
    if memory is None:
        return old
    new = MemoryReport(
        total=memory.total,
        used=_step(memory.used, MEMORY_STEP),
        free=_step(memory.free, MEMORY_STEP),
    )
    if old is None or old.total != new.total:
        return new
    near = abs(old.free - memory.free) < max(memory.total // STABLE_SHARE, MEMORY_STEP)
    return old if near else new


def stable_footprint(count: int, old: int) -> int:
    if old and abs(count - old) * STABLE_SHARE < old:
        return old
    return _step(count, FOOTPRINT_STEP)


def _step(count: int, step: int) -> int:
    return round(count / step) * step
