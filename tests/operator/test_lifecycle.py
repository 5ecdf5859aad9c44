"""A pool on a real API server: applied, edited, scaled, changed by hand, deleted.

Every pod has a real worker process. kubelet is a fake (tests/operator/kubelet.py).
"""

from __future__ import annotations

import pytest

from tests.operator.api import Object
from tests.operator.clients import read_page
from tests.operator.harness import OperatorHarness, pool, watching

pytestmark = pytest.mark.timeout(300)


def ready_names(pods: dict[str, Object]) -> list[str]:
    return [
        name
        for name, pod in pods.items()
        if "deletionTimestamp" not in pod["metadata"]
        and pod["metadata"]["labels"]["ocrpool.dev/serving"] == "true"
        and any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in pod["status"].get("conditions", ())
        )
    ]


def test_pool_life_cycle_from_apply_to_delete(harness: OperatorHarness) -> None:
    operator = harness.start()
    harness.apply(pool())
    harness.until_ready(2)

    pods = harness.pods()
    assert sorted(pods) == ["pages-0", "pages-1"]
    assert harness.pools()[0]["metadata"]["finalizers"] == ["ocrpool.dev/drain"]
    assert read_page(pods["pages-0"]["status"]["podIP"]) == "hello"
    assert harness.items("services")[0]["metadata"]["name"] == "pages"
    status = harness.status()
    assert status["instances"] == {"target": 2, "ready": 2}
    assert [each["phase"] for each in status["workers"]] == ["Ready", "Ready"]
    assert all(each["node"] == harness.kubelet.node for each in status["workers"])
    table = harness.namespace.kubectl("get", "ocrp").splitlines()
    assert table[1].split()[:5] == ["pages", "True", "2", "2", "2"]

    # Edited: every pod is replaced, one at a time.
    before = {name: pod["metadata"]["uid"] for name, pod in pods.items()}

    def one_serves(pods: dict[str, Object]) -> None:
        assert ready_names(pods), "no worker serves while the pool rolls"

    with watching(harness, one_serves):
        harness.apply(pool(admission={"maxMegapixels": 0.25, "queue": 7}))
        harness.until(
            "every pod is new",
            lambda: all(harness.uid(name) not in ("", uid) for name, uid in before.items()),
            120,
        )
    harness.until_ready(2)
    assert "queue: 7" in harness.items("configmaps")[1]["data"]["settings.yaml"]

    # Scaled, up and down, by kubectl.
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=3")
    harness.until_ready(3)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    harness.until_ready(1)
    assert sorted(harness.pods()) == ["pages-0"]

    # More instances need no new pods: no pod is replaced.
    uid = harness.uid("pages-0")
    harness.apply(
        pool(
            replicas=1,
            admission={"maxMegapixels": 0.25, "queue": 7},
            instances={"min": 2, "max": 2},
        )
    )
    harness.until(
        "two instances", lambda: harness.status()["instances"] == {"target": 2, "ready": 2}
    )
    assert harness.uid("pages-0") == uid

    # A pod that is deleted by hand is replaced. A deleted pool leaves nothing.
    harness.namespace.kubectl("delete", "pod", "pages-0", "--wait=false")
    harness.until("the pod is another one", lambda: harness.uid("pages-0") not in ("", uid))
    harness.until_ready(1)
    harness.namespace.kubectl("delete", "ocrp", "pages")
    harness.until("nothing is left behind", harness.gone)
    events = harness.items("events")
    assert any("the pool is being deleted" in each["message"] for each in events)
    reasons = {each["reason"] for each in events}
    assert {"WorkerCreated", "WorkerDraining", "WorkerDeleted", "AllWorkersReady"} <= reasons
    operator.stop()
