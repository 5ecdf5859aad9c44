"""When the next instance may start, and when the attempts end."""

from __future__ import annotations

import pytest

from ocrpool.protocol import Problem
from ocrpool_worker.supervisor.startup_backoff import BACKOFF_MOST, STARTUP_ATTEMPTS, StartupBackoff
from tests.unit.worker.fake_instances import Clock

PROBLEM = Problem(reason="BootFailed", message="no such language")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backoff(clock: Clock) -> StartupBackoff:
    return StartupBackoff(clock)


def test_the_first_startup_does_not_wait(backoff: StartupBackoff) -> None:
    assert (backoff.delay(), backoff.problem) == (0, None)


def test_startups_wait_longer_and_end_after_three_failures(backoff: StartupBackoff) -> None:
    delays = []
    for _ in range(STARTUP_ATTEMPTS - 1):
        backoff.record_failure(PROBLEM)
        assert backoff.problem is None
        delays.append(backoff.delay())
    assert delays == [0.5, 1.0]
    backoff.record_failure(PROBLEM)
    assert backoff.problem == PROBLEM


def test_a_delay_passes(backoff: StartupBackoff, clock: Clock) -> None:
    backoff.record_failure(PROBLEM)
    clock.now += 0.2
    assert backoff.delay() == pytest.approx(0.3)
    clock.now += 5
    assert backoff.delay() == 0


def test_a_final_failure_ends_the_attempts_unless_one_has_worked(backoff: StartupBackoff) -> None:
    backoff.record_ready()
    backoff.record_failure(PROBLEM, final=True)
    assert backoff.problem is None
    fresh = StartupBackoff(Clock())
    fresh.record_failure(PROBLEM, final=True)
    assert fresh.problem == PROBLEM


def test_failures_are_counted_in_a_row(backoff: StartupBackoff) -> None:
    for _ in range(3):
        backoff.record_failure(PROBLEM)
        backoff.record_failure(PROBLEM)
        backoff.record_ready()
    assert backoff.problem is None


def test_external_failures_never_end_the_attempts_once_one_was_ready(
    backoff: StartupBackoff,
) -> None:
    backoff.record_ready()
    for _ in range(100):
        backoff.record_external_failure(PROBLEM)
    assert (backoff.problem, backoff.delay()) == (None, BACKOFF_MOST)
    fresh = StartupBackoff(Clock())
    for _ in range(STARTUP_ATTEMPTS):
        fresh.record_external_failure(PROBLEM)
    assert fresh.problem == PROBLEM


def test_exits_without_an_answer_wait_longer_until_a_page_is_answered(
    backoff: StartupBackoff,
) -> None:
    delays = []
    for _ in range(3):
        backoff.record_ready()
        backoff.record_exit_without_answer()
        delays.append(backoff.delay())
    assert delays == [0.5, 1.0, 2.0]
    backoff.record_answer()
    backoff.record_exit_without_answer()
    assert backoff.delay() == 0.5


def test_reset_starts_over_at_once(backoff: StartupBackoff) -> None:
    for _ in range(STARTUP_ATTEMPTS):
        backoff.record_failure(PROBLEM)
    backoff.postpone(60)
    assert backoff.delay() == 60
    backoff.reset()
    assert (backoff.problem, backoff.delay()) == (None, 0)
    backoff.record_failure(PROBLEM)
    assert (backoff.problem, backoff.delay()) == (None, 0.5)
