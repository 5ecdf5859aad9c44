"""The time in which a worker is stopped (SIGSTOP, a frozen container) counts for no limit."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.worker.client import Answer, pids_of
from tests.worker.harness import Worker, start_worker

# Long enough for a busy machine to begin a page, and to boot; each stop is longer.
LIMIT, BOOT = 4.0, 8.0
LONGER = 1.0


def limited(**more: Any) -> dict[str, Any]:
    return {"admission": {"timeoutSeconds": LIMIT}, **more}


@contextlib.contextmanager
def stopped(
    worker: Worker, instances: Sequence[int] = (), *, limit: float = LIMIT
) -> Iterator[None]:
    """Stop the supervisor for longer than `limit`, and the given instances as well."""
    pids = [worker.pid, *instances]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
        time.sleep(limit + LONGER)
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def nobody_was_condemned(worker: Worker, answers: Sequence[Answer], before: list[int]) -> None:
    assert [answer.status for answer in answers] == [200] * len(answers), answers
    counters = worker.counters()
    assert (counters["timeouts"], counters["deaths"], counters["bootFailures"]) == (0, 0, 0)
    assert sorted(worker.pids()) == sorted(before)


def test_answers_that_arrived_during_the_stop_are_delivered(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=4, settings=limited()) as worker:
        before = worker.pids()
        pages = [worker.begin(say=f"page {number}", gate=str(gate)) for number in range(4)]
        worker.until_busy(4)
        with stopped(worker):
            gate.touch()
        answers = [page.result() for page in pages]
        nobody_was_condemned(worker, answers, before)
        assert [answer.text for answer in answers] == [f"page {number}" for number in range(4)]


def test_requests_that_waited_during_the_stop_are_read(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings=limited()) as worker:
        before = worker.pids()
        pages = [worker.begin(say="first", gate=str(gate))]
        worker.until_busy()
        pages += [worker.begin(say=f"next {number}") for number in range(3)]
        worker.until("they wait", lambda state: state["queue"]["depth"] == 3)
        with stopped(worker):
            gate.touch()
        nobody_was_condemned(worker, [page.result() for page in pages], before)


def test_instances_that_were_stopped_as_well_continue_their_pages(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings=limited()) as worker:
        before = worker.pids()
        page = worker.begin(say="goes on", gate=str(gate))
        worker.until_busy()
        with stopped(worker, before):
            gate.touch()
        nobody_was_condemned(worker, [page.result()], before)


def test_a_startup_continues_after_the_stop(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    more = {
        "instances": {"bootSeconds": BOOT},
        "engine": {"options": {"boot": {"gate": str(gate)}}},
    }
    with start_worker(tmp_path, settings=limited(**more)) as worker:
        gate.unlink()
        worker.set_target(2)
        state = worker.until("one boots", lambda state: bool(pids_of(state, "booting")))
        with stopped(worker, pids_of(state, "booting"), limit=BOOT):
            gate.touch()
        state = worker.until_ready(2)
        assert state["counters"]["bootFailures"] == 0


def test_an_instance_that_hangs_is_still_replaced(tmp_path: Path) -> None:
    """It gets what was left of its time, and no more."""
    with start_worker(tmp_path, settings=limited()) as worker:
        page = worker.begin(say="hangs", sleep=60)
        worker.until_busy()
        with stopped(worker):
            pass
        assert page.result().status == 504
        worker.until("it is replaced", lambda state: state["counters"]["boots"] == 2)
