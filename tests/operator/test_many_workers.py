"""A pool of many workers whose image is missing, on the real API server: the status tells it.

A hundred by default; OCRPOOL_MANY_WORKERS=1000 takes minutes. What the status of 1,000 is:
tests/unit/planner/test_size_limit.py.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.operator.harness import Lab, pool

pytestmark = pytest.mark.timeout(900)
WORKERS = int(os.environ.get("OCRPOOL_MANY_WORKERS", "100"))
# As kubelet says it, twice: once per try, with the registry's whole answer.
MESSAGE = (
    'Back-off pulling image "registry.example.com/team/ocrpool-worker:v1": ErrImagePull: '
    "rpc error: code = NotFound desc = failed to pull and unpack image: "
    + "no such manifest; "
    * 80
)


def test_many_workers_without_their_image(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(replicas=WORKERS, template={"nodeSelector": {"no": "node"}}))
    began = time.monotonic()
    lab.until("all pods are made", lambda: len(lab.pods()) == WORKERS, 400)
    print(f"made after {time.monotonic() - began:.0f} s")
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": MESSAGE}}
    container = {
        "name": "worker", "image": "registry.example.com/team/ocrpool-worker:v1", "imageID": "",
        "ready": False, "restartCount": 0, "state": waiting,
    }  # fmt: skip

    def break_it(name: str) -> None:
        status = {"phase": "Pending", "containerStatuses": [container]}
        lab.api.merge(f"{lab.path('pods')}/{name}/status", {"status": status})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(break_it, lab.pods()))
    lab.until(
        "it is told of all",
        lambda: f"pages-0 and {WORKERS - 1} more" in str(lab.status()["conditions"]),
        120,
    )
    status = lab.status()
    size = len(json.dumps(lab.pools()[0]))
    print(f"the object has {size} bytes")
    assert lab.condition("Degraded") == ("True", "ImageNotAvailable")
    assert len(status["workers"]) == WORKERS
    assert status["workers"][-1]["problem"] == "ImageNotAvailable: as pages-0"
    assert size < 2**19
    # Scaled down, it goes on: nothing is frozen.
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=0")
    lab.until("they go", lambda: len(lab.pods()) < WORKERS // 2, 300)
