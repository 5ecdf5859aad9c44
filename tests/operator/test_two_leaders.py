"""Two operators and one real Lease: no write of one operator arrives after the other took over.

Each operator has its own connection to the API server, which records its writes. The pool has no
workers, and its Service is deleted all the time, so that the leader always has something to write.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from itertools import chain

import pytest

from ocrpool.resource.names import OPERATOR, lease_name
from ocrpool_operator.cluster.fence import ENDED_STATUS
from tests.operator.api import Api, Refused
from tests.operator.faulty import FaultyWire, Passed
from tests.operator.harness import OperatorHarness, OperatorProcess, pool

pytestmark = pytest.mark.timeout(300)
LEASE_SECONDS = 6.0
LEASES = r"^(GET|PUT|POST) .*/leases"


@pytest.fixture
def wires(api: Api, harness: OperatorHarness) -> Iterator[tuple[FaultyWire, FaultyWire]]:
    with FaultyWire(api) as one, FaultyWire(api) as two:
        yield one, two
        for operator in harness.operators:
            if operator.process.poll() is None:
                operator.process.send_signal(signal.SIGCONT)
                operator.kill()


def start(harness: OperatorHarness, wire: FaultyWire) -> OperatorProcess:
    harness.use_server(wire.url)
    operator = harness.start(
        "--lease",
        harness.namespace.name,
        module="tests.operator.leading",
        environment={"LEASE_SECONDS": str(LEASE_SECONDS)},
    )
    # It has read the address of its API server.
    harness.until("it answers", lambda: operator.metric("ocrpool_operator_leading") >= 0)
    return operator


@contextlib.contextmanager
def always_something_to_write(harness: OperatorHarness) -> Iterator[None]:
    stop = threading.Event()

    def turn() -> None:
        while not stop.wait(0.1):
            with contextlib.suppress(OSError, Refused):
                harness.api.call("DELETE", f"{harness.path('services')}/pages")

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def leads(operator: OperatorProcess) -> bool:
    return operator.metric("ocrpool_operator_leading") == 1


def seen(*wires: FaultyWire) -> list[tuple[Passed, FaultyWire]]:
    """All writes, in the order of their arrival."""
    found = chain.from_iterable([(each, wire) for each in wire.passed] for wire in wires)
    return sorted(found, key=lambda each: each[0].at)


def wrote(wire: FaultyWire) -> int:
    return sum(1 for each in wire.passed if "/leases" not in each.call)


def only_the_holder_wrote(*wires: FaultyWire) -> None:
    """Check that every write came from the operator that held the Lease last."""
    holder: FaultyWire | None = None
    for passed, wire in seen(*wires):
        if "/leases" not in passed.call:
            assert wire is holder, passed
        elif passed.status < 300:
            given = json.loads(passed.body)["spec"]["holderIdentity"]
            holder = wire if given else None


def test_slow_api_server_never_leads_to_two_writers(
    harness: OperatorHarness, wires: tuple[FaultyWire, FaultyWire]
) -> None:
    """The first operator's calls for the Lease outlast the Lease. Its writes are fast."""
    one, two = wires
    first = start(harness, one)
    harness.until("the first leads", lambda: leads(first))
    second = start(harness, two)
    harness.apply(pool(replicas=0))
    with always_something_to_write(harness):
        harness.until("the first writes", lambda: wrote(one) > 5)
        slow = one.rule(LEASES, times=10**6, delay=LEASE_SECONDS * 1.5)
        harness.until("the second takes over", lambda: leads(second), 40)
        harness.until("the second writes", lambda: wrote(two) > 5)
        slow.times = 0
        time.sleep(LEASE_SECONDS)
    assert not leads(first)
    only_the_holder_wrote(one, two)


def test_stopped_leader_writes_nothing_after_the_takeover(
    harness: OperatorHarness, wires: tuple[FaultyWire, FaultyWire]
) -> None:
    """The leader is stopped during its rounds while the other takes over. It does not continue."""
    one, two = wires
    harness.apply(pool(replicas=0))
    running = {wire.url: start(harness, wire) for wire in wires}
    with always_something_to_write(harness):
        for _ in range(2):
            harness.until("one leads", lambda: any(leads(each) for each in running.values()))
            leader, other = (one, two) if leads(running[one.url]) else (two, one)
            count = wrote(leader)
            harness.until("it writes", lambda leader=leader, count=count: wrote(leader) > count)
            process = running[leader.url].process
            process.send_signal(signal.SIGSTOP)
            harness.until("the other takes over", lambda other=other: leads(running[other.url]), 40)
            count = wrote(other)
            harness.until("it writes", lambda other=other, count=count: wrote(other) > count + 3)
            process.send_signal(signal.SIGCONT)
            time.sleep(1)
            only_the_holder_wrote(one, two)
            assert process.wait(20) == ENDED_STATUS
            running[leader.url] = start(harness, leader)
            harness.until("it stands by", lambda leader=leader: not leads(running[leader.url]))
    only_the_holder_wrote(one, two)


def test_lease_is_released_after_the_last_write(
    harness: OperatorHarness, wires: tuple[FaultyWire, FaultyWire]
) -> None:
    """Its last writes are slow, and so is the answer to the release of the Lease."""
    one, two = wires
    first = start(harness, one)
    harness.until("the first leads", lambda: leads(first))
    start(harness, two)
    harness.apply(pool(replicas=0))
    with always_something_to_write(harness):
        harness.until("the first writes", lambda: wrote(one) > 5)
        slow = one.rule(r"^POST .*/services\?", times=10**6, delay=0.5)
        one.rule(r"^PUT .*/leases", times=10**6, late=0.5)
        harness.until("one is on its way", lambda: slow.met > 0)
        first.process.terminate()
        harness.until("the second writes", lambda: wrote(two) > 5)
    assert first.process.wait(20) == 0, first.tail()
    only_the_holder_wrote(one, two)
    assert json.loads(one.passed[-1].body)["spec"]["holderIdentity"] == ""


def test_kopf_writes_nothing_on_its_own(
    harness: OperatorHarness, wires: tuple[FaultyWire, FaultyWire]
) -> None:
    """kopf does not know who leads, and would remove its finalizer from every object."""
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{harness.namespace.name}/leases"
    spec = {"holderIdentity": "another", "leaseDurationSeconds": 15}
    harness.api.call("POST", leases, {"metadata": {"name": lease_name(OPERATOR)}, "spec": spec})
    meta = {
        "name": "its",
        "labels": {"app.kubernetes.io/managed-by": "ocrpool-operator", "ocrpool.dev/pool": "pages"},
        "finalizers": ["ocrpool.dev/kopf"],
    }
    harness.api.call("POST", harness.path("configmaps"), {"metadata": meta})
    path = f"{harness.path('configmaps')}/its"
    try:
        harness.use_server(wires[0].url)
        operator = harness.start("--lease", harness.namespace.name)
        harness.until("it watches", lambda: any("watch=" in call for call in wires[0].calls))
        harness.until("it stands by", lambda: not leads(operator))
        harness.api.merge(path, {"data": {"changed": "yes"}})
        harness.api.call("DELETE", path)
        time.sleep(3)
        assert wires[0].passed == []
        assert harness.api.get(path)["metadata"]["finalizers"] == ["ocrpool.dev/kopf"]
    finally:
        harness.api.merge(path, {"metadata": {"finalizers": None}})
