"""docs/failure-rules.md: an exit costs no request; a request that crashes two is refused."""

from __future__ import annotations

import json
import os
import signal
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fake_engine import order_png
from tests.worker.client import pids_of
from tests.worker.harness import Worker, start_worker


def replaced(worker: Worker, before: set[int], *, dead: int, deaths: int | None = None) -> None:
    """Wait until as many instances are warm as before, all but `dead` of them the same. `deaths`:
    how many there have been in all, where that is more."""
    state = worker.until(
        f"{dead} of {len(before)} instances are replaced",
        lambda state: (
            state["instances"]["ready"] == len(before)
            and state["counters"]["deaths"] == (deaths or dead)
        ),
    )
    after = {one["pid"] for one in state["instances"]["each"]}
    assert len(before & after) == len(before) - dead


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda one: one.name)
def test_a_page_whose_instance_is_killed_is_read_by_another(
    tmp_path: Path, number: signal.Signals
) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=2) as worker:
        before = set(worker.pids())
        answer = worker.begin(say="survives", gate=str(gate))
        (victim,) = worker.until_busy() and worker.pids("busy")
        os.kill(victim, number)
        worker.until("it is put back", lambda state: state["counters"]["retried"] == 1)
        gate.touch()
        assert answer.result().text == "survives"
        assert answer.result().pids != [victim]
        replaced(worker, before, dead=1)


@pytest.mark.parametrize(
    ("end", "instances"),
    [({"signal": "SIGSEGV"}, 2), ({"signal": "SIGABRT"}, 1), ({"exit": 3}, 1), ({"exit": 0}, 2)],
    ids=str,
)
def test_a_page_that_crashes_one_instance_is_answered(
    tmp_path: Path, end: dict[str, Any], instances: int
) -> None:
    with start_worker(tmp_path, instances=instances) as worker:
        before = set(worker.pids())
        answer = worker.read(say="second try", once=str(tmp_path / "flag"), **end)
        assert answer.text == "second try"
        assert worker.counters()["retried"] == 1
        replaced(worker, before, dead=1)


def test_a_page_that_crashes_two_instances_is_refused_from_then_on(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    settings = {"engine": {"options": {"trace": str(trace)}}}
    poison = order_png(say="poison", signal="SIGSEGV")
    with start_worker(tmp_path, instances=3, settings=settings) as worker:
        answer = worker.post(poison)
        assert (answer.status, answer.reason) == (422, "PoisonPage"), answer
        assert "SIGSEGV" in answer.message
        killed = [int(line.split()[0]) for line in trace.read_text().splitlines()]
        assert len(set(killed)) == 2

        # The same request is refused at once; no instance gets it.
        answer = worker.post(poison)
        assert (answer.status, answer.reason) == (422, "PoisonPage"), answer
        assert int(answer.headers["Retry-After"]) > 60
        assert trace.read_text().count("poison") == 2

        # On the other endpoint it is another one, of which the same holds.
        body = json.dumps({"file": b64encode(poison).decode()}).encode()
        for _ in range(2):
            answer = worker.post(body, "/ocr")
            assert (answer.status, answer.json["errorCode"]) == (422, 422)
            assert trace.read_text().count("poison") == 4

        assert worker.read(say="harmless").text == "harmless"
        worker.until_ready(3)
        counters = worker.counters()
        assert (counters["poisoned"], counters["retried"], counters["refused"]) == (2, 2, 2)
        assert counters["deaths"] == 4


def test_a_worker_with_one_instance_survives_a_poison_page(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        assert worker.read(say="poison", exit=7).reason == "PoisonPage"
        assert worker.read(say="harmless").text == "harmless"


def test_a_request_waits_for_the_replacement_when_all_idle_instances_exit(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        before = set(worker.pids())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        worker.until("it is noticed", lambda state: state["counters"]["deaths"] == 2)
        assert worker.read(say="waits for the next").text == "waits for the next"
        replaced(worker, before, dead=2)


def test_an_instance_that_exits_while_idle_costs_no_request(tmp_path: Path) -> None:
    """Also where requests come before its death is noticed, and are handed to a dead process."""
    with start_worker(tmp_path, instances=2) as worker:
        for number in range(1, 7):
            # The one that has rested longest is the next to work.
            rested = worker.read(say="last").pids[0]
            (victim,) = set(worker.pids()) - {rested}
            os.kill(victim, signal.SIGKILL)
            pages = [worker.begin(say=str(page)) for page in range(3)]
            assert [page.result().text for page in pages] == ["0", "1", "2"]
            replaced(worker, {rested, victim}, dead=1, deaths=number)


def test_exits_before_a_page_was_begun_do_not_count_against_it(tmp_path: Path) -> None:
    """Two instances that are stopped never look at the page that they are given."""
    with start_worker(tmp_path, instances=2) as worker:
        for pid in worker.pids():
            os.kill(pid, signal.SIGSTOP)
        page = worker.begin(say="page")
        for given in (1, 2):
            state = worker.until_busy(1)
            (victim,) = pids_of(state, "busy")
            os.kill(victim, signal.SIGKILL)
            worker.until(f"{given} dead", lambda state, n=given: state["counters"]["deaths"] == n)
        assert page.result().text == "page"
        counters = worker.counters()
        assert (counters["retried"], counters["poisoned"]) == (2, 0)


def test_startups_wait_longer_after_each_exit_without_an_answer(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        assert worker.read(say="poison", signal="SIGABRT").reason == "PoisonPage"
        assert worker.read(say="harmless").text == "harmless"
        times = {
            name: [
                datetime.fromisoformat(event["time"])
                for event in worker.events()
                if event["event"] == name
            ]
            for name in ("instance died", "instance boots")
        }
        died, booted = times["instance died"], times["instance boots"][1:]
        waits = [(boot - death).total_seconds() for death, boot in zip(died, booted, strict=True)]
        assert len(waits) == 2
        assert waits[0] > 0.45
        assert waits[1] > 0.9
