"""Fewer instances when memory runs out, or is about to."""

from __future__ import annotations

import logging

from ocrpool_worker.supervisor.instance_ceiling import InstanceCeiling
from ocrpool_worker.supervisor.instance_set import InstanceSet
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.stopping import InstanceStopper

_log = logging.getLogger(__name__)


class MemoryPressure:
    """Lowers the ceiling, and retires the newest instance if memory is critically low."""

    def __init__(
        self,
        instances: InstanceSet,
        ceiling: InstanceCeiling,
        stopper: InstanceStopper,
        counters: dict[str, float],
    ) -> None:
        self._instances = instances
        self._ceiling = ceiling
        self._stopper = stopper
        self._counters = counters

    def lower_ceiling(self, instance: ManagedInstance) -> None:
        """Memory ran out for this instance: the ceiling becomes the number of other active ones."""
        self._counters["out_of_memory"] += 1
        others = sum(other.active for other in self._instances.values() if other is not instance)
        self._ceiling.lower(others)
        _log.warning("out of memory", extra={"ceiling": self._ceiling.value})

    def retire_newest(self) -> bool:
        """Retire the newest instance.

        Returns False if it is the only one, or if one is already exiting: the memory that it
        returns is not visible yet.
        """
        active = self._instances.active
        if len(active) < 2 or len(active) < len(self._instances):
            return False
        self._counters["memory_guard_stops"] += 1
        self._ceiling.lower(len(active) - 1)
        newest = max(active, key=lambda instance: instance.created_at)
        self._stopper.retire(newest, "the device's memory is critically low")
        return True
