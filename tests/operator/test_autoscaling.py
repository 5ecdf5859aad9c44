"""Worker autoscaling on a real API server. An HPA that owns `replicas` cannot make workers flap.

Every pod has a real worker process. kubelet and kube-proxy are fakes.
"""

from __future__ import annotations

import time

import pytest
import yaml

from tests.operator.api import Refused
from tests.operator.clients import Clients
from tests.operator.harness import OperatorHarness, pool
from tests.operator.kubelet import ROOT

pytestmark = pytest.mark.timeout(300)
SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"
KARPENTER = "karpenter.sh/do-not-disrupt"


def autoscaled(**more: object) -> dict[str, object]:
    scaling = {
        "minReplicas": 1,
        "maxReplicas": 4,
        "targetQueueSeconds": 0.5,
        "scaleUpStabilizationSeconds": 2,
        "scaleDownStabilizationSeconds": 4,
    }
    return pool(
        replicas=None,
        autoscaling={**scaling, **more},
        instances={"min": 1, "max": 1},
        disruption={"restSeconds": 2},
    )


def notes(harness: OperatorHarness) -> dict[str, tuple[str, str]]:
    """The annotations of each pod for cluster-autoscaler and Karpenter."""
    found = {}
    for name, pod in harness.pods().items():
        said = pod["metadata"].get("annotations", {})
        found[name] = (said.get(SAFE, ""), said.get(KARPENTER, ""))
    return found


MAY_GO, STAYS = ("true", "false"), ("false", "true")


def test_workers_are_added_under_load_and_removed_after_it(harness: OperatorHarness) -> None:
    operator = harness.start()
    harness.apply(autoscaled())
    harness.until_ready(1)
    assert harness.status()["desiredReplicas"] == 1
    harness.until("the idle worker's node may go", lambda: notes(harness) == {"pages-0": MAY_GO})

    # 15 pages of 0.1 s per second keep 1.5 instances busy. Each worker has one.
    with Clients(harness, rate=15, seconds=0.1) as clients:
        harness.until("more workers are wanted", lambda: harness.status()["desiredReplicas"] >= 3)
        harness.until(
            "busy workers keep their nodes", lambda: set(notes(harness).values()) == {STAYS}
        )
        harness.until("they serve", lambda: harness.status()["readyReplicas"] >= 3)
        harness.until("nothing waits", lambda: harness.queues_below(0.5), 60)
        decision = harness.status()["autoscaling"]["decision"]
        grown = harness.status()["desiredReplicas"]
        assert f"→ {grown}: load " in decision, decision
        writes = operator.writes()
        time.sleep(5)
        # The measurements change all the time, but an unchanged pool gets almost no writes.
        assert operator.writes() - writes <= 2
    harness.until("one is wanted", lambda: harness.status()["desiredReplicas"] == 1)
    harness.until("one is left", lambda: len(harness.pods()) == 1)
    assert set(clients.answers) == {"200"}, clients.answers
    harness.until("it may go", lambda: set(notes(harness).values()) == {MAY_GO})
    reasons = {each["reason"] for each in harness.items("events")}
    assert {"ScaledUp", "ScaledDown"} <= reasons
    operator.stop()


def test_desired_replicas_survive_an_operator_restart(harness: OperatorHarness) -> None:
    operator = harness.start()
    harness.apply(autoscaled(scaleDownStabilizationSeconds=3600, maxReplicas=2))
    harness.until_ready(1)
    with Clients(harness, rate=12, seconds=0.1):
        harness.until("two serve", lambda: harness.status()["readyReplicas"] == 2)
    uids = {name: pod["metadata"]["uid"] for name, pod in harness.pods().items()}
    operator.kill()
    again = harness.start()
    harness.until(
        "it has looked", lambda: again.metric('ocrpool_operator_rounds_total{result="ok"}') > 5
    )

    assert harness.status()["desiredReplicas"] == 2
    assert {name: pod["metadata"]["uid"] for name, pod in harness.pods().items()} == uids


