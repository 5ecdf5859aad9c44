"""The start logs it if the largest admitted page takes longer than `timeoutSeconds`."""

from __future__ import annotations

from pathlib import Path

from tests.worker.harness import start_worker

# A page of the largest size takes a second.
SLOW = {
    "admission": {"timeoutSeconds": 0.5},
    "engine": {"options": {"largest": {"sleep": 1.0}}},
}


def test_a_largest_page_that_is_too_slow_is_told_and_the_worker_is_ready(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=SLOW) as worker:
        assert worker.ready
        state = worker.state()
        assert state["ready"]
        assert state["problem"]["reason"] == "PagesTooSlow"
        for words in (
            "s during the warm-up",
            "admission.timeoutSeconds is 0.5",
            "lower admission.maxMegapixels (now 0.25)",
            "threads",
        ):
            assert words in state["problem"]["message"]
        (warned,) = [one for one in worker.events() if one.get("reason") == "PagesTooSlow"]
        assert warned["level"] == "warning"


def test_what_only_the_first_page_costs_is_not_held_against_it(tmp_path: Path) -> None:
    settings = {
        "admission": {"timeoutSeconds": 8},
        "engine": {"options": {"warm": {"sleep": 9}}},
    }
    with start_worker(tmp_path, settings=settings) as worker:
        assert worker.state()["problem"] is None
