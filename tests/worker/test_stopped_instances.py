"""An instance that is stopped (SIGSTOP, a debugger) reads nothing: it does not count as ready."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.worker.harness import Worker, start_worker, wait_for


def settings(seconds: float) -> dict[str, Any]:
    return {"admission": {"timeoutSeconds": seconds}, "memory": {"pollSeconds": 0.1}}


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


def standing(worker: Worker) -> list[int]:
    return [one["pid"] for one in worker.state()["instances"]["each"] if one["stopped"]]


def test_a_worker_whose_idle_instances_are_all_stopped_is_not_ready(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2, settings=settings(60)) as worker:
        pids = worker.pids()
        send(signal.SIGSTOP, pids)
        wait_for("it is not ready", lambda: not worker.ready)
        probe = worker.control("GET", "/readyz")
        assert probe.body.startswith(b"Stopped: every instance is stopped"), probe
        state = worker.state()
        assert (state["ready"], state["instances"]["ready"]) == (False, 0)
        assert standing(worker) == pids
        assert worker.control("GET", "/livez").status == 200

        send(signal.SIGCONT, pids[:1])
        wait_for("it is ready again", lambda: worker.ready)
        assert worker.state()["instances"]["ready"] == 1
        send(signal.SIGCONT, pids[1:])
        worker.until("both are", lambda state: state["instances"]["ready"] == 2)
        assert worker.pids() == pids
        assert worker.state()["problem"] is None


def test_pages_go_to_instances_that_are_not_stopped(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=3, settings=settings(60)) as worker:
        pids = worker.pids()
        send(signal.SIGSTOP, pids[:2])
        wait_for("it is noticed", lambda: standing(worker) == pids[:2])
        assert worker.ready
        pages = [worker.begin(say=str(number)) for number in range(6)]
        assert [page.result().pids for page in pages] == [[pids[2]]] * 6
        send(signal.SIGCONT, pids[:2])
        wait_for("they are back", lambda: not standing(worker))
        assert {worker.read(say="next").pids[0] for _ in range(3)} == set(pids)


def test_a_page_that_failed_elsewhere_does_not_wait_for_a_stopped_one(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2, settings=settings(60)) as worker:
        pids = worker.pids()
        send(signal.SIGSTOP, pids[:1])
        wait_for("it is noticed", lambda: standing(worker) == pids[:1])
        flag = str(tmp_path / "flag")
        answer = worker.read(say="again", once=flag, **{"raise": "ValueError:odd"})
        assert (answer.text, answer.pids) == ("again", pids[1:])
        send(signal.SIGCONT, pids[:1])


def test_an_instance_that_stays_stopped_is_replaced(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2, settings=settings(1.5)) as worker:
        pids = worker.pids()
        send(signal.SIGSTOP, pids[:1])
        worker.until("it is replaced", lambda state: state["counters"]["boots"] == 3)
        state = worker.until_ready(2)
        assert pids[0] not in [one["pid"] for one in state["instances"]["each"]]
        assert state["counters"]["deaths"] == 1
        (gone,) = [event for event in worker.events() if event.get("event") == "instance gone"]
        assert gone["why"] == (
            "killed by the worker: it was stopped (SIGSTOP) for 1.5 s (admission.timeoutSeconds)"
        )