def test_draining_under_load_loses_no_request(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=3, scaleDownStabilizationSeconds=0, instances={"min": 2, "max": 2}))
    harness.until_ready(3)
    with Clients(harness, rate=20, seconds=0.1) as clients:
        for count in (1, 3, 1):
            harness.namespace.kubectl("scale", "ocrp/pages", f"--replicas={count}")
            harness.until_ready(count)
            assert len(harness.pods()) == count
    assert set(clients.answers) == {"200"}, clients.answers


def test_flapping_hpa_does_not_make_the_pool_flap(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=2, scaleDownStabilizationSeconds=6))
    harness.until_ready(2)
    uids = {pod["metadata"]["uid"] for pod in harness.pods().values()}
    scale = f"{harness.path('ocrpools')}/pages/scale"
    for _ in range(8):
        for count in (1, 2):
            # In the way that an HPA writes it.
            harness.api.merge(scale, {"spec": {"replicas": count}})
            time.sleep(0.5)
    assert harness.api.get(scale)["status"]["replicas"] == 2
    assert {pod["metadata"]["uid"] for pod in harness.pods().values()} == uids
    assert not [each for each in harness.items("events") if each["reason"] == "WorkerDraining"]

    # A lower number for longer than the window is followed.
    harness.api.merge(scale, {"spec": {"replicas": 1}})
    harness.until_ready(1)


def test_replicas_and_autoscaling_exclude_each_other(harness: OperatorHarness) -> None:
    harness.apply(autoscaled())
    with pytest.raises(AssertionError, match="replicas and autoscaling exclude each other"):
        harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=3")
    with pytest.raises(Refused, match="exclude each other"):
        harness.api.merge(f"{harness.path('ocrpools')}/pages/scale", {"spec": {"replicas": 3}})
    # An HPA cannot read the number, and reports FailedGetScale.
    with pytest.raises(Refused, match="does not exist"):
        harness.api.get(f"{harness.path('ocrpools')}/pages/scale")


def test_exhausted_quota_keeps_existing_workers_without_hot_loop(
    harness: OperatorHarness,
) -> None:
    operator = harness.start()
    harness.apply(autoscaled(maxReplicas=3))
    harness.until_ready(1)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "one"},
        "spec": {"hard": {"pods": "1"}},
    }
    harness.apply(quota)
    uid = harness.uid("pages-0")
    with Clients(harness, rate=15, seconds=0.1):
        harness.until(
            "the quota is reported",
            lambda: harness.condition("Degraded") == ("True", "QuotaExceeded"),
        )
        tried = 'ocrpool_operator_api_calls_total{resource="pods",verb="create"}'
        before = operator.metric(tried)
        time.sleep(4)
        assert operator.metric(tried) - before <= 4
        assert harness.uid("pages-0") == uid
        harness.namespace.kubectl("delete", "resourcequota", "one")
        harness.until("more serve", lambda: harness.status()["readyReplicas"] >= 2)


def test_autoscaler_samples_refer_to_a_pool_they_can_scale(harness: OperatorHarness) -> None:
    folder = ROOT / "examples" / "pools"
    hpa, keda = (
        yaml.safe_load((folder / "scalers" / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("hpa", "keda")
    )
    scans = yaml.safe_load((folder / "gpu.yaml").read_text(encoding="utf-8"))
    harness.apply(hpa)
    harness.apply(scans)
    target = hpa["spec"]["scaleTargetRef"]

    # KEDA's CRDs are not installed here. Only the target of the ScaledObject is checked.
    assert keda["spec"]["scaleTargetRef"] == target
    assert (target["apiVersion"], target["kind"]) == (scans["apiVersion"], scans["kind"])
    assert target["name"] == scans["metadata"]["name"]
    scale = harness.api.get(f"{harness.path('ocrpools')}/{target['name']}/scale")
    assert scale["spec"]["replicas"] == scans["spec"]["replicas"]
