"""A while without descriptors costs the boots of that while, and not those after it."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

from tests.worker.harness import Worker, start_worker, wait_for


def failed_boots(worker: Worker) -> int:
    """From the log: the worker cannot take a connection now."""
    return sum(event.get("event") == "instance failed to boot" for event in worker.events())


def test_startups_continue_when_there_are_descriptors_again(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        (victim,) = worker.pids()
        _, hard = before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))
        os.kill(victim, signal.SIGKILL)
        # More than after which boots that fail by themselves are given up.
        wait_for("four boots have failed", lambda: failed_boots(worker) >= 4)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
        worker.until_ready(1)
        assert worker.read(say="again").text == "again"
