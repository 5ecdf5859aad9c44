"""A pool of two workers under a steady load through the Service, while it changes or loses workers.

The tests check every request. The fake engine takes a tenth of a second for a page.
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
from tools.devcluster.testing import handle

pytestmark = [
    pytest.mark.timeout(300, func_only=True),
    pytest.mark.skipif(handle.existing() is not None, reason="of our own node only"),
]
# Until kubelet has noticed the end of a worker, and kube-proxy no longer sends to it.
UNSEEN_SECONDS = 15.0


@pytest.fixture(scope="module")
def pool(restricted_namespaces: RestrictedNamespaces) -> Iterator[LivePool]:
    with restricted_namespaces() as restricted_namespace:
        live = pools.apply(restricted_namespace, pools.fake_engine_pool(replicas=2))
        live.until_ready(2)
        yield live


def test_a_changed_spec_is_rolled_out_without_a_failed_request(pool: LivePool) -> None:
    before = pool.uids
    with pool.load() as load:
        pool.patch(admission={"queue": 65})
        pool.until_ready(2)

    assert not before & pool.uids
    assert len(load.records) > load.seconds
    assert not load.failures


def test_the_number_of_workers_follows_without_a_failed_request(pool: LivePool) -> None:
    with pool.load() as load:
        pool.namespace.kubectl("scale", f"ocrpool/{pool.name}", "--replicas=3")
        pool.until_ready(3)
        pool.namespace.kubectl("scale", f"ocrpool/{pool.name}", "--replicas=2")
        pool.until_ready(2)

    assert not load.failures


def test_a_restart_of_the_operator_fails_no_request(
    installation: Installation, pool: LivePool
) -> None:
    before = pool.uids
    with pool.load() as load:
        installation.restart()
        # The new operator works: it applies an edit.
        pool.patch(instances={"min": 2, "max": 2})
        pool.until("two instances each", lambda body: body["status"]["instances"]["ready"] == 4)
        pool.patch(instances={"min": 1, "max": 2})

    assert pool.uids == before
    assert not load.failures


def test_a_killed_worker_fails_only_its_own_requests(pool: LivePool) -> None:
    """Requests that the Service sends to it before kubelet notices its end fail, too."""
    with pool.load() as load:
        time.sleep(2)
        victim = pool.pods[f"{pool.name}-0"]
        killed_at = load.seconds
        assert kill_processes_of(victim["metadata"]["uid"]) >= 2
        pool.until(
            "the loss of the worker is noticed", lambda body: body["status"]["readyReplicas"] == 1
        )
        pool.until_ready(2)

    for each in load.failures:
        assert each.ended >= killed_at
        assert each.began <= killed_at + UNSEEN_SECONDS
        assert each.status == 0  # the connection was lost or refused: no partial answer and no 500
    assert len(load.failures) < len(load.records) / 2
