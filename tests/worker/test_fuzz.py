"""20,000 malformed requests: no answer is 5xx, the server survives, and its memory stays constant.

The seed is fixed, so failures are reproducible. OCRPOOL_FUZZ_SEED and OCRPOOL_FUZZ_REQUESTS select
others.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.worker.attack import Attack
from tests.worker.harness import start_worker
from tests.worker.malformed import MAX_BODY, requests

SEED = int(os.environ.get("OCRPOOL_FUZZ_SEED", "20260417"))
COUNT = int(os.environ.get("OCRPOOL_FUZZ_REQUESTS", "20000"))
SETTLED = 2000  # requests after which memory counts
GROWTH = 30 * 2**20


@pytest.mark.timeout(600)
def test_20000_malformed_requests(tmp_path: Path) -> None:
    settings = {
        "instances": {"max": 2},
        "admission": {"maxBody": MAX_BODY * 2, "queue": 256, "timeoutSeconds": 30},
    }
    with start_worker(tmp_path, instances=2, settings=settings) as worker:
        instances = set(worker.pids())
        attack = Attack(worker, seed=SEED, count=COUNT)
        asyncio.run(attack.run())
        print(f"seed {SEED}: {dict(attack.statuses)}")
        assert not attack.failures, "\n".join(attack.failures[:3])

        assert worker.process.poll() is None, "the supervisor ended"
        assert worker.read(say="still here").text == "still here"
        assert worker.ready
        state = worker.state()
        counters = state["counters"]
        # Only a file that crashes a decoder twice may end instances, and it gets 422.
        assert counters["deaths"] <= 2 * counters["poisoned"], counters
        assert counters["deviceErrors"] == counters["outOfMemory"] == 0, counters
        if not counters["deaths"]:
            assert set(worker.pids()) == instances, "instances were replaced without need"
        assert state["queue"]["depth"] == 0
        assert (
            counters["requests"]
            == counters["answered"] + counters["failed"] + (counters["cancelled"])
        )
        errors = [event for event in worker.events() if event["level"] == "error"]
        assert not errors, errors[0]
        settled = [memory for number, memory in attack.memory if number >= SETTLED]
        if settled:
            grown = max(settled) - settled[0]
            assert grown < GROWTH, f"memory of the supervisor: {attack.memory}"


def test_the_same_seed_gives_the_same_requests() -> None:
    first, again, other = requests(1), requests(1), requests(2)
    ours = [next(first) for _ in range(50)]
    assert ours == [next(again) for _ in range(50)]
    assert [one.sent for one in ours] != [next(other).sent for _ in range(50)]


def test_orders_survive_the_settings_of_this_test(tmp_path: Path) -> None:
    """The engine really decodes here: its text comes out of the picture."""
    with start_worker(tmp_path) as worker:
        assert worker.post(order_png(say="decoded")).text == "decoded"
