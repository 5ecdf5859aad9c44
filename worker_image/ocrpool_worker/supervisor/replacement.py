"""Replaces instances that work but are worn out, one at a time."""

from __future__ import annotations

import logging

from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.instance_set import InstanceSet
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.startup import InstanceStarter
from ocrpool_worker.supervisor.stopping import InstanceStopper

_log = logging.getLogger(__name__)


class Replacement:
    """Replaces worn-out instances.

    If only one instance is ready, its successor starts first if the device has memory for both.
    Until then `surge` is 1: one instance more than desired.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        instances: InstanceSet,
        starter: InstanceStarter,
        stopper: InstanceStopper,
        counters: dict[str, float],
    ) -> None:
        self._settings = settings
        self._instances = instances
        self._starter = starter
        self._stopper = stopper
        self._counters = counters
        self.surge = 0

    def check_wear(self, instance: ManagedInstance) -> None:
        """Mark an instance that has just answered if the rules say that it is worn out."""
        cap = self._settings.memory.per_instance
        instance.replace_reason = instance.replace_reason or failure_rules.should_recycle(
            answered=instance.answered,
            memory=instance.memory,
            memory_when_warm=instance.memory_when_warm,
            after_requests=self._settings.recycle.after_requests,
            growth=self._settings.recycle.memory_growth,
            cap=cap if isinstance(cap, int) else None,
        )

    def retire_surplus(self, desired: int) -> None:
        """Retire what is more than desired: also a replaced instance whose successor is warm."""
        if self.surge and self._instances.warm > desired:
            self.surge = 0
        for instance in self._instances.surplus(desired + self.surge):
            why = instance.replace_reason or f"{desired} instances are wanted"
            self._stopper.retire(instance, why)

    def replace_next(self, desired: int) -> None:
        """Begin to replace one worn-out instance, if no instance is missing or exiting."""
        instances = self._instances
        worn = next((one for one in instances.values() if one.replace_reason and one.warm), None)
        if worn is None or self.surge:
            return
        if len(instances) < desired or any(not one.active for one in instances.values()):
            return
        self._counters["recycled"] += 1
        if instances.ready > 1 or not self._starter.has_free_memory(worn.peak):
            self._stopper.retire(worn, worn.replace_reason or "")
        else:
            extra = {"instance": worn.ident, "why": worn.replace_reason}
            _log.info("instance is being replaced", extra=extra)
            self.surge = 1

    def on_exit(self) -> None:
        """After an exit: if no instance is marked for replacement any more, end the surge."""
        if not any(instance.replace_reason for instance in self._instances.values()):
            self.surge = 0
