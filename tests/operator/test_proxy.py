"""A pool with a proxy on a real API server: switched on, changed under load, switched off.

HAProxy and the workers are real. kubelet, kube-proxy and DNS are fakes (tests/operator/kubelet.py,
proxy_pod.py).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.operator.harness import OperatorHarness, pool
from tests.operator.proxy_pod import Endpoints
from tests.proxy.load import page_load

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("haproxy")]
TEMPLATE = {"graceSeconds": 10, "lameDuckSeconds": 3}
PROXY = {"buffer": "1Mi", "resources": {"requests": {"cpu": "0.05"}}}


@contextmanager
def service(harness: OperatorHarness, name: str = "pages") -> Iterator[Endpoints]:
    endpoints = Endpoints(harness.api, harness.namespace.name, name)
    try:
        yield endpoints
    finally:
        endpoints.close()


def proxies(harness: OperatorHarness) -> list[str]:
    return [
        name
        for name, pod in harness.pods().items()
        if "ocrpool.dev/proxy" in pod["metadata"]["labels"]
    ]


def target(harness: OperatorHarness) -> str:
    """The label by which the Service selects pods."""
    [found] = [each for each in harness.items("services") if each["metadata"]["name"] == "pages"]
    return "proxy" if "ocrpool.dev/proxy" in found["spec"]["selector"] else "workers"


def budget(harness: OperatorHarness) -> int:
    """How many ready workers may be evicted."""
    [found] = [b for b in harness.items("poddisruptionbudgets") if b["metadata"]["name"] == "pages"]
    return int(found["spec"]["maxUnavailable"])


def proxy_ready(harness: OperatorHarness, count: int) -> None:
    def look() -> bool:
        found = harness.status().get("proxy", {})
        settled = harness.condition("Progressing")[0] == "False"
        return settled and found == {"replicas": count, "readyReplicas": count}

    harness.until(f"{count} pods of the proxy are ready", look, 90)


def test_proxy_is_switched_on_and_off_under_load(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(template=TEMPLATE))
    harness.until_ready(2)
    with service(harness) as endpoints:
        harness.until("the Service has its workers", lambda: len(endpoints.addresses) == 2)
        with page_load(endpoints.pick) as load:
            load.wait_answered()
            # Switched on: the Service selects the proxy once it is ready, and not before.
            harness.apply(pool(template=TEMPLATE, proxy=PROXY))
            proxy_ready(harness, 2)
            assert target(harness) == "proxy"
            load.wait_answered()

            # The spec changes, and every worker is replaced.
            before = {name: harness.uid(name) for name in ("pages-0", "pages-1")}
            slower = {"maxMegapixels": 0.25, "timeoutSeconds": 15, "queue": 40}
            harness.apply(pool(template=TEMPLATE, proxy=PROXY, admission=slower))
            harness.until(
                "every worker is new",
                lambda: all(harness.uid(name) not in ("", uid) for name, uid in before.items()),
                150,
            )
            harness.until_ready(2)
            load.wait_answered()

            # A worker's pod is deleted by hand.
            uid = harness.uid("pages-0")
            harness.until("an eviction is allowed", lambda: budget(harness) == 1)
            harness.namespace.kubectl("delete", "pod", "pages-0", "--wait=false")
            harness.until("no further one is", lambda: budget(harness) == 0)
            harness.until("it is another one", lambda: harness.uid("pages-0") not in ("", uid))
            harness.until_ready(2)
            harness.until("the next one is", lambda: budget(harness) == 1)
            load.wait_answered()

            # The operator is killed and started again; the proxy's settings change meanwhile.
            harness.operators[-1].kill()
            load.wait_answered()
            other = {**PROXY, "maxRequests": 100}
            harness.apply(pool(template=TEMPLATE, proxy=other, admission=slower))
            old = set(proxies(harness))
            harness.start()
            harness.until("every proxy is new", lambda: not old & set(proxies(harness)), 180)
            proxy_ready(harness, 2)
            load.wait_answered()

            # Switched off: the Service selects the workers again, then the proxy is deleted.
            harness.apply(pool(template=TEMPLATE, admission=slower))
            harness.until(
                "the proxy is gone",
                lambda: not proxies(harness) and target(harness) == "workers",
                180,
            )
            load.wait_answered()
        assert load.failures == []
    names = {each["metadata"]["name"] for each in harness.items("services")}
    assert names == {"pages"}
    assert harness.items("deployments") == []
    assert [each["metadata"]["name"] for each in harness.items("poddisruptionbudgets")] == ["pages"]
    harness.until("its word is gone", lambda: "proxy" not in harness.status())


def test_killed_worker_loses_no_request_that_can_be_sent_again(
    harness: OperatorHarness,
) -> None:
    harness.start()
    harness.apply(pool(template=TEMPLATE, proxy=PROXY))
    harness.until_ready(2)
    proxy_ready(harness, 2)
    with service(harness) as endpoints, page_load(endpoints.pick) as load:
        harness.until("the Service has its proxy", lambda: target(harness) == "proxy")
        load.wait_answered()
        load.records.clear()
        process = harness.kubelet.sandbox("pages-0").process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        load.wait_answered(60)
        assert load.failures == []


def test_service_selects_workers_while_no_proxy_is_ready(
    harness: OperatorHarness,
) -> None:
    harness.start()
    harness.apply(pool(template=TEMPLATE, proxy={**PROXY, "nodeSelector": {"no": "such-node"}}))
    harness.until("workers serve", lambda: harness.status().get("readyReplicas") == 2)
    harness.until(
        "it is reported", lambda: harness.condition("Ready") == ("False", "ProxyNotReady")
    )
    harness.until(
        "and why", lambda: harness.condition("Degraded") == ("True", "WaitingForCapacity")
    )
    assert target(harness) == "workers"
    assert "proxy" in str(harness.status()["conditions"])
    harness.apply(pool(template=TEMPLATE, proxy=PROXY))
    proxy_ready(harness, 2)
    harness.until("the Service goes to the proxy", lambda: target(harness) == "proxy")
    writes = harness.operators[-1].writes
    harness.until_ready(2)
    # Quantities that the API server rewrites are no change. (The Event of the last transition is
    # posted after the status for which the test waited.)
    time.sleep(2)
    before, rounds = writes(), harness.operators[-1].metric(ROUNDS)
    harness.until(
        "ten rounds are over", lambda: harness.operators[-1].metric(ROUNDS) >= rounds + 10, 90
    )
    assert writes() == before


ROUNDS = 'ocrpool_operator_rounds_total{result="ok"}'
