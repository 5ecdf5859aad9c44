"""All instances of one worker, and the questions that are asked of them as a whole."""

from __future__ import annotations

from ocrpool_worker.supervisor.managed_instance import ManagedInstance


class InstanceSet(dict[str, ManagedInstance]):
    """By their ids."""

    @property
    def here(self) -> list[ManagedInstance]:
        """Those that are not on their way out."""
        return [instance for instance in self.values() if instance.here]

    @property
    def ready(self) -> int:
        """How many read what they are given: warm, and not stopped."""
        return sum(instance.ready for instance in self.values())

    @property
    def warm(self) -> int:
        return sum(instance.warm for instance in self.values())

    @property
    def booting(self) -> int:
        return sum(instance.state == "booting" for instance in self.values())

    def idle(self) -> list[ManagedInstance]:
        """Idle instances, the one that has rested longest first. One that is stopped is among them
        only where nobody reads."""
        stopped_too = not self.ready
        resting = [
            instance
            for instance in self.values()
            if instance.state == "idle"
            and instance.process.listens
            and (stopped_too or instance.stopped_since is None)
        ]
        return sorted(resting, key=lambda instance: instance.since)

    def has_other(self, instance: ManagedInstance) -> bool:
        """Whether another one is here that is not stopped: it might stay so."""
        return any(
            other.here and other.stopped_since is None
            for other in self.values()
            if other is not instance
        )

    def note_stops(self, now: float) -> None:
        """Find out who stands by SIGSTOP, or under a debugger, and who goes on."""
        for instance in self.values():
            if not instance.process.stopped:
                instance.stopped_since = None
            elif instance.stopped_since is None:
                instance.stopped_since = now

    def surplus(self, most: int) -> list[ManagedInstance]:
        """Who is to go where `most` may be here: first those that are to be replaced anyway, then
        what serves nobody, then the newest."""
        here = self.here
        if len(here) <= most:  # nearly always, and this is asked after every page
            return []
        order = {"booting": 0, "idle": 1, "busy": 2}
        here.sort(
            key=lambda one: (
                one.recycle is None,
                one.stopped_since is None,
                order[one.state],
                -one.born,
            )
        )
        return here[: len(here) - most]
