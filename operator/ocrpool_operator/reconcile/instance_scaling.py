"""Sets the number of instances of every worker, and remembers what the planner needs for it.

Each observation of a worker is used for one decision only. Rounds also come from events, more often
than a worker measures its device; two decisions in a row need two measurements.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ocrpool.planner.instances.limits import limits_of
from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceReason
from ocrpool.planner.observed import ObservedPool, ObservedWorker, PoolSnapshot, WorkerObservation
from ocrpool.planner.status.debounce import ReportedDecision, debounce
from ocrpool.protocol import State, backoff_seconds
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.metrics import OperatorMetrics

# A worker measures its device once a second. Two observations that are this far apart are based on
# two measurements.
MIN_DECISION_SECONDS = 1.25
# A worker gives up after three failed starts of an instance. The operator then asks it to try
# again: after the first pause, which doubles each time up to the longest.
RESTART_PAUSE_SECONDS = 60.0
MAX_RESTART_PAUSE_SECONDS = 600.0
_GAVE_UP = {"BootFailed", "BootTimeout", "InsufficientMemory"}


@dataclass(frozen=True, slots=True)
class InstanceScalingResult:
    """What one round of a pool found and decided."""

    # By uid of the pod: the state of the workers that were asked for a target.
    observations: Mapping[str, WorkerObservation] = field(default_factory=dict)
    # By name of the pod: the decision that the status reports.
    decisions: Mapping[str, InstanceDecision] = field(default_factory=dict)


@dataclass(slots=True)
class _WorkerMemory:
    """What is remembered of one worker, that is, of one pod's uid."""

    history: InstanceHistory = field(default_factory=InstanceHistory)
    reported: ReportedDecision | None = None
    decided_at: float = -math.inf
    # When a worker that gave up is asked to try again; infinity: it has not given up.
    restart_at: float = math.inf
    # Pauses since it last had all its instances.
    restart_pauses: int = 0


@dataclass(slots=True)
class _PoolMemory:
    decided_at: float = -math.inf
    workers: dict[str, _WorkerMemory] = field(default_factory=dict)


class InstanceScaling:
    """Decides for every worker of a pool, at most once an interval, and sets its target.

    `clock`: monotonic seconds. A restart of the operator loses what is remembered here. The workers
    keep their targets; streaks and cool-downs start again.
    """

    def __init__(
        self,
        workers: WorkerClient,
        events: EventRecorder,
        metrics: OperatorMetrics,
        *,
        interval: float,
        clock: Callable[[], float],
    ) -> None:
        self._workers = workers
        self._events = events
        self._metrics = metrics
        self._interval = max(interval, MIN_DECISION_SECONDS)
        self._clock = clock
        self._pools: dict[Key, _PoolMemory] = {}

    async def scale(
        self, pool: ObservedPool, snapshot: PoolSnapshot, token: str
    ) -> InstanceScalingResult:
        """Decide for the workers that are due, and set the targets that changed. Never raises if a
        worker does not answer: it is decided again after the next observation."""
        memory = self._pools.setdefault(pool.key, _PoolMemory())
        staying = [each for each in snapshot.workers if each.state is not None and not each.leaving]
        self._forget_others(memory, snapshot.workers)
        due = self._due_workers(memory, staying)
        observations = await asyncio.gather(
            *(self._decide(pool, each, memory.workers[each.pod.uid], token) for each in due)
        )
        reported = {each.pod.name: memory.workers[each.pod.uid].reported for each in staying}
        return InstanceScalingResult(
            {
                worker.pod.uid: observation
                for worker, observation in zip(due, observations, strict=True)
                if observation is not None
            },
            {name: each.decision for name, each in reported.items() if each is not None},
        )

    def reported_reasons(self, key: Key) -> dict[str, InstanceReason]:
        """The reason that was last reported for each worker's number of instances, by uid."""
        memory = self._pools.get(key, _PoolMemory())
        reported = {uid: each.reported for uid, each in memory.workers.items()}
        return {uid: each.decision.reason for uid, each in reported.items() if each is not None}

    def seconds_until_due(self, key: Key) -> float:
        """Seconds until the next decisions for this pool's workers."""
        memory = self._pools.get(key)
        decided_at = memory.decided_at if memory is not None else -math.inf
        return max(0.0, decided_at + self._interval - self._clock())

    def forget_pool(self, key: Key) -> None:
        """Forget the workers of a pool that is gone."""
        self._pools.pop(key, None)

    def _due_workers(
        self, memory: _PoolMemory, workers: Iterable[ObservedWorker]
    ) -> list[ObservedWorker]:
        """The workers to decide for now. All workers of a pool are due in the same round, so that
        a large pool needs no round for each of them. A new worker is due at once."""
        now = self._clock()
        pool_is_due = now - memory.decided_at >= self._interval
        if pool_is_due:
            memory.decided_at = now
        due = []
        for worker in workers:
            if not pool_is_due and worker.pod.uid in memory.workers:
                continue
            remembered = memory.workers.setdefault(worker.pod.uid, _WorkerMemory())
            if now - remembered.decided_at >= MIN_DECISION_SECONDS:
                due.append(worker)
        return due

    @staticmethod
    def _forget_others(memory: _PoolMemory, workers: Iterable[ObservedWorker]) -> None:
        uids = {each.pod.uid for each in workers}
        for uid in memory.workers.keys() - uids:
            del memory.workers[uid]

    async def _decide(
        self, pool: ObservedPool, worker: ObservedWorker, memory: _WorkerMemory, token: str
    ) -> WorkerObservation | None:
        """Decide for one worker. Returns what it answered if its target was set, else None."""
        state, pod = worker.state, worker.pod
        assert state is not None
        limits = limits_of(pool.spec, f"{pool.namespace}/{pod.name}")
        memory.decided_at = self._clock()
        decision = plan_instances(limits, memory.history, state, memory.decided_at)
        self._metrics.count_decision(decision.reason)
        changes = decision.target != state.instances.target
        observation: WorkerObservation | None = None
        if not changes and self._is_restart_due(memory, state):
            observation = await self._workers.set_target(pod, token, decision.target)
        if changes:
            observation = await self._workers.set_target(pod, token, decision.target)
            if observation.state is None:
                # The target did not arrive. The next decision starts from the same memory.
                return observation
            await self._events.post(pool, decision.reason, f"{pod.name}: {decision.sentence}")
        memory.history = decision.history
        memory.reported = debounce(memory.reported, decision, step=changes)
        return observation

    def _is_restart_due(self, memory: _WorkerMemory, state: State) -> bool:
        """Whether to ask a worker that gave up to start its instances again."""
        instances, problem = state.instances, state.problem
        if instances.ready >= instances.target:
            memory.restart_pauses, memory.restart_at = 0, math.inf
            return False
        if instances.booting:
            # It is trying. The pause begins when it gives up again, however long its starts take.
            memory.restart_at = math.inf
            return False
        if problem is None or problem.reason not in _GAVE_UP:
            return False
        now = self._clock()
        due = now >= memory.restart_at
        if due or not memory.restart_pauses:
            memory.restart_pauses += 1
        if due or memory.restart_at == math.inf:
            pause = backoff_seconds(
                memory.restart_pauses, first=RESTART_PAUSE_SECONDS, most=MAX_RESTART_PAUSE_SECONDS
            )
            memory.restart_at = now + pause
        return due
