"""The status of a pool of many workers whose image is missing, on a real API server.

A hundred workers by default; OCRPOOL_MANY_WORKERS=1000 takes minutes. For the status of 1,000, see
tests/unit/planner/test_size_limit.py.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.operator.harness import OperatorHarness, pool

pytestmark = pytest.mark.timeout(900)
WORKERS = int(os.environ.get("OCRPOOL_MANY_WORKERS", "100"))
# The kubelet reports it twice: once per attempt, with the registry's whole answer.
MESSAGE = (
    'Back-off pulling image "registry.example.com/team/ocrpool-worker:v1": ErrImagePull: '
    "rpc error: code = NotFound desc = failed to pull and unpack image: "
    + "no such manifest; "
    * 80
)


def test_status_of_many_workers_without_their_image(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=WORKERS, template={"nodeSelector": {"no": "node"}}))
    began = time.monotonic()
    harness.until("all pods are made", lambda: len(harness.pods()) == WORKERS, 400)
    print(f"made after {time.monotonic() - began:.0f} s")
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": MESSAGE}}
    container = {
        "name": "worker", "image": "registry.example.com/team/ocrpool-worker:v1", "imageID": "",
        "ready": False, "restartCount": 0, "state": waiting,
    }  # fmt: skip

    def break_it(name: str) -> None:
        status = {"phase": "Pending", "containerStatuses": [container]}
        harness.api.merge(f"{harness.path('pods')}/{name}/status", {"status": status})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(break_it, harness.pods()))
    harness.until(
        "all workers are reported",
        lambda: f"pages-0 and {WORKERS - 1} more" in str(harness.status()["conditions"]),
        120,
    )
    status = harness.status()
    size = len(json.dumps(harness.pools()[0]))
    print(f"the object has {size} bytes")
    assert harness.condition("Degraded") == ("True", "ImageNotAvailable")
    assert len(status["workers"]) == WORKERS
    assert status["workers"][-1]["problem"] == "ImageNotAvailable: as pages-0"
    assert size < 2**19
    # It can still be scaled down.
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=0")
    harness.until("they go", lambda: len(harness.pods()) < WORKERS // 2, 300)
