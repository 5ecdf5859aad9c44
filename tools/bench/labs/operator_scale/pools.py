"""Apply the pools, and follow their progress with few calls to the API server."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource.spec import PoolSpec
from ocrpool_operator.manifests.worker_pod import worker_pod
from ocrpool_operator.reconcile.loop import MAX_CONCURRENT_ROUNDS
from tools.devcluster.kwok import TOLERATION
from tools.devcluster.waiting import ApiClient

NAMESPACE = "scale"
POOLS = f"/apis/ocrpool.dev/v1alpha1/namespaces/{NAMESPACE}/ocrpools"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
POLL_S = 0.5
CALM_S = 10.0
# The API server is busy and shares the cores.
TIMEOUT_S = 60.0


def a_pool(name: str, workers: int) -> dict[str, Any]:
    return {
        "apiVersion": "ocrpool.dev/v1alpha1",
        "kind": "OcrPool",
        "metadata": {"name": name},
        "spec": {
            "replicas": workers,
            "device": "gpu",
            "engine": {"name": "noop"},
            "template": {"tolerations": [TOLERATION]},
        },
    }


def apply(api: ApiClient, count: int, workers: int) -> None:
    """Apply the pools, four at a time."""

    def one(number: int) -> None:
        api.call("POST", POOLS, a_pool(f"p{number}", workers), timeout_s=TIMEOUT_S)

    with ThreadPoolExecutor(4) as callers:
        list(callers.map(one, range(count)))


def bare_pods(api: ApiClient, count: int, workers: int) -> float:
    """Seconds that a client which does nothing else needs to create as many of the operator's pods,
    with as many calls at once as the operator has rounds, each on its own connection. The pods are
    deleted when this returns."""
    spec = PoolSpec.model_validate(a_pool("", workers)["spec"]).with_image("none")

    def make(number: int) -> None:
        pool = ObservedPool(NAMESPACE, f"bare{number // workers}", "uid", 1, spec)
        pod = worker_pod(pool, f"bare{number // workers}-{number % workers}", "0")
        # There is no such pool, so the garbage collector would delete the pods.
        del pod["metadata"]["ownerReferences"]
        api.call("POST", PODS, pod, timeout_s=TIMEOUT_S)

    began = time.monotonic()
    with ThreadPoolExecutor(MAX_CONCURRENT_ROUNDS) as callers:
        list(callers.map(make, range(count)))
    took = time.monotonic() - began
    seconds_until("all bare pods run", lambda: _pending(api) == 0, 900)
    api.call("DELETE", PODS, timeout_s=TIMEOUT_S)
    seconds_until("all bare pods are gone", lambda: pods_there(api) == 0, 900)
    return took


def _pending(api: ApiClient) -> int:
    found = api.get_json(f"{PODS}?fieldSelector=status.phase%3DPending&limit=1", TIMEOUT_S)
    return len(found["items"])


def nodes_settle(api: ApiClient) -> None:
    """Wait until controllers no longer write to new nodes (addresses, taints, labels)."""
    before = -1
    while True:
        found = api.get_json("/api/v1/nodes", TIMEOUT_S)["items"]
        newest = max(int(each["metadata"]["resourceVersion"]) for each in found)
        if newest == before:
            return
        before = newest
        time.sleep(CALM_S)


def pods_there(api: ApiClient) -> int:
    """The number of pods. A list of one object also reports how many remain."""
    found = api.get_json(f"{PODS}?limit=1", TIMEOUT_S)
    return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))


def unready(api: ApiClient, workers: int) -> int:
    """How many workers are not ready, from the status of the pools."""
    found = api.get_json(POOLS, TIMEOUT_S)["items"]
    return sum(workers - each.get("status", {}).get("readyReplicas", 0) for each in found)


def seconds_until(what: str, condition: Callable[[], bool], most: float) -> float:
    """Wait until `condition` is true and return the seconds. SystemExit after `most` seconds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > most:
            raise SystemExit(f"not within {most:g} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - began
