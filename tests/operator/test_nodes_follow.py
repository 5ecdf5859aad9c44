"""Load adds workers, waiting workers add nodes, and both are removed after the load.

The API server, the scheduler, the operator and the workers are real. kubelet, cluster-autoscaler
and kube-proxy are fakes (kubelet.py, autoscaler.py, clients.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.api import Api, Object
from tests.operator.autoscaler import GPU, SAFE, Autoscaler
from tests.operator.clients import Clients
from tests.operator.harness import OperatorHarness, gpu_pool
from tests.operator.kubelet import Kubelet
from tools.devcluster.testing import Namespace

pytestmark = pytest.mark.timeout(600)
MOST = 3


class Machines:
    """Machines with one GPU each, started and removed as an autoscaler asks."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._running: dict[str, Kubelet] = {}
        self._count = 0
        self.errors: list[str] = []

    def add(self) -> str:
        self._count += 1
        made = Kubelet(self._api, self._folder / f"machine-{self._count}", devices={GPU: 1})
        made.__enter__()
        self._running[made.node] = made
        return made.node

    def remove(self, node: str) -> None:
        gone = self._running.pop(node)
        gone.__exit__()
        self.errors += gone.errors


@pytest.fixture
def machines(api: Api, tmp_path: Path) -> Machines:
    return Machines(api, tmp_path)


@pytest.fixture
def autoscaler(api: Api, namespace: Namespace, machines: Machines) -> Iterator[Autoscaler]:
    with Autoscaler(api, namespace.name, machines.add, machines.remove, most=MOST) as found:
        yield found
    assert not found.errors + machines.errors


@pytest.fixture
def harness(
    api: Api, namespace: Namespace, autoscaler: Autoscaler, tmp_path: Path
) -> Iterator[OperatorHarness]:
    """A harness that has no node at first. Its own kubelet is not used."""
    assert not autoscaler.nodes
    with (
        Kubelet(api, tmp_path / "node", devices={GPU: 0}) as no_gpus,
        OperatorHarness(api, namespace, no_gpus, tmp_path) as found,
    ):
        yield found


def _pool(**autoscaling: object) -> Object:
    return gpu_pool(
        replicas=None,
        autoscaling={
            "minReplicas": 1,
            "maxReplicas": MOST,
            "targetQueueSeconds": 0.5,
            "scaleUpStabilizationSeconds": 2,
            "scaleDownStabilizationSeconds": 4,
            **autoscaling,
        },
        instances={"min": 1, "max": 1},
        engine={"name": "tests.fake_engine:FakeEngine"},
        memory={"reserve": "0"},
        disruption={"restSeconds": 2},
    )


def _may_go(harness: OperatorHarness) -> dict[str, str]:
    return {
        name: pod["metadata"].get("annotations", {}).get(SAFE, "")
        for name, pod in harness.pods().items()
    }


def test_nodes_are_added_under_load_and_removed_after_it(
    harness: OperatorHarness, autoscaler: Autoscaler
) -> None:
    harness.start()
    harness.apply(_pool())
    harness.until("the first machine came", lambda: len(autoscaler.nodes) == 1)
    harness.until_ready(1)

    # 6 pages of 0.2 s per second keep 1.2 instances busy. Each worker has one, half of it spare.
    with Clients(harness, rate=6, seconds=0.2) as clients:
        harness.until("a machine for each worker", lambda: len(autoscaler.nodes) == MOST)
        harness.until("they serve", lambda: harness.status()["readyReplicas"] == MOST, 180)
        nodes = {each["node"] for each in harness.status()["workers"]}
        assert nodes == set(autoscaler.nodes)
        harness.until("nothing waits", lambda: harness.queues_below(0.5), 120)
        harness.until(
            "busy workers keep their nodes", lambda: set(_may_go(harness).values()) == {"false"}
        )
    # One worker alone is too slow for this. Requests that wait too long get an error.
    assert set(clients.answers) <= {"200", "429", "504"}, clients.answers

    with Clients(harness, rate=1, seconds=0.05) as clients:
        harness.until("one worker is left", lambda: len(harness.pods()) == 1, 180)
        harness.until("and one machine", lambda: len(autoscaler.nodes) == 1)
    assert set(clients.answers) == {"200"}, clients.answers
    harness.until("which may go", lambda: set(_may_go(harness).values()) == {"true"})
    # Nothing was evicted: the operator drained and deleted the workers itself.
    assert [what for what, _ in autoscaler.done] == ["add"] * MOST + ["remove"] * (MOST - 1)


def test_pool_keeps_working_without_the_nodes_it_waits_for(
    harness: OperatorHarness, autoscaler: Autoscaler
) -> None:
    autoscaler.most = 1
    harness.start()
    harness.apply(_pool())
    harness.until_ready(1)

    with Clients(harness, rate=4, seconds=0.2) as clients:
        harness.until("it wants more", lambda: harness.status()["desiredReplicas"] >= 2)
        harness.until(
            "the missing capacity is reported",
            lambda: (
                harness.condition("Progressing")[1] == "WaitingForCapacity"
                or harness.condition("Degraded")[1] == "WaitingForCapacity"
            ),
        )
        assert harness.status()["readyReplicas"] == 1
    with contextlib.suppress(KeyError):
        del clients.answers["429"]
    assert set(clients.answers) == {"200"}, clients.answers
