"""docs/failure-rules.md: out of memory, device errors, and other errors of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.harness import Worker, start_worker

OUT_OF_MEMORY = [
    "MemoryError:",
    "RuntimeError:Out of memory error on GPU 0. Cannot allocate 2.3GB memory on GPU 0",
]
DEVICE_ERRORS = [
    "OSError:(External) CUDA error(719), unspecified launch failure.",
    "RuntimeError:CUDNN_STATUS_EXECUTION_FAILED",
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_memory_that_runs_out_once_lowers_the_ceiling(tmp_path: Path, error: str) -> None:
    flag = str(tmp_path / "flag")
    with start_worker(tmp_path, instances=3) as worker:
        before = set(worker.pids())
        answer = worker.read(say="fits now", once=flag, **{"raise": error})
        assert answer.text == "fits now"
        state = worker.until_ready(2)
        kept = {one["pid"] for one in state["instances"]["each"]}
        assert kept < before, "the instance that ran out of memory was not recycled"
        assert (state["instances"]["target"], state["instances"]["ceiling"]) == (3, 2)
        counters = state["counters"]
        assert (counters["outOfMemory"], counters["retried"], counters["poisoned"]) == (1, 1, 0)
        assert state["ready"]


def test_the_only_instance_is_recycled_when_memory_runs_out(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        before = worker.pids()
        answer = worker.read(
            say="fits now", once=str(tmp_path / "flag"), **{"raise": "MemoryError:"}
        )
        assert answer.text == "fits now"
        assert answer.pids != before
        assert worker.state()["instances"]["ceiling"] == 1


def test_a_page_on_which_memory_runs_out_twice_is_422(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=3) as worker:
        answer = worker.read(say="too much", **{"raise": OUT_OF_MEMORY[1]})
        assert (answer.status, answer.reason) == (422, "PoisonPage"), answer
        assert "ran out of memory in two OCR processes" in answer.message
        assert worker.read(say="small").text == "small"
        # It is one page: one fewer fits, not two.
        assert worker.counters()["outOfMemory"] == 1
        assert worker.state()["instances"]["ceiling"] == 2
        assert worker.read(say="too much", **{"raise": OUT_OF_MEMORY[1]}).status == 422
        assert worker.counters()["outOfMemory"] == 1, "its digest was not remembered"


@pytest.mark.parametrize("error", DEVICE_ERRORS)
def test_a_device_error_costs_the_instance_not_the_request(tmp_path: Path, error: str) -> None:
    flag = str(tmp_path / "flag")
    with start_worker(tmp_path, instances=2) as worker:
        before = set(worker.pids())
        answer = worker.read(say="second try", once=flag, **{"raise": error})
        assert answer.text == "second try"
        # A poisoned context never serves again: it is killed, not asked to end.
        killed = [event for event in worker.events() if event["event"] == "instance killed"]
        assert len(killed) == 1
        worker.until("a new one", lambda state: state["counters"]["boots"] == 3)
        assert len(before & set(worker.pids())) == 1
        assert worker.ready
        counters = worker.counters()
        assert (counters["deviceErrors"], counters["retried"], counters["deaths"]) == (1, 1, 1)


def test_a_page_with_two_device_errors_is_422_and_not_remembered(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        answer = worker.read(say="page", **{"raise": DEVICE_ERRORS[0]})
        assert (answer.status, answer.reason) == (422, "PoisonPage"), answer
        worker.read(say="page", **{"raise": DEVICE_ERRORS[0]})
        assert worker.counters()["deviceErrors"] > 2, "the device's fault was put on the page"


def test_several_device_errors_within_a_minute_make_it_not_ready(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        for number in range(3):
            assert worker.ready
            flag = str(tmp_path / f"flag {number}")
            error = DEVICE_ERRORS[0]
            assert worker.read(say="read", once=flag, **{"raise": error}).text == "read"
        probe = worker.control("GET", "/readyz")
        assert (probe.status, probe.body[:12]) == (503, b"DeviceError:"), probe
        state = worker.state()
        assert not state["ready"]
        assert state["problem"]["reason"] == "DeviceError"
        assert worker.control("GET", "/livez").status == 200


def same_pids(worker: Worker, before: list[int]) -> None:
    assert sorted(worker.pids()) == sorted(before)
    assert worker.counters()["deaths"] == 0


def test_an_engine_error_on_two_tries_is_422_and_costs_no_instance(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        before = worker.pids()
        answer = worker.read(say="odd", **{"raise": "ValueError:(InvalidArgument) Cannot parse"})
        assert (answer.status, answer.reason) == (422, "EngineFailure"), answer
        assert "(InvalidArgument) Cannot parse" in answer.message
        # Half a character cannot be sent.
        half = worker.read(say="half", **{"raise": "ValueError:(InvalidArgument) \ud83d"})
        assert (half.status, half.reason) == (422, "EngineFailure"), half
        same_pids(worker, before)
        assert worker.counters()["retried"] == 2


def test_an_engine_error_once_is_200(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        before = worker.pids()
        flag = str(tmp_path / "flag")
        answer = worker.read(say="second try", once=flag, **{"raise": "ValueError:odd"})
        assert answer.text == "second try"
        same_pids(worker, before)


def test_an_instance_that_fails_on_three_pages_in_a_row_is_replaced(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        before = worker.pids()
        for number in range(2):
            answer = worker.read(say=f"odd {number}", **{"raise": "ValueError:odd"})
            assert answer.reason == "EngineFailure"
        assert worker.read(say="fine").pids != before
