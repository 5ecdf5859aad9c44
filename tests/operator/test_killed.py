"""Operators are killed at every step. For every call to the API server (reads included) that
creating, rolling and deleting a pool makes, one operator is killed right before the call and
another one right after it. The next operator knows only what it finds. The pool still
converges.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.operator.api import Object
from tests.operator.harness import OperatorHarness, pool, watching
from tests.operator.killable import KILLED

pytestmark = pytest.mark.timeout(2000)
WRITES = {
    "create": (
        "create secrets",
        "create configmaps",
        "create services",
        "create poddisruptionbudgets",
        "patch ocrpools",
        "patch ocrpools/status",
        "create pods",
    ),
    "roll": ("patch configmaps", "patch pods", "delete pods", "create pods"),
    "delete": ("patch pods", "delete pods", "patch ocrpools"),
}


def two_each(queue: int) -> Object:
    """Workers start with one instance; the operator sets the target of two."""
    return pool(instances={"min": 2, "max": 2}, admission={"maxMegapixels": 0.25, "queue": queue})


def until(harness: OperatorHarness, phase: str, log: Path, done: Callable[[], bool]) -> None:
    """Start operators that are killed, one after another, until one survives and it is `done`."""
    environment = {"KILL_LOG": str(log), "KILL_PHASE": phase}
    deadline = time.monotonic() + 700
    while True:
        operator = harness.start(module="tests.operator.killable", environment=environment)
        while operator.process.poll() is None:
            if done():
                operator.kill()
                return
            assert time.monotonic() < deadline, harness.describe()
            time.sleep(0.1)
        assert operator.process.returncode == KILLED, operator.tail()


def test_operator_killed_around_every_call_converges(harness: OperatorHarness) -> None:
    log = harness.folder / "exits"
    log.touch()

    def never_doubled(pods: dict[str, Object]) -> None:
        assert set(pods) <= {"pages-0", "pages-1"}, sorted(pods)

    def serves(queue: int) -> bool:
        revisions = {
            pod["metadata"]["annotations"]["ocrpool.dev/revision"]
            for pod in harness.pods().values()
        }
        fresh = f"queue: {queue}" in str(harness.items("configmaps"))
        ready = harness.condition("Ready") == ("True", "AllWorkersReady")
        settled = harness.condition("Progressing")[0] == "False"
        grown = harness.status().get("instances") == {"target": 4, "ready": 4}
        return fresh and ready and settled and grown and len(revisions) == 1

    def rolled() -> bool:
        new = all(harness.uid(name) not in ("", uid) for name, uid in before.items())
        return new and serves(6)

    with watching(harness, never_doubled):
        harness.apply(two_each(queue=5))
        until(harness, "create", log, lambda: serves(5))
        before = {name: harness.uid(name) for name in ("pages-0", "pages-1")}
        harness.apply(two_each(queue=6))
        until(harness, "roll", log, rolled)
        assert harness.pools()[0]["metadata"]["finalizers"] == ["ocrpool.dev/drain"]
        harness.namespace.kubectl("delete", "ocrp", "pages", "--wait=false")
        until(harness, "delete", log, harness.gone)
    exits = log.read_text(encoding="utf-8").splitlines()
    print(f"exited {len(exits)} times")
    # An Event reports a transition once. A killed operator may leave none for the next one.
    # A deleted pool may be gone before a round comes far enough to write its status.
    line = "roll before create events"
    assert any(each.startswith(line) for each in exits), (line, exits)
    for phase, writes in WRITES.items():
        for write in writes:
            for moment in ("before", "after"):
                start = f"{phase} {moment} {write}"
                assert any(line == start or line.startswith(f"{start} ") for line in exits), (
                    f"{start}: {exits}"
                )
