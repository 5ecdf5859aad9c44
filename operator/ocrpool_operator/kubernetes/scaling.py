"""The instance target of every worker: the seam between the shell and the scaling rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ocrpool_operator.planner.observed import Pool, Worker


@dataclass(frozen=True, slots=True)
class Target:
    """Instances that a worker shall have, and why, as a sentence with its numbers."""

    count: int
    sentence: str


class Scaling(Protocol):
    """Decides for one worker that answered. May remember earlier rounds by the pod's uid."""

    def decide(self, pool: Pool, worker: Worker, now: float) -> Target | None:
        """None where nothing can be said yet; the worker then keeps what it has."""


class Fixed:
    """Every worker has `instances.min`."""

    def decide(self, pool: Pool, worker: Worker, now: float) -> Target | None:
        count = pool.spec.instances.min
        return Target(count, f"hold {count}: instances.min is {count}")
