"""The failure rules, row by row."""

from __future__ import annotations

import pytest

from ocrpool_worker.errors import EngineFailure, PoisonPage, Unavailable
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.failure_rules import PageFailure, after_failure, retry_after


@pytest.mark.parametrize(
    ("failure", "action", "lowers"),
    [
        ("exit", "gone", False),
        ("memory", "retire", True),
        ("device", "kill", False),
        ("engine", "keep", False),
        ("killed", "gone", False),
    ],
)
def test_the_first_failure_puts_the_page_back(
    failure: PageFailure, action: str, lowers: bool
) -> None:
    verdict = after_failure(failure, in_a_row=1, detail="boom")
    assert (verdict.action, verdict.error, verdict.remember) == (action, None, False)
    assert verdict.lower_ceiling is lowers


@pytest.mark.parametrize(
    ("failure", "action", "remember", "words"),
    [
        ("exit", "gone", True, "ended two OCR processes (boom)"),
        ("memory", "retire", True, "ran out of memory in two OCR processes (boom)"),
        ("starved", "gone", True, "ran out of memory in two OCR processes (boom)"),
        # A failing device is not the page's fault.
        ("device", "kill", False, "ended in a device error in two OCR processes (boom)"),
    ],
)
def test_the_second_failure_refuses_the_page(
    failure: PageFailure, action: str, remember: bool, words: str
) -> None:
    verdict = after_failure(failure, before=[failure], in_a_row=1, detail="boom")
    assert isinstance(verdict.error, PoisonPage)
    assert words in verdict.error.message
    assert (verdict.action, verdict.remember) == (action, remember)


def test_a_page_whose_instances_other_processes_kill_is_503_and_not_remembered() -> None:
    verdict = after_failure("killed", before=["killed"], in_a_row=1, detail="by SIGKILL")
    assert isinstance(verdict.error, Unavailable)
    assert verdict.error.retry_after
    assert "by SIGKILL" in verdict.error.message
    assert not verdict.remember


@pytest.mark.parametrize(
    ("before", "failure"),
    [(["killed"], "exit"), (["exit"], "killed"), (["killed", "exit"], "killed")],
)
def test_a_kill_by_another_process_is_no_fault(
    before: list[PageFailure], failure: PageFailure
) -> None:
    error = after_failure(failure, before=before, in_a_row=1, detail="").error
    assert (error is not None) == (before.count("killed") == 1 and failure == "killed")


@pytest.mark.parametrize("before", ["device", "engine"])
def test_one_fault_of_its_own_is_not_remembered(before: PageFailure) -> None:
    verdict = after_failure("exit", before=[before], in_a_row=1, detail="by SIGSEGV")
    assert isinstance(verdict.error, PoisonPage)
    assert "failed in two OCR processes (by SIGSEGV)" in verdict.error.message
    assert not verdict.remember


@pytest.mark.parametrize("failure", ["memory", "starved"])
def test_a_page_that_runs_out_of_memory_twice_lowers_the_ceiling_once(failure: PageFailure) -> None:
    for before in ([], [failure]):
        first = after_failure(failure, before=before, in_a_row=1, detail="")
        again = after_failure(failure, before=before, in_a_row=1, detail="", ran_out_before=True)
        assert (first.lower_ceiling, again.lower_ceiling) == (True, False)


def test_an_engine_that_fails_twice_on_a_page_answers_with_its_error() -> None:
    verdict = after_failure("engine", before=["engine"], in_a_row=1, detail="ValueError: odd")
    assert isinstance(verdict.error, EngineFailure)
    assert "ValueError: odd" in verdict.error.message
    assert (verdict.action, verdict.remember) == ("keep", False)


def test_an_engine_that_fails_on_page_after_page_is_replaced() -> None:
    actions = [after_failure("engine", in_a_row=row, detail="").action for row in (1, 2, 3)]
    assert actions == ["keep", "keep", "retire"]


@pytest.mark.parametrize(("took", "slow"), [(0.0, False), (60.0, False), (75.0, True)])
def test_the_largest_page_is_compared_with_the_time_limit(took: float, slow: bool) -> None:
    told = failure_rules.too_slow(page_seconds=took, limit=60, megapixels=16)
    assert (told is not None) == slow
    if told is not None:
        for words in ("75 s", "timeoutSeconds is 60", "maxMegapixels (now 16)", "more threads"):
            assert words in told


GIB = 2**30
WORN = {
    "answered": 9,
    "memory": GIB,
    "memory_when_warm": GIB,
    "after_requests": 0,
    "growth": 0.0,
    "cap": None,
}


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({}, None),
        ({"after_requests": 10}, None),
        ({"after_requests": 9}, "recycle.afterRequests 9"),
        ({"cap": GIB}, None),
        ({"cap": GIB - 1}, "memory.perInstance"),
        ({"growth": 1.5, "memory": GIB + GIB // 2}, None),
        ({"growth": 1.5, "memory": 2 * GIB}, "2.00 times"),
        ({"growth": 1.5, "memory": 2 * GIB, "memory_when_warm": 0}, None),
        ({"growth": 0.0, "memory": 9 * GIB}, None),
    ],
)
def test_when_a_working_instance_is_replaced(
    change: dict[str, float | None], setting: str | None
) -> None:
    reason = failure_rules.should_recycle(**{**WORN, **change})  # type: ignore[arg-type]
    assert (reason is None) if setting is None else (setting in (reason or ""))


@pytest.mark.parametrize(
    ("waiting", "page_seconds", "ready", "seconds"),
    [(0, 0.0, 0, 1), (10, 0.0, 1, 5), (10, 2.0, 1, 10), (10, 2.0, 5, 2), (10**6, 9.0, 1, 60)],
)
def test_retry_after_follows_what_waits(
    waiting: int, page_seconds: float, ready: int, seconds: float
) -> None:
    assert retry_after(waiting=waiting, page_seconds=page_seconds, ready=ready) == seconds
