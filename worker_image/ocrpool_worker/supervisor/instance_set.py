"""All instances of one worker, by their ids."""

from __future__ import annotations

from ocrpool_worker.supervisor.lifecycle import LifecycleState
from ocrpool_worker.supervisor.managed_instance import ManagedInstance

# Of instances that are not needed, those that serve nobody exit first.
_EXIT_ORDER = {LifecycleState.STARTING: 0, LifecycleState.IDLE: 1, LifecycleState.BUSY: 2}


class InstanceSet(dict[str, ManagedInstance]):
    """Instances whose exit was reported are not in it."""

    @property
    def active(self) -> list[ManagedInstance]:
        """Those that are not on their way out."""
        return [instance for instance in self.values() if instance.active]

    @property
    def ready(self) -> int:
        """How many can read pages: warm, and not stopped."""
        return sum(instance.ready for instance in self.values())

    @property
    def warm(self) -> int:
        return sum(instance.warm for instance in self.values())

    @property
    def starting(self) -> int:
        return sum(instance.state is LifecycleState.STARTING for instance in self.values())

    def idle(self) -> list[ManagedInstance]:
        """Idle instances, the longest idle one first. Stopped ones only where none is ready."""
        stopped_too = not self.ready
        idle = [
            instance
            for instance in self.values()
            if instance.state is LifecycleState.IDLE
            and instance.process.connected
            and (stopped_too or instance.stopped_since is None)
        ]
        return sorted(idle, key=lambda instance: instance.state_since)

    def has_other(self, instance: ManagedInstance) -> bool:
        """Whether there is another active instance that is not stopped. A stopped one may stay
        stopped."""
        return any(
            other.active and other.stopped_since is None
            for other in self.values()
            if other is not instance
        )

    def detect_stopped(self, now: float) -> None:
        """Record which processes are stopped (SIGSTOP, a debugger). `now`: of the active clock."""
        for instance in self.values():
            if not instance.process.stopped:
                instance.stopped_since = None
            elif instance.stopped_since is None:
                instance.stopped_since = now

    def surplus(self, desired: int) -> list[ManagedInstance]:
        """Active instances beyond `desired`: first those that are to be replaced anyway, then
        stopped ones, then those that serve nobody, then the newest."""
        active = self.active
        if len(active) <= desired:  # nearly always, and this runs after every page
            return []
        active.sort(
            key=lambda one: (
                one.replace_reason is None,
                one.stopped_since is None,
                _EXIT_ORDER[one.state],
                -one.created_at,
            )
        )
        return active[: len(active) - desired]
