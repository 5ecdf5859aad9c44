"""Whose doing the end of an instance was, and in which words it is told."""

from __future__ import annotations

import signal

import pytest

from ocrpool.protocol import Problem
from ocrpool_worker.supervisor.exit_reason import Cause, Death


@pytest.mark.parametrize(
    ("status", "cause", "why"),
    [
        (-signal.SIGSEGV, "own", "killed by SIGSEGV"),
        (-signal.SIGABRT, "own", "killed by SIGABRT"),
        (-signal.SIGBUS, "own", "killed by SIGBUS"),
        (-signal.SIGFPE, "own", "killed by SIGFPE"),
        (-signal.SIGILL, "own", "killed by SIGILL"),
        (-signal.SIGXCPU, "own", "killed by SIGXCPU"),
        (3, "own", "exited with status 3"),
        (0, "own", "exited with status 0"),
        (-signal.SIGTERM, "outside", "killed by SIGTERM from outside"),
        (-signal.SIGHUP, "outside", "killed by SIGHUP from outside"),
        (-signal.SIGQUIT, "outside", "killed by SIGQUIT from outside"),
        (-signal.SIGUSR1, "outside", "killed by SIGUSR1 from outside"),
        (-40, "outside", "killed by signal 40 from outside"),
        (
            -signal.SIGKILL,
            "outside",
            "killed by SIGKILL from outside; the kernel has counted no kill for memory",
        ),
    ],
)
def test_a_signal_tells_who_sent_it(status: int, cause: Cause, why: str) -> None:
    death = Death.of(status)
    assert (death.cause, death.why) == (cause, why)


def test_a_kill_that_the_kernel_has_counted_is_out_of_memory() -> None:
    death = Death.of(-signal.SIGKILL, starved=True)
    assert death.cause == "memory"
    assert "killed by the kernel, out of memory" in death.why
    assert death.boot_problem.reason == "InsufficientMemory"


def test_what_the_worker_has_killed_says_why() -> None:
    death = Death.of(-signal.SIGKILL, killed_for="no answer within 60 s")
    assert (death.cause, death.why) == ("worker", "killed by the worker: no answer within 60 s")
    late = Death.of(-signal.SIGSEGV, killed_for="no answer within 60 s")
    assert (late.cause, late.why) == ("own", "killed by SIGSEGV"), "it was faster"


def test_what_was_asked_to_end_says_what_for() -> None:
    assert Death.of(0, asked_for="it answered 9 pages").why.endswith("it answered 9 pages")
    assert Death.of(1, asked_for="it answered 9 pages").cause == "own"


def test_a_failed_boot_says_what_it_can() -> None:
    told = Death.of(-signal.SIGILL, words="Illegal instruction").boot_problem
    assert told.reason == "BootFailed"
    assert told.message == (
        "the instance was killed by SIGILL while it booted: Illegal instruction"
    )
    own = Problem(reason="DeviceError", message="no GPU")
    assert Death.of(3, own=own).boot_problem == own
