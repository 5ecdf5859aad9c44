"""Instances follow the headroom of their GPU, on a real API server with real workers.

Fakes: kubelet, the GPU driver below pynvml, and Paddle below PaddleOCR (tests/operator/image.py).
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fake_engine import order_png
from tests.operator.api import Object
from tests.operator.harness import OperatorHarness, gpu_pool, pool
from tools.devcluster.fakegpu.device import FakeGpu

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("models")]
MIB, GIB = 2**20, 2**30
GPU_IS_LOST = 15  # NVML_ERROR_GPU_IS_LOST
# The ten quiet minutes: OCRPOOL_QUIET_SECONDS=600, at the operator's usual interval.
QUIET_SECONDS = float(os.environ.get("OCRPOOL_QUIET_SECONDS", "20"))


def instances(harness: OperatorHarness) -> tuple[int, int]:
    """Target and ready of all workers, from the status."""
    found = harness.status().get("instances", {})
    return found.get("target", 0), found.get("ready", 0)


def until_instances(harness: OperatorHarness, count: int, seconds: float = 90) -> None:
    harness.until(f"{count} instances", lambda: instances(harness) == (count, count), seconds)


def decision(harness: OperatorHarness) -> str:
    return str(harness.status()["workers"][0].get("decision", ""))


def read_page(harness: OperatorHarness) -> int:
    """Send one page to the first worker, and return the HTTP status."""
    request = urllib.request.Request(
        f"http://{harness.kubelet.sandbox('pages-0').ip}:8080/v1/ocr",
        data=order_png(say="x"),
        headers={"Content-Type": "image/png"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.loads(response.read())["pages"][0]["lines"]
        return int(response.status)


@contextmanager
def load(harness: OperatorHarness) -> Iterator[list[int]]:
    """A client that sends one page after another. It raises its first error at the end."""
    stop, statuses, errors = threading.Event(), list[int](), list[Exception]()

    def client() -> None:
        while not stop.is_set():
            try:
                statuses.append(read_page(harness))
            except Exception as error:
                errors.append(error)
            stop.wait(0.05)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()
    assert not errors


def test_instances_follow_gpu_memory_with_and_without_an_operator(harness: OperatorHarness) -> None:
    operator = harness.start()
    harness.apply(gpu_pool())
    until_instances(harness, 3)
    harness.until(
        "it holds", lambda: decision(harness).startswith("3: hold, headroom 720Mi (1.7Gi free")
    )
    assert "784Mi footprint" in decision(harness)
    grown = harness.events("Grow")
    assert [each.partition(": headroom")[0] for each in grown] == [
        "pages-0: 1 → 2",
        "pages-0: 2 → 3",
    ]
    worker = harness.status()["workers"][0]
    gpu = harness.kubelet.gpu("pages-0")
    assert worker["device"] == {"name": "Fake GPU", "uuid": gpu.uuid}
    assert worker["footprint"] == 784 * MIB
    assert len(gpu.charges) == 3

    # Another process on the GPU grows: fewer instances, and no request is lost.
    with load(harness) as statuses:
        gpu.set_used(450 * MIB)
        held = operator.metric(held_metric())
        harness.until("it was looked at", lambda: operator.metric(held_metric()) >= held + 2)
        gpu.set_used(900 * MIB)
        until_instances(harness, 2)
        answered = len(statuses)
        harness.until("pages are read on", lambda: len(statuses) > answered)
    assert [each.partition(": left")[0] for each in harness.events("Shrink")] == ["pages-0: 3 → 2"]

    # Without an operator the worker keeps serving with its last target.
    operator.kill()
    assert read_page(harness) == 200
    pids = pids_of(harness)
    operator = harness.start()
    harness.until("it has looked", lambda: operator.metric(held_metric()) >= 3)
    assert pids_of(harness) == pids
    assert instances(harness) == (2, 2)
    assert len(harness.events("Shrink", "Grow")) == 3

    # The other process ends: the worker grows again.
    gpu.set_used(0)
    until_instances(harness, 3)
    assert harness.uid("pages-0")
    operator.stop()


def held_metric() -> str:
    return 'ocrpool_operator_decisions_total{reason="Hold"}'


def pids_of(harness: OperatorHarness) -> list[int]:
    """The pids of the first worker's instances, from its state."""
    sandbox = harness.kubelet.sandbox("pages-0")
    token = (sandbox.folder / "token").read_text(encoding="utf-8")
    request = urllib.request.Request(
        f"http://{sandbox.ip}:8081/v1/state", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        state: Object = json.loads(response.read())
    return [each["pid"] for each in state["instances"]["each"]]


def test_worker_that_restarts_in_its_pod_gets_its_instances_back(
    harness: OperatorHarness,
) -> None:
    harness.start()
    harness.apply(gpu_pool(instances={"min": 2, "max": 2}))
    until_instances(harness, 2)
    uid = harness.uid("pages-0")
    process = harness.kubelet.sandbox("pages-0").process
    assert process is not None
    process.kill()
    harness.until(
        "kubelet started it again", lambda: harness.kubelet.sandbox("pages-0").restarts == 1
    )
    harness.until("two Limits more", lambda: len(harness.events("Limits")) == 2, 90)
    until_instances(harness, 2)
    assert harness.uid("pages-0") == uid
    assert harness.events("Limits")[1].startswith("pages-0: 1 → 2: instances.min is 2")
    assert harness.status()["workers"][0]["failures"] == 0


def test_edit_of_the_instance_range_replaces_no_pod(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(gpu_pool(instances={"min": 1, "max": 1}))
    harness.until_ready(1)
    uid = harness.uid("pages-0")
    harness.apply(gpu_pool(instances={"min": 1, "max": 2}))
    until_instances(harness, 2)
    harness.apply(gpu_pool(instances={"min": 1, "max": 1}))
    until_instances(harness, 1)
    assert harness.uid("pages-0") == uid
    assert harness.events("Limits")[-1] == "pages-0: 2 → 1: instances.max is 1"


def test_insufficient_memory_degrades_the_pool(harness: OperatorHarness) -> None:
    """A minimum of two instances where one fits, and a reserve that is larger than the device."""
    harness.start()
    harness.kubelet.devices.shrink(int(1.2 * GIB))
    harness.apply(gpu_pool(instances={"min": 2, "max": 2}, memory={"reserve": "128Mi"}))
    harness.until(
        "the insufficient memory is reported",
        lambda: harness.condition("Degraded") == ("True", "InsufficientMemory"),
    )
    harness.until("it serves", lambda: harness.condition("Ready") == ("True", "AllWorkersReady"))
    assert "instances.min is 2" in harness.status()["workers"][0]["problem"]
    harness.apply(gpu_pool(memory={"reserve": "8Gi"}))
    harness.until(
        "the too large reserve is reported",
        lambda: (
            harness.condition("Degraded") == ("True", "InsufficientMemory")
            and "reserve" in harness.status()["workers"][0]["problem"]
        ),
    )
    harness.apply(gpu_pool(memory={"reserve": "128Mi"}))
    harness.until_ready(1)
    harness.until("all is well", lambda: harness.condition("Degraded")[0] == "False")


def test_lost_device_is_reported_and_recovers(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(gpu_pool(instances={"min": 1, "max": 2}))
    until_instances(harness, 2)
    uid = harness.uid("pages-0")
    gpu = harness.kubelet.gpu("pages-0")
    gpu.set_fault(GPU_IS_LOST)
    harness.until(
        "the lost device is reported",
        lambda: harness.condition("Degraded") == ("True", "DeviceLost"),
    )
    harness.until("and not ready", lambda: harness.condition("Ready") == ("False", "DeviceLost"))
    assert gpu.uuid in harness.status()["workers"][0]["problem"]
    gpu.set_fault(0)
    harness.until_ready(1)
    harness.until("all is well", lambda: harness.condition("Degraded")[0] == "False")
    assert harness.uid("pages-0") == uid


def test_instances_on_a_cpu_follow_its_ram(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=1, instances={"min": 1, "max": 3}, memory={"reserve": "2Gi"}))
    until_instances(harness, 3)
    harness.until("it holds", lambda: decision(harness) == "3: hold, instances.max is 3")


@contextmanager
def jitter(gpu: FakeGpu, most: int) -> Iterator[None]:
    """Another process whose memory goes up and down all the time."""
    stop = threading.Event()
    throw = random.Random(7)

    def turn() -> None:
        while not stop.is_set():
            gpu.set_used(throw.randrange(most))
            stop.wait(0.05)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.timeout(QUIET_SECONDS + 300)
def test_jitter_of_measurements_writes_nothing(
    harness: OperatorHarness,
) -> None:
    operator = harness.start("--interval", "0.1" if QUIET_SECONDS < 60 else "5")
    harness.apply(gpu_pool())
    until_instances(harness, 3)
    with jitter(harness.kubelet.gpu("pages-0"), 200 * MIB):
        time.sleep(5)
        writes, decisions = operator.writes(), operator.metric(held_metric())
        time.sleep(QUIET_SECONDS)
        assert operator.writes() == writes
        # The operator did observe the worker meanwhile, and decided to hold.
        assert operator.metric(held_metric()) - decisions > 8
    assert harness.condition("Degraded")[0] == "False"


def test_metrics_of_a_pool(harness: OperatorHarness) -> None:
    operator = harness.start()
    harness.apply(gpu_pool(instances={"min": 1, "max": 2}))
    until_instances(harness, 2)
    where = f'namespace="{harness.namespace.name}",pool="pages"'
    harness.until(
        "the target is in the metrics",
        lambda: operator.metric(f'ocrpool_pool_instances{{{where},state="target"}}') == 2,
    )
    assert operator.metric(f'ocrpool_pool_condition{{{where},type="Ready"}}') == 1
    assert operator.metric('ocrpool_operator_decisions_total{reason="Grow"}') == 1
    harness.namespace.kubectl("delete", "ocrp", "pages")
    harness.until("nothing is left behind", harness.gone)
    url = f"http://127.0.0.1:{operator.port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        assert 'pool="pages"' not in response.read().decode()
