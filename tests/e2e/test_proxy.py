"""With a proxy (HAProxy), changes of workers fail no request of a client.

The tests check every request of a steady load. Clients keep their connections, which therefore live
longer than the worker behind them. The fake engine takes 0.4 s for a page.
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


def test_a_changed_spec_is_rolled_out_without_a_failed_request(pool: LivePool) -> None:
    before = pool.uids
    with pool.load(keep_alive=True) as load:
        pool.patch(admission={"queue": 65})
        pool.until_ready(2)

    assert not before & pool.uids
    assert not load.failures


def test_a_restart_of_the_operator_fails_no_request(
    installation: Installation, pool: LivePool
) -> None:
    before = pool.uids
    with pool.load(keep_alive=True) as load:
        installation.restart()

    assert pool.uids == before
    assert not load.failures


def test_a_deleted_worker_pod_fails_no_request(pool: LivePool) -> None:
    """As with `kubectl drain` and evictions, the operator learns of it afterwards."""
    before = pool.uids
    with pool.load(keep_alive=True) as load:
        time.sleep(2)
        pool.namespace.kubectl("delete", "pod", f"{pool.name}-0")
        pool.until_ready(2)

    assert len(before & pool.uids) == 1
    assert not load.failures


def test_a_rollout_of_the_proxy_fails_no_request(pool: LivePool) -> None:
    with pool.load(keep_alive=True) as load:
        pool.namespace.kubectl("rollout", "restart", f"deployment/{pool.name}-proxy")
        _await_proxy(pool)

    assert not load.failures


def test_a_killed_worker_fails_only_requests_that_cannot_be_sent_again(pool: LivePool) -> None:
    """Its open requests may fail with WorkerLost; requests that are safe to repeat are sent
    again."""
    with pool.load(keep_alive=True) as load:
        time.sleep(2)
        victim = pool.pods[f"{pool.name}-0"]
        killed_at = load.seconds
        assert kill_processes_of(victim["metadata"]["uid"]) >= 3
        pool.until(
            "the loss of the worker is noticed", lambda body: body["status"]["readyReplicas"] == 1
        )
        pool.until_ready(2)

    for each in load.failures:
        assert each.began <= killed_at <= each.ended, each
        assert "WorkerLost" in each.error


def test_a_drained_node_fails_no_request(second_node: str, pool: LivePool) -> None:
    """The whole pool runs on one node, then `kubectl drain` evicts its pods."""
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
