"""What was observed of a pool: the input of plans and status reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocrpool.protocol import State
from ocrpool.resource.names import OPERATOR, worker_index
from ocrpool.resource.spec import PoolSpec
from ocrpool.resource.status import PoolStatus

# All times are in seconds since the epoch. The caller passes `now`.


@dataclass(frozen=True, slots=True)
class PoolProblem:
    """Something that is wrong: the reason as one CamelCase word, the message as a sentence."""

    reason: str
    message: str
    # The pool cannot serve until it is solved, however many workers are ready.
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """The fields of a worker's pod that the planner needs."""

    name: str
    uid: str
    revision: str = ""
    node: str = ""
    ip: str = ""
    created_at: float = 0.0
    ready: bool = False
    # When `ready` last changed.
    ready_changed_at: float = 0.0
    # All containers have terminated (phase Succeeded or Failed).
    finished: bool = False
    # End of the grace period, if the pod was deleted.
    ends_at: float | None = None
    draining_since: float | None = None
    # Value of its annotation for cluster autoscalers, or None without one.
    evictable: bool | None = None
    problem: PoolProblem | None = None
    # The uid of its controller, and the controller's kind and name.
    owner_uid: str = ""
    created_by: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class WorkerObservation:
    """The state of a worker, or why it could not be read and how many times in a row."""

    state: State | None = None
    error: str = ""
    failures_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class ObservedWorker:
    """A worker's pod with the state that the worker reports."""

    pod: ObservedPod
    observation: WorkerObservation = WorkerObservation()

    @property
    def state(self) -> State | None:
        return self.observation.state

    @property
    def leaving(self) -> bool:
        """Whether the pod drains or was deleted, by the operator or by others."""
        return self.pod.draining_since is not None or self.pod.ends_at is not None

    @property
    def serving(self) -> bool:
        """Whether Kubernetes sends it requests and the worker reports that it accepts them."""
        accepts = self.state is not None and self.state.ready
        return self.pod.ready and accepts and not self.leaving

    @property
    def idle(self) -> bool:
        """Whether the worker holds no request."""
        state = self.state
        if state is None:
            return False
        return state.queue.depth == 0 and all(each.state != "busy" for each in state.instances.each)


@dataclass(frozen=True, slots=True)
class ObservedProxy:
    """The proxy's pods, and the worker addresses that each of them uses, by pod uid. Pods that did
    not answer are missing."""

    pods: tuple[ObservedPod, ...] = ()
    backends: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def ready(self) -> tuple[ObservedPod, ...]:
        """Pods that accept requests."""
        return tuple(pod for pod in self.pods if pod.ready and pod.ends_at is None)

    def not_sending_to(self, worker: ObservedPod) -> tuple[ObservedPod, ...]:
        """Return the ready proxy pods that do not send requests to this worker."""
        return tuple(
            pod for pod in self.ready if worker.ip not in self.backends.get(pod.uid, frozenset())
        )


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """One OcrPool object."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: PoolSpec
    status: PoolStatus = field(default_factory=PoolStatus)
    deleting: bool = False
    has_finalizer: bool = False
    version: int = 0
    # Number of workers that was decided in this round, or None.
    decided_replicas: int | None = None
    # Why the spec is invalid; empty if it is valid.
    invalid_reason: str = ""
    # Name of the operator that manages it.
    operator: str = OPERATOR

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def desired_replicas(self) -> int:
        """Desired number of workers."""
        if self.deleting:
            return 0
        if self.decided_replicas is not None:
            return self.decided_replicas
        scaling = self.spec.autoscaling
        if scaling is not None:
            # After a restart of the operator: keep the last decision.
            last = self.status.desired_replicas
            return min(max(last, scaling.min_replicas), scaling.max_replicas)
        return 1 if self.spec.replicas is None else self.spec.replicas


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many times in a row a pod was replaced after a failure, and when it last was."""

    times: int
    at: float


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """Everything that is known of a pool at one moment."""

    pool: ObservedPool
    revision: str
    workers: tuple[ObservedWorker, ...]
    now: float
    failures: Mapping[str, FailureCount] = field(default_factory=dict)
    # None without spec.proxy.
    proxy: ObservedProxy | None = None
    # Uids of workers that have been idle for disruption.restSeconds.
    evictable: frozenset[str] = frozenset()

    def workers_by_index(self) -> dict[int, ObservedWorker]:
        """Return the workers by the index in their name. Pods with other names are left out."""
        placed = ((worker_index(self.pool.name, each.pod.name), each) for each in self.workers)
        return {index: each for index, each in placed if index is not None}
