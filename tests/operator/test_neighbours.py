"""Several pools and several operators: none takes an object of another, and all become quiet."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest

from ocrpool.resource import names
from tests.operator.clients import read_page
from tests.operator.foreign_objects import ingress, move, uid_of
from tests.operator.harness import OperatorHarness, OperatorProcess, pool
from tests.operator.proxy_pod import Endpoints

pytestmark = pytest.mark.timeout(300)


@pytest.mark.usefixtures("haproxy")
def test_pools_with_names_like_other_pools_objects_coexist(
    harness: OperatorHarness, tmp_path: Path
) -> None:
    """The proxy of `doc` sends to the workers of `doc`, and no operator keeps writing."""
    operator = harness.start("--network-policy", ingress(tmp_path))
    small = {"requests": {"cpu": "0.05"}}
    harness.apply(
        pool("doc", replicas=1, proxy={"replicas": 1, "buffer": "1Mi", "resources": small})
    )
    harness.apply(pool("doc-proxy", replicas=1))
    harness.apply(pool("doc-pods", replicas=1))
    for name in ("doc", "doc-proxy", "doc-pods"):
        harness.until_ready(1, name)
        assert harness.condition("Degraded", name)[1] not in ("NameTaken", "ForeignPod")
    own = names.pods_service("doc", uid_of(harness, "doc"))
    endpoints = Endpoints(harness.api, harness.namespace.name, own)
    try:
        ours = [harness.pods()["doc-0"]["status"]["podIP"]]
        harness.until("the proxy has its worker", lambda: endpoints.addresses == ours)
    finally:
        endpoints.close()
    [proxy] = [
        pod
        for name, pod in harness.pods().items()
        if name.startswith("doc-proxy-") and names.LABEL_PROXY in pod["metadata"]["labels"]
    ]
    for _ in range(12):
        assert read_page(proxy["status"]["podIP"]) == "hello"
    answers = {name: _answered(harness, f"{name}-0") for name in ("doc", "doc-proxy", "doc-pods")}
    assert answers == {"doc": 12, "doc-proxy": 0, "doc-pods": 0}
    operator.settle()


def _answered(harness: OperatorHarness, pod: str) -> int:
    url = f"http://{harness.pods()[pod]['status']['podIP']}:8081/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        lines = response.read().decode().splitlines()
    return int(sum(float(row.rpartition(" ")[2]) for row in lines if row.startswith(PAGES)))


PAGES = "ocrpool_instance_pages_total"


def quiet(operators: list[OperatorProcess]) -> None:
    """Check that none of them writes."""
    for operator in operators:
        operator.settle()
    before = [operator.writes() for operator in operators]
    time.sleep(5)
    grown = [each.writes() - was for each, was in zip(operators, before, strict=True)]
    # Operators that fight write more than four times a second. A few writes are allowed, because
    # the measured memory of this machine may change.
    assert max(grown) <= 8, grown


def test_pool_belongs_to_one_operator_and_can_move(harness: OperatorHarness) -> None:
    """Two installations, each with its own image and Lease."""
    lease = ("--lease", harness.namespace.name)
    first = harness.start(*lease, "--worker-image", "first:1")
    second = harness.start(*lease, "--worker-image", "second:1", "--operator-name", "second")
    harness.apply(pool("one", replicas=1))
    harness.apply(pool("two", replicas=1, operatorName="second"))
    harness.apply(pool("three", replicas=1, operatorName="gone"))
    harness.until_ready(1, "one")
    harness.until_ready(1, "two")

    def image(name: str) -> str:
        found = harness.pods().get(f"{name}-0")
        return str(found["spec"]["containers"][0]["image"]) if found else ""

    assert (image("one"), image("two")) == ("first:1", "second:1")
    quiet([first, second])
    three = harness.api.get(f"{harness.path('ocrpools')}/three")
    assert "status" not in three
    assert "finalizers" not in three["metadata"]
    pools = [each["involvedObject"]["name"] for each in harness.items("events")]
    assert "three" not in pools
    assert not first.metric(
        f'ocrpool_pool_workers{{namespace="{harness.namespace.name}",pool="two",state="ready"}}'
    )

    # Operators with the same name share a Lease, and one is a standby.
    third = harness.start(*lease, "--worker-image", "third:1")
    harness.until("it answers", lambda: third.metric("ocrpool_operator_leading") == 0)
    assert (
        first.metric("ocrpool_operator_leading") == second.metric("ocrpool_operator_leading") == 1
    )
    quiet([first, second, third])

    # The operator of `two` is removed. The pool moves as a whole, and can be deleted.
    secret = harness.api.get(f"{harness.path('secrets')}/two-control")
    second.kill()
    move(harness, "two")
    harness.until("its worker is of the other's image", lambda: image("two") == "first:1", 90)
    harness.until_ready(1, "two")
    assert harness.api.get(f"{harness.path('secrets')}/two-control") == secret
    harness.namespace.kubectl("delete", "ocrp", "two", "--timeout=60s", timeout_s=90)
