"""Through a pool's proxy (HAProxy): what is done to workers is not seen by clients.

Every request of a steady load is accounted for; clients keep their connections, which is what makes
it hard: a connection outlives the worker behind it. The engine is a stand-in, 0.4 s a page.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e import pools
from tests.e2e.conftest import RestrictedNamespaces
from tests.e2e.installs import Installation
from tests.e2e.nodes import kill_processes_of
from tests.e2e.pools import LivePool
from tools.devcluster.images import tag_of
from tools.devcluster.testing import handle

pytestmark = [
    pytest.mark.timeout(300, func_only=True),
    pytest.mark.skipif(handle.existing() is not None, reason="of our own node only"),
]
PROXY = {"replicas": 2, "image": tag_of("proxy"), "imagePullPolicy": "Never"}


@pytest.fixture(scope="module")
def pool(restricted_namespaces: RestrictedNamespaces) -> Iterator[LivePool]:
    with restricted_namespaces() as restricted_namespace:
        body = pools.fake_engine_pool(
            replicas=2,
            instances={"min": 2, "max": 2},
            engine={"name": "charging:ChargingEngine", "options": {"seconds": 0.4}},
            proxy=PROXY,
        )
        live = pools.apply(restricted_namespace, body)
        live.until_ready(2)
        _await_proxy(live)
        yield live


def _await_proxy(pool: LivePool) -> None:
    wait = ("rollout", "status", f"deployment/{pool.name}-proxy", "--timeout=100s")
    pool.namespace.kubectl(*wait, timeout_s=110)
    pool.until("the Service goes to the proxy", lambda _: "ocrpool.dev/proxy" in _selector(pool))


def _selector(pool: LivePool) -> dict[str, str]:
    found: dict[str, str] = pool.namespace.get("service", pool.name)["spec"]["selector"]
    return found


def test_a_changed_spec_is_rolled(pool: LivePool) -> None:
    before = pool.uids
    with pool.load(keep_alive=True) as load:
        pool.patch(admission={"queue": 65})
        pool.until_ready(2)

    assert not before & pool.uids
    assert not load.failures


def test_the_operator_is_restarted(installation: Installation, pool: LivePool) -> None:
    before = pool.uids
    with pool.load(keep_alive=True) as load:
        installation.restart()

    assert pool.uids == before
    assert not load.failures


def test_a_worker_pod_is_deleted(pool: LivePool) -> None:
    """As `kubectl drain` and the eviction API do it: the operator hears of it afterwards."""
    before = pool.uids
    with pool.load(keep_alive=True) as load:
        time.sleep(2)
        pool.namespace.kubectl("delete", "pod", f"{pool.name}-0")
        pool.until_ready(2)

    assert len(before & pool.uids) == 1
    assert not load.failures


def test_the_proxy_itself_is_rolled(pool: LivePool) -> None:
    with pool.load(keep_alive=True) as load:
        pool.namespace.kubectl("rollout", "restart", f"deployment/{pool.name}-proxy")
        _await_proxy(pool)

    assert not load.failures


def test_a_worker_is_killed_outright(pool: LivePool) -> None:
    """Only what it held may fail, with an error that says so; what is safe is sent again."""
    with pool.load(keep_alive=True) as load:
        time.sleep(2)
        victim = pool.pods[f"{pool.name}-0"]
        killed_at = load.seconds
        assert kill_processes_of(victim["metadata"]["uid"]) >= 3
        pool.until("its end was seen", lambda body: body["status"]["readyReplicas"] == 1)
        pool.until_ready(2)

    for each in load.failures:
        assert each.began <= killed_at <= each.ended, each
        assert "WorkerLost" in each.error


def test_a_node_is_drained(second_node: str, pool: LivePool) -> None:
    """All of the pool on one node, then `kubectl drain` of that node: eviction by eviction."""
    cluster = pool.namespace.cluster
    (first,) = (
        each["metadata"]["name"]
        for each in cluster.get("nodes")["items"]
        if each["metadata"]["name"] != second_node
    )
    cluster.kubectl("cordon", first)
    try:
        pool.patch(admission={"queue": 66})
        pool.namespace.kubectl("rollout", "restart", f"deployment/{pool.name}-proxy")
        pool.until_ready(2)
        _await_proxy(pool)
    finally:
        cluster.kubectl("uncordon", first)
    assert {each["spec"]["nodeName"] for each in pool.pods.values()} == {second_node}

    with pool.load(keep_alive=True) as load:
        drain = ("drain", second_node, "--ignore-daemonsets", "--delete-emptydir-data")
        cluster.kubectl(*drain, "--timeout=150s", timeout_s=160)
        pool.until_ready(2)
        _await_proxy(pool)

    assert {each["spec"]["nodeName"] for each in pool.pods.values()} == {first}
    assert not load.failures
