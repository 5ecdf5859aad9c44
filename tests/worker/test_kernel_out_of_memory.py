"""At a real memory limit the kernel kills: the worker knows why, and gives itself one fewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.harness import start_worker
from tools.bench.lib.cgroup import MemoryCgroup, memory_cgroup
from tools.bench.lib.servers import StartError
from tools.devcluster.testing.plugin import LEFT_OUT

# The worker and three instances of the stand-in take about half of it.
LIMIT = 768 << 20
TOO_MUCH = 1 << 30


@pytest.fixture
def group() -> Iterator[MemoryCgroup]:
    try:
        with memory_cgroup("starved", LIMIT) as group:
            yield group
    except StartError as error:
        pytest.skip(LEFT_OUT + str(error))


def test_an_instance_that_the_kernel_kills_lowers_the_ceiling(
    tmp_path: Path, group: MemoryCgroup
) -> None:
    with start_worker(tmp_path, instances=3, inside=group.command) as worker:
        once = str(tmp_path / "once")
        assert worker.read(say="large", grow=TOO_MUCH, once=once).text == "large"
        assert group.killed == 1
        state = worker.until_ready(2)
        assert state["instances"]["ceiling"] == 2
        assert (state["counters"]["outOfMemory"], state["counters"]["deaths"]) == (1, 1)

        answer = worker.read(say="too large for any", grow=TOO_MUCH)
        assert answer.status == 422
        assert "ran out of memory in two OCR processes" in answer.message
        assert "killed by the kernel" in answer.message
        assert worker.until_ready(1)["counters"]["outOfMemory"] == 2, "one page counts once"
        assert worker.read(say="small").text == "small"


def test_a_starting_instance_that_the_kernel_kills_lowers_the_ceiling(
    tmp_path: Path, group: MemoryCgroup
) -> None:
    settings = {"engine": {"options": {"warm": {"grow": LIMIT // 2}}}}
    with start_worker(tmp_path, settings=settings, inside=group.command) as worker:
        worker.set_target(2)
        state = worker.until("a boot fails", lambda state: state["counters"]["bootFailures"] == 1)
        assert state["instances"]["ceiling"] == 1
        assert worker.read(say="goes on").text == "goes on"


def test_a_worker_without_memory_for_one_instance_says_so(
    tmp_path: Path, group: MemoryCgroup
) -> None:
    settings = {"engine": {"options": {"warm": {"grow": TOO_MUCH}}}}
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=settings, ready=False, inside=group.command) as it:
        state = it.until("it gives up", lambda state: state["counters"]["bootFailures"] == 3)
        assert state["problem"]["reason"] == "InsufficientMemory"
        assert "killed by the kernel, out of memory" in state["problem"]["message"]
