"""docs/failure-rules.md: when the supervisor exits, every instance exits within a second."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.worker.harness import Worker, instances_of, launch, start_worker, wait_for

# What an instance may be at; one more is idle. No other thread can run while `native` does.
AT_WORK: list[dict[str, Any]] = [{"sleep": 60}, {"spin": 60}, {"native": 60}, {"stop": True}]


def kill(worker: Worker, *, seconds: float = 1) -> None:
    """Kill the supervisor. Every instance must exit within `seconds`."""
    worker.signal(signal.SIGKILL)
    assert worker.ended() == -signal.SIGKILL
    worker.no_instance_left(seconds=seconds)


def test_instances_exit_with_their_supervisor_in_any_state(tmp_path: Path) -> None:
    settings = {"instances": {"max": len(AT_WORK) + 1}}
    with start_worker(tmp_path, instances=len(AT_WORK) + 1, settings=settings) as worker:
        pages = [worker.begin(say="lost", **order) for order in AT_WORK]
        worker.until_busy(len(pages))
        assert len(instances_of(worker.pid)) == len(AT_WORK) + 1
        kill(worker)
        for page in pages:  # the connection is lost
            assert isinstance(page.exception(), OSError)


@pytest.mark.parametrize("boot", [{"sleep": 60}, {"native": 60}], ids=["asleep", "native"])
def test_a_starting_instance_exits_with_its_supervisor(
    tmp_path: Path, boot: dict[str, Any]
) -> None:
    begun = tmp_path / "begun"
    settings = {"engine": {"options": {"boot": {"once": str(begun), **boot}}}}
    with start_worker(tmp_path, settings=settings, ready=False) as worker:
        wait_for("the engine is being built", begun.exists)
        kill(worker)


def test_an_instance_that_was_just_started_exits_with_its_supervisor(tmp_path: Path) -> None:
    """The supervisor is killed before the instance watches it. Then the instance exits as soon as
    it has imported its modules, which takes long on a busy machine."""
    worker = launch(tmp_path)
    try:
        wait_for("a process is there", lambda: instances_of(worker.pid))
        kill(worker, seconds=60)
    finally:
        worker.clean_up()
