"""Killed at every step: an operator that dies at each of its writes still gets there.

Each process makes at most one write and dies: in turns right before it and right after it was
done. So every state in between two writes is one that some process starts from, and no process
remembers anything. Reads change nothing, so a death around a read starts from one of these states.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle

import pytest

from tests.operator.api import Object
from tests.operator.killable import KILLED
from tests.operator.lab import Lab, pool, watching

pytestmark = pytest.mark.timeout(600)


def work_and_die(lab: Lab, done: Callable[[], bool], seconds: float = 240) -> int:
    """Start operators that die, one after another, until `done`. Answers how many died."""
    deaths = 0
    for moment in cycle(("before", "after")):
        operator = lab.start(module="tests.operator.killable", environment={"KILL": moment})
        deadline = time.monotonic() + seconds
        while operator.process.poll() is None:
            if done():
                operator.kill()
                return deaths
            assert time.monotonic() < deadline, lab.tell()
            time.sleep(0.1)
        assert operator.process.returncode == KILLED, operator.tail()
        deaths += 1
        assert deaths < 300, lab.tell()
    raise AssertionError("unreachable")


def test_dying_at_every_write(lab: Lab) -> None:
    def never_doubled(pods: dict[str, Object]) -> None:
        assert set(pods) <= {"pages-0", "pages-1"}, sorted(pods)

    def serves(queue: int) -> bool:
        revisions = {
            pod["metadata"]["annotations"]["ocrpool.dev/revision"] for pod in lab.pods().values()
        }
        fresh = f"queue: {queue}" in str(lab.items("configmaps"))
        ready = lab.condition("Ready") == ("True", "AllWorkersReady")
        settled = lab.condition("Progressing")[0] == "False"
        return fresh and ready and settled and len(revisions) == 1

    with watching(lab, never_doubled):
        lab.apply(pool(admission={"maxMegapixels": 0.25, "queue": 5}))
        created = work_and_die(lab, lambda: serves(5))
        before = {name: lab.uid(name) for name in ("pages-0", "pages-1")}
        lab.apply(pool(admission={"maxMegapixels": 0.25, "queue": 6}))
        rolled = work_and_die(
            lab,
            lambda: (
                serves(6) and all(lab.uid(name) not in ("", uid) for name, uid in before.items())
            ),
        )
        assert lab.pools()[0]["metadata"]["finalizers"] == ["ocrpool.dev/drain"]
        lab.namespace.kubectl("delete", "ocrp", "pages", "--wait=false")
        deleted = work_and_die(lab, lab.gone)
    lines = (lab.folder / "operator.log").read_text(encoding="utf-8").splitlines()
    killed = Counter(line.rpartition(" ")[0] for line in lines if line.startswith("KILLED"))
    print(f"died {created} + {rolled} + {deleted} times: {dict(killed)}")
    # Every kind of write was met, from both sides.
    for what in (
        "create secrets",
        "patch configmaps",
        "patch services",
        "patch poddisruptionbudgets",
        "patch ocrpools",
        "patch ocrpools/status",
        "create pods",
        "patch pods",
        "delete pods",
        "create events",
    ):
        for moment in ("before", "after"):
            assert killed[f"KILLED {moment} {what}"], f"{moment} {what}: {killed}"
