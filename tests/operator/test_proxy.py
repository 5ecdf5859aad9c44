"""A pool with a proxy on a real API server: made, used while everything changes, switched off.

The proxy's pods run the real HAProxy, the workers' the real worker; kubelet, kube-proxy and DNS are
stand-ins (tests/operator/kubelet.py, proxy_pod.py).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.operator.harness import Lab, pool
from tests.operator.proxy_pod import Endpoints
from tests.proxy.load import Load

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("haproxy")]
TEMPLATE = {"graceSeconds": 10, "lameDuckSeconds": 3}
PROXY = {"buffer": "1Mi", "resources": {"requests": {"cpu": "0.05"}}}


@contextmanager
def service(lab: Lab, name: str = "pages") -> Iterator[Endpoints]:
    endpoints = Endpoints(lab.api, lab.namespace.name, name)
    try:
        yield endpoints
    finally:
        endpoints.close()


def proxies(lab: Lab) -> list[str]:
    return [
        name for name, pod in lab.pods().items() if "ocrpool.dev/proxy" in pod["metadata"]["labels"]
    ]


def target(lab: Lab) -> str:
    """The label by which the Service chooses pods."""
    [found] = [each for each in lab.items("services") if each["metadata"]["name"] == "pages"]
    return "proxy" if "ocrpool.dev/proxy" in found["spec"]["selector"] else "workers"


def budget(lab: Lab) -> int:
    """Workers that an eviction may take beside those that are not ready."""
    [found] = [b for b in lab.items("poddisruptionbudgets") if b["metadata"]["name"] == "pages"]
    return int(found["spec"]["maxUnavailable"])


def proxy_ready(lab: Lab, count: int) -> None:
    def look() -> bool:
        found = lab.status().get("proxy", {})
        settled = lab.condition("Progressing")[0] == "False"
        return settled and found == {"replicas": count, "readyReplicas": count}

    lab.until(f"{count} pods of the proxy are ready", look, 90)


def test_switched_on_used_and_switched_off_under_load(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(template=TEMPLATE))
    lab.until_ready(2)
    with service(lab) as endpoints:
        lab.until("the Service has its workers", lambda: len(endpoints.addresses) == 2)
        with Load(endpoints.pick) as load:
            load.some()
            # On: the Service goes to the proxy once that is ready, and not before.
            lab.apply(pool(template=TEMPLATE, proxy=PROXY))
            proxy_ready(lab, 2)
            assert target(lab) == "proxy"
            load.some()

            # The spec changes, and every worker with it.
            before = {name: lab.uid(name) for name in ("pages-0", "pages-1")}
            slower = {"maxMegapixels": 0.25, "timeoutSeconds": 15, "queue": 40}
            lab.apply(pool(template=TEMPLATE, proxy=PROXY, admission=slower))
            lab.until(
                "every worker is new",
                lambda: all(lab.uid(name) not in ("", uid) for name, uid in before.items()),
                150,
            )
            lab.until_ready(2)
            load.some()

            # A worker's pod is deleted by hand.
            uid = lab.uid("pages-0")
            lab.until("an eviction is allowed", lambda: budget(lab) == 1)
            lab.namespace.kubectl("delete", "pod", "pages-0", "--wait=false")
            lab.until("no further one is", lambda: budget(lab) == 0)
            lab.until("it is another one", lambda: lab.uid("pages-0") not in ("", uid))
            lab.until_ready(2)
            lab.until("the next one is", lambda: budget(lab) == 1)
            load.some()

            # The operator is killed and comes again; the proxy's settings change meanwhile.
            lab.operators[-1].kill()
            load.some()
            other = {**PROXY, "maxRequests": 100}
            lab.apply(pool(template=TEMPLATE, proxy=other, admission=slower))
            old = set(proxies(lab))
            lab.start()
            lab.until("every proxy is new", lambda: not old & set(proxies(lab)), 180)
            proxy_ready(lab, 2)
            load.some()

            # Off: the Service goes back to the workers, then the proxy is taken away.
            lab.apply(pool(template=TEMPLATE, admission=slower))
            lab.until(
                "the proxy is gone",
                lambda: not proxies(lab) and target(lab) == "workers",
                180,
            )
            load.some()
        assert load.failures == []
    names = {each["metadata"]["name"] for each in lab.items("services")}
    assert names == {"pages"}
    assert lab.items("deployments") == []
    assert [each["metadata"]["name"] for each in lab.items("poddisruptionbudgets")] == ["pages"]
    lab.until("its word is gone", lambda: "proxy" not in lab.status())


def test_a_worker_that_is_killed_whole_loses_nothing_that_can_be_sent_again(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(template=TEMPLATE, proxy=PROXY))
    lab.until_ready(2)
    proxy_ready(lab, 2)
    with service(lab) as endpoints, Load(endpoints.pick) as load:
        lab.until("the Service has its proxy", lambda: target(lab) == "proxy")
        load.some()
        load.failures.clear()
        process = lab.kubelet.sandbox("pages-0").process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        load.some(60)
        assert load.failures == []


def test_without_a_proxy_that_is_ready_the_service_goes_to_the_workers(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(template=TEMPLATE, proxy={**PROXY, "nodeSelector": {"no": "such-node"}}))
    lab.until("workers serve", lambda: lab.status().get("readyReplicas") == 2)
    lab.until("it says so", lambda: lab.condition("Ready") == ("False", "ProxyNotReady"))
    lab.until("and why", lambda: lab.condition("Degraded") == ("True", "WaitingForCapacity"))
    assert target(lab) == "workers"
    assert "proxy" in str(lab.status()["conditions"])
    lab.apply(pool(template=TEMPLATE, proxy=PROXY))
    proxy_ready(lab, 2)
    lab.until("the Service goes to the proxy", lambda: target(lab) == "proxy")
    writes = lab.operators[-1].writes
    lab.until_ready(2)
    # Quantities that the API server writes in its own way are no change. (The Event of the last
    # transition is written after the status that was waited for.)
    time.sleep(2)
    before, rounds = writes(), lab.operators[-1].metric(ROUNDS)
    lab.until("ten rounds are over", lambda: lab.operators[-1].metric(ROUNDS) >= rounds + 10, 90)
    assert writes() == before


ROUNDS = 'ocrpool_operator_rounds_total{result="ok"}'
