"""What a reconciler needs from outside, made once by `run.py`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from ocrpool.planner.observed import ObservedPod
from ocrpool.resource.names import OPERATOR, WORKER_IMAGE
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import KubeClient
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.manifests.network_policies import IngressRules
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.instance_scaling import InstanceScaling

# The addresses that each of these proxy pods sends requests to, by the pod's uid.
FetchBackends = Callable[[Iterable[ObservedPod]], Awaitable[Mapping[str, frozenset[str]]]]


async def _no_backends(pods: Iterable[ObservedPod]) -> Mapping[str, frozenset[str]]:
    return {}


@dataclass(frozen=True)
class Dependencies:
    """Clients, clocks and the options of the operator that rounds follow."""

    cache: PoolCache
    client: KubeClient
    workers: WorkerClient
    scaling: InstanceScaling
    events: EventRecorder
    metrics: OperatorMetrics
    # Seconds since the epoch: for times that are written in the cluster.
    now: Callable[[], float]
    worker_image: str = WORKER_IMAGE
    ingress: IngressRules = None
    fetch_backends: FetchBackends = _no_backends
    # The cluster's DNS domain, for the names of Services.
    domain: str = "cluster.local"
    # Pools with another `spec.operatorName` are left alone.
    operator: str = OPERATOR
    # Monotonic seconds: for times that only this process remembers.
    clock: Callable[[], float] = time.monotonic
