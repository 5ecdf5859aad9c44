"""Pools, pods and workers for tests of the planner, and a simulated cluster that runs its plans."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ocrpool.planner.observed import (
    FailureCount,
    ObservedPod,
    ObservedPool,
    ObservedWorker,
    PoolSnapshot,
    WorkerObservation,
)
from ocrpool.planner.simulated_state import simulated_device, simulated_instance, simulated_state
from ocrpool.planner.workers.failures import count_failures
from ocrpool.planner.workers.plan import (
    CreatePod,
    DeletePod,
    DrainWorker,
    MarkEvictable,
    RemoveFromService,
    RestoreToService,
    WorkerPlan,
    plan_workers,
)
from ocrpool.protocol import Problem, State
from ocrpool.resource.names import worker_name
from ocrpool.resource.spec import PoolSpec

GIB = 2**30


def a_pool(replicas: int = 2, *, deleting: bool = False, generation: int = 1) -> ObservedPool:
    spec = PoolSpec(replicas=replicas, device="cpu")
    return ObservedPool("default", "pages", "uid", generation, spec, deleting=deleting)


def a_state(
    *,
    ready: bool = True,
    draining: bool = False,
    busy: int = 0,
    depth: int = 0,
    problem: str | None = None,
    free: int = 8 * GIB,
) -> State:
    each = [simulated_instance(0, "busy" if n < busy else "idle", n) for n in range(2)]
    state = simulated_state(
        simulated_device(16 * GIB, free),
        each,
        footprint=GIB,
        queued=depth,
        ready=ready and not draining,
        draining=draining,
        problem=Problem(reason=problem, message="so it is") if problem else None,
    )
    if ready:
        return state
    instances = state.instances.model_copy(update={"ready": 0})
    return state.model_copy(update={"instances": instances})


def a_pod(
    index: int = 0, *, revision: str = "new", ready: bool = True, **more: object
) -> ObservedPod:
    base = ObservedPod(
        worker_name("pages", index), f"uid-{index}-{revision}", revision, "node", "10.0.0.1",
        ready=ready, evictable=False,
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def a_seen(
    pool: ObservedPool, *workers: ObservedWorker, now: float = 1000.0, **more: object
) -> PoolSnapshot:
    return replace(PoolSnapshot(pool, "new", workers, now), **more)  # type: ignore[arg-type]


@dataclass
class Cluster:
    """Pods that start in a few steps and end when they are deleted. One step is a second."""

    pool: ObservedPool
    revision: str = "r1"
    now: float = 1000.0
    boot: int = 3
    pods: dict[str, ObservedPod] = field(default_factory=dict)
    age: dict[str, int] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    failures: dict[str, FailureCount] = field(default_factory=dict)
    # Pages that a worker is still on, by pod: it ends a page a second.
    busy: dict[str, int] = field(default_factory=dict)
    # What a worker that is not ready says is wrong with it.
    problems: dict[str, str | None] = field(default_factory=dict)
    made: int = 0
    lost: int = 0

    def seen(self) -> PoolSnapshot:
        workers = []
        for pod in self.pods.values():
            state = a_state(
                ready=pod.ready,
                draining=pod.name in self.draining,
                busy=1 if self.busy.get(pod.name) else 0,
                problem=self.problems.get(pod.name),
            )
            workers.append(ObservedWorker(pod, WorkerObservation(state=state)))
        return PoolSnapshot(self.pool, self.revision, tuple(workers), self.now, self.failures)

    def serving(self) -> int:
        return sum(1 for pod in self.pods.values() if pod.ready and pod.draining_since is None)

    def settled(self) -> bool:
        """Whether the desired number of pods serves, all of this revision."""
        fresh = all(pod.revision == self.revision for pod in self.pods.values())
        return fresh and self.serving() == self.pool.desired_replicas == len(self.pods)

    def step(self) -> WorkerPlan:
        """Plan, carry the plan out, and let a second pass."""
        found = plan_workers(self.seen())
        for action in found.actions:
            match action:
                case CreatePod(name, _):
                    assert name not in self.pods, "a doubled pod"
                    self.made += 1
                    self.pods[name] = ObservedPod(
                        name, f"uid-{self.made}", self.revision, "node", "10.0.0.1", self.now,
                        evictable=False,
                    )  # fmt: skip
                    self.age[name] = 0
                case RemoveFromService(pod, _):
                    self.pods[pod.name] = replace(self.pods[pod.name], draining_since=self.now)
                case RestoreToService(pod):
                    assert pod.name not in self.draining
                    self.pods[pod.name] = replace(self.pods[pod.name], draining_since=None)
                case MarkEvictable(pod, evictable):
                    self.pods[pod.name] = replace(self.pods[pod.name], evictable=evictable)
                case DrainWorker(pod):
                    self.draining.add(pod.name)
                case DeletePod(pod, _):
                    self.lost += self.busy.get(pod.name, 0)
                    self.drop(pod.name)
        self.failures = count_failures(self.failures, found.actions, self.now)
        self.now += 1
        for name, pod in self.pods.items():
            self.age[name] += 1
            self.busy[name] = max(0, self.busy.get(name, 0) - 1)
            if self.age[name] >= self.boot and not pod.finished and name not in self.draining:
                self.pods[name] = replace(pod, ready=True)
        return found

    def drop(self, name: str) -> None:
        for table in (self.pods, self.age, self.busy, self.problems):
            table.pop(name, None)
        self.draining.discard(name)

    def settle(self, most: int) -> int:
        """Step until nothing is left to do and all pods serve; return the number of steps."""
        for count in range(most):
            found = self.step()
            if not found.actions and self.settled():
                return count
        raise AssertionError(f"not settled after {most} s: {self.pods}")
