"""What was seen of a pool: the facts that plans and reports are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocrpool.protocol import State
from ocrpool.resource.names import OPERATOR, worker_index
from ocrpool.resource.spec import PoolSpec
from ocrpool.resource.status import PoolStatus

# Times are seconds since the epoch throughout; the caller brings `now`.


@dataclass(frozen=True, slots=True)
class PoolProblem:
    """Something is not as it should be: one word for machines, one sentence for people."""

    reason: str
    message: str
    # While it is so, the pool cannot do its work, however many workers are ready.
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """A worker's pod, as far as anybody here cares.

    `ending` is the moment at which its grace period is over, once it was deleted.
    """

    name: str
    uid: str
    revision: str = ""
    node: str = ""
    ip: str = ""
    created_at: float = 0.0
    ready: bool = False
    # When `ready` last changed.
    ready_changed_at: float = 0.0
    finished: bool = False
    ends_at: float | None = None
    draining_since: float | None = None
    # What it tells a cluster autoscaler: may its node go? None: nothing.
    evictable: bool | None = None
    problem: PoolProblem | None = None
    # The uid of its controller, and the kind and name of it.
    owner_uid: str = ""
    created_by: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class WorkerObservation:
    """What a worker said, or why nothing was learnt from it, for the how-manieth time in a row."""

    state: State | None = None
    error: str = ""
    failures_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class ObservedWorker:
    """A pod and what it says of itself."""

    pod: ObservedPod
    observation: WorkerObservation = WorkerObservation()

    @property
    def state(self) -> State | None:
        return self.observation.state

    @property
    def leaving(self) -> bool:
        """It drains or ends, by our doing or anybody's."""
        return self.pod.draining_since is not None or self.pod.ends_at is not None

    @property
    def serving(self) -> bool:
        """Kubernetes sends it requests, and it says itself that it takes them."""
        said = self.state is not None and self.state.ready
        return self.pod.ready and said and not self.leaving

    @property
    def idle(self) -> bool:
        """It holds no request."""
        state = self.state
        if state is None:
            return False
        return state.queue.depth == 0 and all(each.state != "busy" for each in state.instances.each)


@dataclass(frozen=True, slots=True)
class ObservedProxy:
    """The proxy's pods, and by the uid of each that answered: the addresses that it sends to."""

    pods: tuple[ObservedPod, ...] = ()
    backends: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def ready(self) -> tuple[ObservedPod, ...]:
        """Those that take requests."""
        return tuple(pod for pod in self.pods if pod.ready and pod.ends_at is None)

    def not_sending_to(self, worker: ObservedPod) -> tuple[ObservedPod, ...]:
        """Those that take requests and do not know that this worker does, too."""
        return tuple(
            pod for pod in self.ready if worker.ip not in self.backends.get(pod.uid, frozenset())
        )


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """One OcrPool as it was read."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: PoolSpec
    status: PoolStatus = field(default_factory=PoolStatus)
    deleting: bool = False
    has_finalizer: bool = False
    version: int = 0
    # Workers there shall be, where that was decided in this round; else the last word holds.
    decided_replicas: int | None = None
    # Why its spec cannot be followed; empty where it can.
    invalid_reason: str = ""
    # The name of the operator that it belongs to.
    operator: str = OPERATOR

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def desired_replicas(self) -> int:
        """Workers there shall be."""
        if self.deleting:
            return 0
        if self.decided_replicas is not None:
            return self.decided_replicas
        scaling = self.spec.autoscaling
        if scaling is not None:
            # After a restart of the operator: what it last said, and nothing is given up.
            last = self.status.desired_replicas
            return min(max(last, scaling.min_replicas), scaling.max_replicas)
        return 1 if self.spec.replicas is None else self.spec.replicas


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How often in a row a place had to get a new pod, and when it last did."""

    times: int
    at: float


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """All that is known of a pool at one moment."""

    pool: ObservedPool
    revision: str
    workers: tuple[ObservedWorker, ...]
    now: float
    failures: Mapping[str, FailureCount] = field(default_factory=dict)
    # None where spec.proxy asks for none.
    proxy: ObservedProxy | None = None
    # Uids of workers that have been idle for long enough for their node to go.
    evictable: frozenset[str] = frozenset()

    def workers_by_index(self) -> dict[int, ObservedWorker]:
        """The workers by their place; strangers are left out."""
        placed = ((worker_index(self.pool.name, each.pod.name), each) for each in self.workers)
        return {index: each for index, each in placed if index is not None}
