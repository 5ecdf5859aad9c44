"""Lost workers: a failing device, an unreachable node. Invalid specs and lost managedFields."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import pytest

from tests.fake_engine import order_png
from tests.operator.api import Api, Object, Refused
from tests.operator.harness import OperatorHarness, pool
from tests.operator.kubelet import Kubelet

pytestmark = pytest.mark.timeout(420)


def break_device(harness: OperatorHarness) -> None:
    """Make the device fail on pages. After three in a minute the worker reports DeviceError."""
    ip = harness.kubelet.sandbox("pages-0").ip
    order = order_png(**{"raise": "OSError:(External) CUDA error(719), unspecified launch failure"})
    for _ in range(2):
        request = urllib.request.Request(
            f"http://{ip}:8080/v1/ocr", data=order, headers={"Content-Type": "image/png"}
        )
        with suppress(OSError):  # it is refused, or its connection is lost
            urllib.request.urlopen(request, timeout=30).close()


def worker_of(harness: OperatorHarness) -> Object:
    found: Object = harness.status()["workers"][0]
    return found


def test_failing_device_replaces_the_pod_with_backoff(
    harness: OperatorHarness,
) -> None:
    harness.start()
    harness.apply(pool(replicas=1, instances={"min": 2, "max": 2}))
    times = []
    for failures in (1, 2):
        harness.until_ready(1)
        harness.until("two instances", lambda: harness.status()["instances"]["ready"] == 2)
        uid = harness.uid("pages-0")
        break_device(harness)
        harness.until(
            "the failing device is reported",
            lambda n=failures: (
                "its device does not recover" in str(harness.events("WorkerDeleted")[n - 1 :])
            ),
            90,
        )
        harness.until(
            "there is another pod", lambda uid=uid: harness.uid("pages-0") not in ("", uid), 60
        )
        harness.until("it counts", lambda n=failures: worker_of(harness).get("failures") == n)
        times.append(datetime.fromisoformat(worker_of(harness)["failedAt"]))
    # The first pod was replaced at once. The second had to wait, and so does the third.
    assert (times[1] - times[0]).total_seconds() >= 10
    harness.until_ready(1, seconds=120)
    created = datetime.fromisoformat(harness.pods()["pages-0"]["metadata"]["creationTimestamp"])
    assert (created - times[1]).total_seconds() >= 19


def test_workers_of_an_unreachable_node_are_replaced(harness: OperatorHarness) -> None:
    """The Node object stays, as when a machine hangs. Kubernetes evicts the pods and no kubelet
    confirms it. The worker is replaced on another node."""
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
        | {"tolerationSeconds": 1}
        for key in ("unreachable", "not-ready")
    ]
    harness.start()
    harness.apply(pool(replicas=1, template={"graceSeconds": 1, "tolerations": tolerations}))
    harness.until_ready(1)
    uid = harness.uid("pages-0")
    with Kubelet(harness.api, harness.folder / "other") as other:
        harness.kubelet.freeze()
        harness.until(
            "the lost node is reported",
            lambda: harness.condition("Degraded") == ("True", "NodeLost"),
            150,
        )
        assert harness.condition("Ready") == ("False", "NodeLost")
        harness.until("another pod is there", lambda: harness.uid("pages-0") not in ("", uid), 200)
        harness.until_ready(1)
        assert worker_of(harness)["node"] == other.node
        assert harness.api.get(f"/api/v1/nodes/{harness.kubelet.node}")
        # The node comes back, and its kubelet ends the pods that were deleted meanwhile.
        harness.kubelet.thaw()
        harness.until("the old worker is gone", lambda: uid not in harness.kubelet.pods)


@contextmanager
def a_lax_schema(api: Api) -> Iterator[None]:
    """Replace the CRD by one that accepts any spec, like one of an older version."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ocrpools.ocrpool.dev"
    strict = api.get(path)["spec"]
    text = json.dumps(strict)
    lax: dict[str, Any] = json.loads(text)
    schema = lax["versions"][0]["schema"]["openAPIV3Schema"]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"]["spec"] = anything
    api.merge(path, {"spec": {"versions": lax["versions"]}})
    try:
        yield
    finally:
        api.merge(path, {"spec": {"versions": json.loads(text)["versions"]}})


def test_spec_that_an_older_crd_accepted_is_reported_as_invalid(harness: OperatorHarness) -> None:
    operator = harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    uid = harness.uid("pages-0")
    path = f"{harness.path('ocrpools')}/pages"

    def queue(value: object) -> bool:
        try:
            harness.api.merge(path, {"spec": {"admission": {"queue": value}, "replicas": 3}})
        except Refused:
            return False
        return True

    assert not queue("many")
    with a_lax_schema(harness.api):
        harness.until("the lax schema is in force", lambda: queue("many"))
        harness.until(
            "the invalid spec is reported",
            lambda: harness.condition("Degraded") == ("True", "InvalidSpec"),
        )
    said = next(each for each in harness.status()["conditions"] if each["type"] == "Degraded")
    assert said["message"].startswith("spec.admission.queue: ")
    # The pool keeps what it has, also under an operator that was just started.
    operator.kill()
    operator = harness.start()
    harness.until("it has looked", lambda: operator.metric(ROUNDS) >= 3)
    assert sorted(harness.pods()) == ["pages-0"]
    assert harness.uid("pages-0") == uid
    assert operator.writes() == 0
    # Once it is valid, the spec is followed again.
    harness.until("the spec is mended", lambda: queue(64))
    harness.until_ready(3)
    harness.until("all is well", lambda: harness.condition("Degraded")[0] == "False")
    harness.namespace.kubectl("delete", "ocrp", "pages", "--wait=false")
    harness.until("nothing is left behind", harness.gone)


def test_pool_without_managed_fields_is_deleted(harness: OperatorHarness) -> None:
    """As after a restored backup. An apply alone would remove neither rows of the status nor the
    finalizer."""
    harness.start()
    harness.apply(pool())
    harness.until_ready(2)
    harness.api.merge(f"{harness.path('ocrpools')}/pages", {"metadata": {"managedFields": [{}]}})
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    harness.until_ready(1)
    assert [each["name"] for each in harness.status()["workers"]] == ["pages-0"]
    harness.namespace.kubectl("delete", "ocrp", "pages", "--wait=false")
    harness.until("nothing is left behind", harness.gone)


ROUNDS = 'ocrpool_operator_rounds_total{result="ok"}'
