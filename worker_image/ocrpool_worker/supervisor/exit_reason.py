"""What an instance's exit means: who caused it, and what is wrong with a failed startup."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

from ocrpool.protocol import Problem
from ocrpool.protocol.exit_status import describe_exit

# `own`: a fault of its own, or of its page. `memory`: the kernel killed it because memory ran out.
# `outside`: another process sent it a signal. `worker`: its supervisor killed it. `asked`: it
# exited because its supervisor asked it to.
ExitCause = Literal["own", "memory", "outside", "worker", "asked"]

_OUT_OF_MEMORY = "killed by the kernel, out of memory (the container's limit, or the machine's RAM)"
# Signals that a process gets for what it does itself: from the kernel, a library, or a resource
# limit. All others are sent by another process.
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
# Characters of its last output in a problem's message.
_SHOWN_OUTPUT = 500


@dataclass(frozen=True, slots=True)
class ExitReason:
    """`why`: for example `killed by SIGSEGV`; `last_output`: what it printed last; `reported`: the
    problem that it reported, or that its supervisor found, before it exited."""

    why: str
    cause: ExitCause
    last_output: str = ""
    reported: Problem | None = None

    @classmethod
    def from_status(
        cls,
        status: int,
        *,
        killed_for: str | None = None,
        asked_for: str | None = None,
        out_of_memory: bool = False,
        last_output: str = "",
        reported: Problem | None = None,
    ) -> ExitReason:
        """`status`: as in `subprocess`, a signal is negative. `killed_for`: why its supervisor
        killed it; `asked_for`: why it was asked to exit. `out_of_memory`: the kernel has counted
        one more process that it killed because memory ran out."""

        def reason(why: str, cause: ExitCause) -> ExitReason:
            return cls(why, cause, last_output, reported)

        if status == -signal.SIGKILL and killed_for is not None:
            return reason(f"killed by the worker: {killed_for}", "worker")
        if out_of_memory:
            return reason(_OUT_OF_MEMORY, "memory")
        if status < 0 and -status not in _OWN_SIGNALS:
            return reason(f"{describe_exit(status)} from outside{_not_counted(status)}", "outside")
        if status == 0 and asked_for is not None:
            return reason(f"ended as it was asked to: {asked_for}", "asked")
        return reason(describe_exit(status), "own")

    @property
    def startup_problem(self) -> Problem:
        """Why its startup failed, if it was starting."""
        if self.reported is not None:
            return self.reported
        was = "was " if self.why.startswith("killed") else ""
        message = f"the instance {was}{self.why} while it started"
        if self.last_output:
            message += f": {self.last_output[-_SHOWN_OUTPUT:]}"
        reason = "InsufficientMemory" if self.cause == "memory" else "BootFailed"
        return Problem(reason=reason, message=message)


def _not_counted(status: int) -> str:
    """A SIGKILL may also be the kernel's, for want of memory. The kernel counts those."""
    return "; the kernel has counted no kill for memory" if status == -signal.SIGKILL else ""
