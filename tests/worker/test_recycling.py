"""docs/failure-rules.md: an instance with too much memory is replaced; the worker stays ready."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.worker.harness import Worker, start_worker

CAP = {"memory": {"perInstance": 1000}, "engine": {"options": {"device": 100}}}
OVER = {"device": 2000}


@contextlib.contextmanager
def watched(worker: Worker) -> Iterator[list[dict[str, Any]]]:
    """Asks for readiness and the state all the while; the worker must be ready every time."""
    seen: list[dict[str, Any]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            seen.append(worker.state() | {"readyz": worker.ready})

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
    assert all(state["readyz"] for state in seen), "it was not ready all the while"


def until_replaced(worker: Worker, old: set[int], instances: int) -> dict[str, Any]:
    """Wait until there are so many warm instances and none of the old ones."""

    def met(state: dict[str, Any]) -> bool:
        each = state["instances"]["each"]
        pids = {one["pid"] for one in each}
        warm = all(one["state"] in ("idle", "busy") for one in each)
        return len(each) == instances and warm and not pids & old

    return worker.until(f"{old} are replaced", met)


def test_the_only_instance_over_its_cap_is_replaced_after_its_page(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=CAP) as worker, watched(worker) as seen:
        old = worker.pids()
        answer = worker.read(say="large", **OVER)
        assert (answer.text, answer.pids) == ("large", old)
        state = until_replaced(worker, set(old), 1)
        assert state["counters"]["recycled"] == 1
        assert state["counters"]["deaths"] == 0
        assert state["footprint"]["bytes"] == 2000
        assert worker.read(say="small").text == "small"
    # Its replacement was warm before it went: there always was one.
    assert min(state["instances"]["ready"] for state in seen) == 1
    assert max(len(state["instances"]["each"]) for state in seen) == 2
    (retired,) = [event for event in worker.events() if event["event"] == "instance retires"][:1]
    assert "memory.perInstance" in retired["why"]


def test_several_over_their_cap_are_replaced_one_at_a_time(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=3, settings=CAP) as worker, watched(worker) as seen:
        old = set(worker.pids())
        pages = [worker.begin(say=f"large {n}", gate=str(gate), **OVER) for n in range(3)]
        worker.until_busy(3)
        gate.touch()
        assert [page.result().text for page in pages] == ["large 0", "large 1", "large 2"]
        state = until_replaced(worker, old, 3)
        assert state["counters"]["recycled"] == 3
        assert state["counters"]["deaths"] == 0
    assert min(state["instances"]["ready"] for state in seen) == 2
    assert max(len(state["instances"]["each"]) for state in seen) == 3


def test_an_instance_that_has_grown_is_replaced(tmp_path: Path) -> None:
    """With real memory: it holds three times what it held when warm."""
    with start_worker(tmp_path, settings={"recycle": {"memoryGrowth": 1.5}}) as worker:
        (warm,) = worker.state()["instances"]["each"]
        answer = worker.read(say="grows", grow=2 * warm["memory"])
        assert answer.text == "grows"
        with watched(worker):
            state = until_replaced(worker, {warm["pid"]}, 1)
        assert state["counters"]["recycled"] == 1
        assert state["footprint"]["bytes"] > 2 * warm["memory"]
        assert state["instances"]["each"][0]["memory"] < 1.5 * warm["memory"]


def test_the_state_shows_memory_in_the_middle_of_a_page(tmp_path: Path) -> None:
    """In RAM an instance's memory rises and falls within a page. If only answers reported it, the
    difference would count as memory of other processes, and cost an instance whenever all read
    large pages."""
    with start_worker(tmp_path, settings={"recycle": {"memoryGrowth": 0}}) as worker:
        (warm,) = worker.state()["instances"]["each"]
        more = 8 * warm["memory"]
        answer = worker.begin(say="large", grow=more, stop=True)
        try:
            state = worker.until(
                "the state shows it", lambda state: state["instances"]["each"][0]["memory"] > more
            )
            (busy,) = state["instances"]["each"]
            assert (busy["pid"], busy["state"]) == (warm["pid"], "busy")
            assert busy["peak"] > more
            assert state["footprint"]["bytes"] > more, "others may meet such a page, too"
        finally:
            os.kill(warm["pid"], signal.SIGCONT)
        assert answer.result().text == "large"


def test_an_instance_that_has_not_grown_stays(tmp_path: Path) -> None:
    settings = {"recycle": {"memoryGrowth": 1.5}, "engine": {"options": {"device": 1000}}}
    with start_worker(tmp_path, settings=settings) as worker:
        before = worker.pids()
        assert worker.read(say="at the limit", device=1500).pids == before
        assert worker.read(say="next").pids == before
        assert worker.counters()["recycled"] == 0


def test_instances_are_replaced_after_so_many_pages(tmp_path: Path) -> None:
    settings = {"recycle": {"afterRequests": 2}}
    with start_worker(tmp_path, instances=2, settings=settings) as worker, watched(worker):
        old = set(worker.pids())
        for number in range(4):
            assert worker.read(say=str(number)).text == str(number)
        until_replaced(worker, old, 2)
        assert worker.counters()["recycled"] == 2
        assert worker.counters()["deaths"] == 0
