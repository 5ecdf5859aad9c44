"""What an instance's end says: whose doing it was, and what is wrong with a boot."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from ocrpool.protocol import Problem
from ocrpool.protocol.exit_status import describe_exit

# `own`: its own fault, or its page's. `memory`: the kernel ended it for want of memory. `outside`:
# somebody else sent it a signal. `worker`: its supervisor killed it. `asked`: it ended in order.
ExitCause = Literal["own", "memory", "outside", "worker", "asked"]

_STARVED = "killed by the kernel, out of memory (the container's limit, or the machine's RAM)"
# Signals that a process gets for what it does itself: by the kernel, a library, or a limit of its
# own. All others are sent by somebody.
_OWN_SIGNALS = frozenset(
    {
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGPIPE,
        signal.SIGALRM,
        signal.SIGVTALRM,
        signal.SIGPROF,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    }
)
# Characters of what it printed last that a person is shown.
_LAST_WORDS = 500


@dataclass(frozen=True, slots=True)
class ExitReason:
    """`why`: how it ended, for example `killed by SIGSEGV`; `words`: what it printed last;
    `own`: what it had said itself is wrong."""

    why: str
    cause: ExitCause
    words: str = ""
    own: Problem | None = None

    @classmethod
    def from_status(
        cls,
        status: int,
        *,
        killed_for: str | None = None,
        asked_for: str | None = None,
        starved: bool = False,
        words: str = "",
        own: Problem | None = None,
    ) -> ExitReason:
        """`status`: as of `subprocess`, a signal is negative. `killed_for`: why its supervisor has
        killed it, `asked_for`: why it was asked to end, if so. `starved`: the kernel counted a
        process that it ended for want of memory."""
        if status == -signal.SIGKILL and killed_for is not None:
            return cls(f"killed by the worker: {killed_for}", "worker", words, own)
        if starved:
            return cls(_STARVED, "memory", words, own)
        if status < 0:
            why = describe_exit(status)
            if -status in _OWN_SIGNALS:
                return cls(why, "own", words, own)
            return cls(f"{why} from outside{_no_memory(status)}", "outside", words, own)
        if status == 0 and asked_for is not None:
            return cls(f"ended as it was asked to: {asked_for}", "asked", words, own)
        return cls(describe_exit(status), "own", words, own)

    @property
    def startup_problem(self) -> Problem:
        """Why its boot failed, if it was booting."""
        if self.own is not None:
            return self.own
        was = "was " if self.why.startswith("killed") else ""
        message = f"the instance {was}{self.why} while it booted"
        if self.words:
            message += f": {self.words[-_LAST_WORDS:]}"
        reason = "InsufficientMemory" if self.cause == "memory" else "BootFailed"
        return Problem(reason=reason, message=message)


def _no_memory(status: int) -> str:
    """The kernel's own kills for want of memory look alike, but it counts them."""
    return "; the kernel has counted no kill for memory" if status == -signal.SIGKILL else ""
