"""Apply the pools, and look at how far they are without costing the API server much."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devcluster.kwok import TOLERATION
from devcluster.waiting import Api

NAMESPACE = "scale"
POOLS = f"/apis/ocrpool.dev/v1alpha1/namespaces/{NAMESPACE}/ocrpools"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LOOK_S = 0.5
# The API server has better to do, and the two share the cores.
TIMEOUT_S = 60.0


def a_pool(name: str, workers: int) -> dict[str, Any]:
    return {
        "apiVersion": "ocrpool.dev/v1alpha1",
        "kind": "OcrPool",
        "metadata": {"name": name},
        "spec": {
            "replicas": workers,
            "device": "gpu",
            "engine": {"name": "null"},
            "template": {"tolerations": [TOLERATION]},
        },
    }


def apply(api: Api, count: int, workers: int) -> None:
    """As fast as four callers can."""

    def one(number: int) -> None:
        api.call("POST", POOLS, a_pool(f"p{number}", workers), timeout_s=TIMEOUT_S)

    with ThreadPoolExecutor(4) as callers:
        list(callers.map(one, range(count)))


def pods_there(api: Api) -> int:
    """One page of one object says how many more there are."""
    found = api.get_json(f"{PODS}?limit=1", TIMEOUT_S)
    return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))


def unready(api: Api, workers: int) -> int:
    """How many workers are not ready, by what the pools' status says."""
    found = api.get_json(POOLS, TIMEOUT_S)["items"]
    return sum(workers - each.get("status", {}).get("readyReplicas", 0) for each in found)


def seconds_until(what: str, look: Callable[[], bool], most: float) -> float:
    """How long it took; SystemExit where it takes longer than `most`."""
    began = time.monotonic()
    while not look():
        if time.monotonic() - began > most:
            raise SystemExit(f"not within {most:g} s: {what}")
        time.sleep(LOOK_S)
    return time.monotonic() - began
