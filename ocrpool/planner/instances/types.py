"""What the planner is told, what it remembers, and what it answers. All frozen, all plain."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ocrpool.planner.instances.throughput import Throughput

# One word for machines; the sentence is for people.
InstanceReason = Literal[
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
class InstanceLimits:
    """What the user allows one worker.

    `reserve` and `per_instance` are bytes; `per_instance` is None where the footprint is measured
    (`memory.perInstance: auto`). `cool_down`: seconds without growth after a shrink;
    with a `name`, up to half as much again, another each time. Two workers on one GPU that shrank
    together must not grow together again and again: give each its own name.
    """

    minimum: int
    maximum: int
    reserve: int
    per_instance: int | None = None
    cool_down: float = 60.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class InstanceHistory:
    """What one round hands to the next: the caller keeps it and gives it back, nothing else does.

    A default History is right for a worker that was never seen.
    """

    # Observations in a row with room for one more.
    headroom_streak: int = 0
    # Bytes left and free and the footprint at the last observation; bytes free when last none
    # booted.
    left: int | None = None
    free: int | None = None
    footprint: int = 0
    free_before_startup: int | None = None
    # Counters then; None before the first observation.
    out_of_memory: int | None = None
    boots: int = 0
    # On the caller's clock, in seconds; `last_growth_at` is the first growth since the last shrink.
    grow_after: float = -math.inf
    last_growth_at: float = -math.inf
    # Shrinks, one after the other, that each took back a growth made shortly before.
    reverted_growths: int = 0
    shrinks: int = 0
    throughput: Throughput = field(default_factory=Throughput)


@dataclass(frozen=True, slots=True)
class InstanceDecision:
    """`target`: what to ask the worker for. `sentence` can be checked with its own numbers."""

    target: int
    reason: InstanceReason
    sentence: str
    history: InstanceHistory
