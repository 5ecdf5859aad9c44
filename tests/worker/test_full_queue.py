"""docs/failure-rules.md: a full queue is 429 with Retry-After; accepted requests are answered."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

from tests.fake_engine import order_png
from tests.worker.harness import Answer, Worker, start_worker

WAITING = 2


def fill(worker: Worker, gate: Path) -> list[object]:
    """One request on the only instance, and as many behind it as may wait."""
    running = worker.begin(say="running", gate=str(gate))
    worker.until_busy()
    waiting = [worker.begin(say=f"waiting {number}") for number in range(WAITING)]
    worker.until("the queue is full", lambda state: state["queue"]["depth"] == WAITING)
    return [running, *waiting]


def check(answer: Answer) -> None:
    assert answer.status == 429, answer
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_full_queue_is_429_with_retry_after(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings={"admission": {"queue": WAITING}}) as worker:
        accepted = fill(worker, gate)
        state = worker.state()
        assert state["queue"]["capacity"] == WAITING
        assert state["queue"]["oldestSeconds"] > 0

        answer = worker.read(say="one too many")
        check(answer)
        assert answer.reason == "QueueFull"
        assert "admission.queue" in answer.message
        assert answer.json["error"]["limit"] == WAITING

        file = b64encode(order_png(say="one too many")).decode()
        answer = worker.post(json.dumps({"file": file}).encode(), "/ocr")
        check(answer)
        assert answer.json["errorCode"] == 429

        assert worker.counters()["rejected"] == 2
        gate.touch()
        texts = [future.result().text for future in accepted]  # type: ignore[attr-defined]
        assert texts == ["running", "waiting 0", "waiting 1"]
        assert worker.read(say="room again").text == "room again"
        assert worker.counters()["deaths"] == 0


def test_a_queue_of_0_still_accepts_a_request_for_an_idle_instance(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings={"admission": {"queue": 0}}) as worker:
        running = worker.begin(say="running", gate=str(gate))
        worker.until_busy()
        check(worker.read(say="one too many"))
        gate.touch()
        assert running.result().text == "running"
