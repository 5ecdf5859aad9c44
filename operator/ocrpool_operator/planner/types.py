"""What the planner is told, what it remembers, and what it answers. All frozen, all plain."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Literal

from ocrpool_operator.planner.throughput import Throughput

COOL_DOWN = 60.0

# One word for machines; the sentence is for people.
Reason = Literal[
    "Grow",
    "Shrink",
    "Hold",
    "Limits",
    "AtMax",
    "AtCeiling",
    "Booting",
    "CoolDown",
    "NoGain",
    "NotMeasured",
    "Draining",
    "InsufficientMemory",
    "DeviceLost",
    "DeviceUnreadable",
    "ImplausibleFigures",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user allows one worker.

    `reserve` and `per_instance` are bytes; `per_instance` is None where the footprint is measured
    (`memory.perInstance: auto`). `cool_down`: seconds without growth after a shrink.
    """

    minimum: int
    maximum: int
    reserve: int
    per_instance: int | None = None
    cool_down: float = COOL_DOWN


def own_cool_down(worker: str) -> float:
    """A cool-down for a worker of this name: 60 to 90 seconds, always the same for the same name.

    Two workers on one GPU that shrank together must not grow together again: with cool-downs of
    their own, one is first, and the other one sees its room go.
    """
    return COOL_DOWN * (1 + zlib.crc32(worker.encode()) % 1000 / 2000)


@dataclass(frozen=True, slots=True)
class History:
    """What one round hands to the next: the caller keeps it and gives it back, nothing else does.

    A default History is right for a worker that was never seen.
    """

    # Observations in a row with room for one more; with part of the reserve gone.
    roomy: int = 0
    low: int = 0
    # Bytes left and free and the footprint at the last observation; bytes free when last none
    # booted.
    left: int | None = None
    free: int | None = None
    footprint: int = 0
    settled_free: int | None = None
    # Counters then; None before the first observation.
    out_of_memory: int | None = None
    boots: int = 0
    # On the caller's clock, in seconds; `grown_at` is the first growth since the last shrink.
    grow_after: float = -math.inf
    grown_at: float = -math.inf
    # Shrinks, one after the other, that each took back a growth made shortly before.
    relapses: int = 0
    throughput: Throughput = field(default_factory=Throughput)


@dataclass(frozen=True, slots=True)
class Decision:
    """`target`: what to ask the worker for. `sentence` can be checked with its own numbers."""

    target: int
    reason: Reason
    sentence: str
    history: History
