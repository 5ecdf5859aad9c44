"""What an instance's end says: whether memory was the reason, and what is wrong with a boot."""

from __future__ import annotations

from dataclasses import dataclass

from ocrpool_wire import Problem

_STARVED = "killed by the kernel, out of memory (the container's limit, or the machine's RAM)"
# Characters of what it printed last that a person is shown.
_LAST_WORDS = 500


@dataclass(frozen=True, slots=True)
class Death:
    """`why`: how the process ended, or that the kernel ended it for want of memory (`starved`).
    `words`: what it printed last. `own`: what it had said itself is wrong."""

    why: str
    starved: bool
    words: str
    own: Problem | None

    @classmethod
    def of(cls, ended: str, *, starved: bool, words: str, own: Problem | None) -> Death:
        return cls(_STARVED if starved else ended, starved, words, own)

    @property
    def boot_problem(self) -> Problem:
        """Why its boot failed, if it was booting."""
        if self.own is not None:
            return self.own
        message = f"the instance was {self.why}" if self.starved else f"the instance {self.why}"
        message += " while it booted"
        if self.words:
            message += f": {self.words[-_LAST_WORDS:]}"
        reason = "InsufficientMemory" if self.starved else "BootFailed"
        return Problem(reason=reason, message=message)

    @property
    def final(self) -> bool:
        """Whether another boot would end alike: it said so itself, and a wrong option stays
        wrong."""
        return self.own is not None and self.own.reason == "BootFailed"
