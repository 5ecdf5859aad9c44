"""Inputs and outputs of the instance planner."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ocrpool.planner.instances.throughput import Throughput

# The reason of a decision as one word; the sentence explains it.
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
    """The user's limits for one worker.

    `reserve` and `per_instance` are in bytes. `per_instance` is None if the footprint is measured
    (`memory.perInstance: auto`). `cool_down` is in seconds without growth after a shrink. With a
    `name`, it varies by up to half: two workers on one GPU that shrank together must not grow
    together again.
    """

    minimum: int
    maximum: int
    reserve: int
    per_instance: int | None = None
    cool_down: float = 60.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class InstanceHistory:
    """What is remembered between two observations of a worker. The caller stores it.

    The default is right for a worker that was never observed.
    """

    # Observations in a row with headroom for one more instance.
    headroom_streak: int = 0
    # Figures of the last observation, in bytes; None if it had none. `free_before_startup` is from
    # the last observation in which no instance was starting.
    left: int | None = None
    free: int | None = None
    footprint: int = 0
    free_before_startup: int | None = None
    # Counters of the last observation; `out_of_memory` is None before the first.
    out_of_memory: int | None = None
    boots: int = 0
    # In seconds on the caller's clock. `last_growth_at` is the last growth since the last shrink.
    grow_after: float = -math.inf
    last_growth_at: float = -math.inf
    # How many shrinks in a row reverted growth from shortly before; and all shrinks.
    reverted_growths: int = 0
    shrinks: int = 0
    throughput: Throughput = field(default_factory=Throughput)


@dataclass(frozen=True, slots=True)
class InstanceDecision:
    """`target` is what to ask the worker for; `sentence` explains it, with the numbers compared."""

    target: int
    reason: InstanceReason
    sentence: str
    history: InstanceHistory
