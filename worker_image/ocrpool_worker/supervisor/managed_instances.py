"""All instances of one worker, and the questions that are asked of them as a whole."""

from __future__ import annotations

from ocrpool_worker.supervisor.managed_instance import Member


class Members(dict[str, Member]):
    """By their ids."""

    @property
    def here(self) -> list[Member]:
        """Those that are not on their way out."""
        return [member for member in self.values() if member.here]

    @property
    def ready(self) -> int:
        """How many read what they are given: warm, and not stopped."""
        return sum(member.ready for member in self.values())

    @property
    def warm(self) -> int:
        return sum(member.warm for member in self.values())

    @property
    def booting(self) -> int:
        return sum(member.state == "booting" for member in self.values())

    def idle(self) -> list[Member]:
        """Idle members, the one that has rested longest first. One that is stopped is among them
        only where nobody reads."""
        stopped_too = not self.ready
        resting = [
            member
            for member in self.values()
            if member.state == "idle"
            and member.process.listens
            and (stopped_too or member.stopped_since is None)
        ]
        return sorted(resting, key=lambda member: member.since)

    def has_other(self, member: Member) -> bool:
        """Whether another one is here that is not stopped: it might stay so."""
        return any(
            other.here and other.stopped_since is None
            for other in self.values()
            if other is not member
        )

    def note_stops(self, now: float) -> None:
        """Find out who stands by SIGSTOP, or under a debugger, and who goes on."""
        for member in self.values():
            if not member.process.stopped:
                member.stopped_since = None
            elif member.stopped_since is None:
                member.stopped_since = now

    def surplus(self, most: int) -> list[Member]:
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
