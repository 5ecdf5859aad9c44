"""Fake GPUs on the node: each pod gets its own, with the memory that the test sets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.devcluster.pods import PORT, await_ready, pod, run_python
from tools.devcluster.fakegpu.device import RESOURCE, FakeGpu
from tools.devcluster.testing import Cluster, Namespace, handle

pytestmark = pytest.mark.skipif(handle.existing() is not None, reason="of our own node only")

ASK = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:{}{}').read().decode())"
GIB = 1 << 30


@pytest.fixture
def gpus(node: Cluster) -> Iterator[list[FakeGpu]]:
    yield node.gpus
    for gpu in node.gpus:
        gpu.set_used(0)


def _ask(namespace: Namespace, name: str, path: str) -> Any:
    return json.loads(run_python(namespace, name, ASK.format(PORT, path)))


def _gpu_pod(name: str) -> dict[str, Any]:
    return pod(name, resources={"limits": {RESOURCE: 1}})


def test_two_pods_get_one_device_each_and_a_third_waits(
    gpus: list[FakeGpu], namespace: Namespace
) -> None:
    names = ("first", "second")
    for name in names:
        namespace.apply(_gpu_pod(name))
    await_ready(namespace, *names)
    namespace.apply(_gpu_pod("third"))

    uuids = [[each["uuid"] for each in _ask(namespace, name, "/gpus")] for name in names]
    assert sorted(uuid for found in uuids for uuid in found) == sorted(gpu.uuid for gpu in gpus)
    assert [len(found) for found in uuids] == [1, 1]

    time.sleep(1)
    status = namespace.get("pod", "third")["status"]
    assert status["phase"] == "Pending"
    assert f"Insufficient {RESOURCE}" in status["conditions"][0]["message"]
    namespace.kubectl("delete", "pod", "first")
    await_ready(namespace, "third")


def test_pynvml_in_the_pod_sees_what_the_test_sets(
    gpus: list[FakeGpu], namespace: Namespace
) -> None:
    namespace.apply(_gpu_pod("worker"))
    await_ready(namespace, "worker")
    (before,) = _ask(namespace, "worker", "/gpus")
    own = next(gpu for gpu in gpus if gpu.uuid == before["uuid"])

    own.set_used(5 * GIB)

    (after,) = _ask(namespace, "worker", "/gpus")
    assert (before["used"], after["used"], after["total"]) == (0, 5 * GIB, own.total)


def test_a_process_in_the_pod_is_charged_until_it_exits(
    gpus: list[FakeGpu], namespace: Namespace
) -> None:
    namespace.apply(_gpu_pod("worker"))
    await_ready(namespace, "worker")
    (seen,) = _ask(namespace, "worker", "/gpus")
    own = next(gpu for gpu in gpus if gpu.uuid == seen["uuid"])

    holder = _ask(namespace, "worker", f"/charge?bytes={10 * GIB}")
    refused = _ask(namespace, "worker", f"/charge?bytes={10 * GIB}")

    assert (holder["error"], refused["error"]) == (0, 1)
    assert own.charges == [10 * GIB]
    assert _ask(namespace, "worker", "/gpus")[0]["used"] == 10 * GIB
    run_python(namespace, "worker", f"import os; os.kill({holder['pid']}, 9)")
    deadline = time.monotonic() + 5
    while own.used and time.monotonic() < deadline:
        time.sleep(0.05)
    assert own.used == 0
