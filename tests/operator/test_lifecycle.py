"""A pool's life on a real API server: applied, edited, scaled, broken by hand, deleted.

Behind every pod is a real worker process; kubelet is a stand-in (tests/operator/kubelet.py).
"""

from __future__ import annotations

import pytest

from tests.operator.api import Object
from tests.operator.clients import read_page
from tests.operator.harness import Lab, pool, watching

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


def test_from_apply_to_delete(lab: Lab) -> None:
    operator = lab.start()
    lab.apply(pool())
    lab.until_ready(2)

    pods = lab.pods()
    assert sorted(pods) == ["pages-0", "pages-1"]
    assert lab.pools()[0]["metadata"]["finalizers"] == ["ocrpool.dev/drain"]
    assert read_page(pods["pages-0"]["status"]["podIP"]) == "hello"
    assert lab.items("services")[0]["metadata"]["name"] == "pages"
    status = lab.status()
    assert status["instances"] == {"target": 2, "ready": 2}
    assert [each["phase"] for each in status["workers"]] == ["Ready", "Ready"]
    assert all(each["node"] == lab.kubelet.node for each in status["workers"])
    table = lab.namespace.kubectl("get", "ocrp").splitlines()
    assert table[1].split()[:5] == ["pages", "True", "2", "2", "2"]

    # Edited: every pod is replaced, one at a time.
    before = {name: pod["metadata"]["uid"] for name, pod in pods.items()}

    def one_serves(pods: dict[str, Object]) -> None:
        assert ready_names(pods), "no worker serves while the pool rolls"

    with watching(lab, one_serves):
        lab.apply(pool(admission={"maxMegapixels": 0.25, "queue": 7}))
        lab.until(
            "every pod is new",
            lambda: all(lab.uid(name) not in ("", uid) for name, uid in before.items()),
            120,
        )
    lab.until_ready(2)
    assert "queue: 7" in lab.items("configmaps")[1]["data"]["settings.yaml"]

    # Scaled, up and down, by kubectl.
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=3")
    lab.until_ready(3)
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    lab.until_ready(1)
    assert sorted(lab.pods()) == ["pages-0"]

    # More instances only concern running workers: nothing is rolled.
    uid = lab.uid("pages-0")
    lab.apply(
        pool(
            replicas=1,
            admission={"maxMegapixels": 0.25, "queue": 7},
            instances={"min": 2, "max": 2},
        )
    )
    lab.until("two instances", lambda: lab.status()["instances"] == {"target": 2, "ready": 2})
    assert lab.uid("pages-0") == uid

    # Deleted by hand: replaced. Everything deleted: nothing left.
    lab.namespace.kubectl("delete", "pod", "pages-0", "--wait=false")
    lab.until("the pod is another one", lambda: lab.uid("pages-0") not in ("", uid))
    lab.until_ready(1)
    lab.namespace.kubectl("delete", "ocrp", "pages")
    lab.until("nothing is left behind", lab.gone)
    events = lab.items("events")
    assert any("the pool is being deleted" in each["message"] for each in events)
    reasons = {each["reason"] for each in events}
    assert {"WorkerCreated", "WorkerDraining", "WorkerDeleted", "AllWorkersReady"} <= reasons
    operator.stop()
