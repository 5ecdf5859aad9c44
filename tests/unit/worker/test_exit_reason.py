"""Whose doing the end of an instance was, and in which words it is told."""

from __future__ import annotations

import signal

import pytest

from ocrpool.protocol import Problem
from ocrpool_worker.supervisor.exit_reason import ExitCause, ExitReason


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
def test_the_cause_follows_from_the_status(status: int, cause: ExitCause, why: str) -> None:
    exit_reason = ExitReason.from_status(status)
    assert (exit_reason.cause, exit_reason.why) == (cause, why)


def test_a_kill_that_the_kernel_has_counted_is_out_of_memory() -> None:
    exit_reason = ExitReason.from_status(-signal.SIGKILL, out_of_memory=True)
    assert exit_reason.cause == "memory"
    assert "killed by the kernel, out of memory" in exit_reason.why
    assert exit_reason.startup_problem.reason == "InsufficientMemory"


def test_a_kill_by_the_worker_says_why() -> None:
    exit_reason = ExitReason.from_status(-signal.SIGKILL, killed_for="no answer within 60 s")
    assert (exit_reason.cause, exit_reason.why) == (
        "worker",
        "killed by the worker: no answer within 60 s",
    )
    late = ExitReason.from_status(-signal.SIGSEGV, killed_for="no answer within 60 s")
    assert (late.cause, late.why) == ("own", "killed by SIGSEGV"), "it was faster"


def test_a_requested_exit_says_why() -> None:
    assert ExitReason.from_status(0, asked_for="it answered 9 pages").why.endswith(
        "it answered 9 pages"
    )
    assert ExitReason.from_status(1, asked_for="it answered 9 pages").cause == "own"


def test_a_failed_startup_has_a_problem() -> None:
    told = ExitReason.from_status(-signal.SIGILL, last_output="Illegal instruction").startup_problem
    assert told.reason == "BootFailed"
    assert told.message == (
        "the instance was killed by SIGILL while it started: Illegal instruction"
    )
    own = Problem(reason="DeviceError", message="no GPU")
    assert ExitReason.from_status(3, reported=own).startup_problem == own
