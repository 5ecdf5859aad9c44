"""The instances of every worker: the planner's memory between rounds, and what comes of its words.

One look of a worker counts for one decision. Rounds also come from events, faster than a worker
looks at its device, and two looks in a row must be two.
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

# A worker looks at its device once a second; so far apart, two looks of ours are two of its.
APART_SECONDS = 1.25
# A worker gives up after three failed boots. Asked again, it begins anew: after so long, twice as
# long each time, up to ten minutes.
ASK_AGAIN_SECONDS = 60.0
ASK_AGAIN_MOST = 600.0
_GIVEN_UP = {"BootFailed", "BootTimeout", "InsufficientMemory"}


@dataclass(frozen=True, slots=True)
class InstanceScalingResult:
    """What came of one round: new looks by the pod's uid, what is told by the pod's name."""

    looks: Mapping[str, WorkerObservation] = field(default_factory=dict)
    decisions: Mapping[str, InstanceDecision] = field(default_factory=dict)


@dataclass(slots=True)
class _Remembered:
    """Of one worker, that is of one pod's uid."""

    history: InstanceHistory = field(default_factory=InstanceHistory)
    told: ReportedDecision | None = None
    looked: float = -math.inf
    # When a worker that gave up is asked again, and how often that was tried.
    ask_again: float = math.inf
    tries: int = 0


@dataclass(slots=True)
class _PoolMemory:
    looked: float = -math.inf
    workers: dict[str, _Remembered] = field(default_factory=dict)


class InstanceScaling:
    """Decides for every worker of a pool, at most once an interval, and asks it for its target.

    `clock`: monotonic seconds. What it remembers is lost with the operator: targets are the
    workers' own, streaks and cool-downs begin anew.
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
        self._interval = max(interval, APART_SECONDS)
        self._clock = clock
        self._pools: dict[Key, _PoolMemory] = {}

    async def round(
        self, pool: ObservedPool, seen: PoolSnapshot, token: str
    ) -> InstanceScalingResult:
        """Decide where it is time, ask for what was decided, and say what is told. Never raises
        for a worker that does not answer: it is asked again after the next look."""
        memory = self._pools.setdefault(pool.key, _PoolMemory())
        here = [each for each in seen.workers if each.state is not None and not each.leaving]
        self._keep_only(memory, seen.workers)
        now = self._clock()
        # All workers of a pool in the same rounds, so that a pool of many is not looked at for
        # each of them; only a newcomer need not wait.
        due = now - memory.looked >= self._interval
        if due:
            memory.looked = now
        looked = [
            each
            for each in here
            if (due or each.pod.uid not in memory.workers)
            and now - memory.workers.setdefault(each.pod.uid, _Remembered()).looked >= APART_SECONDS
        ]
        looks = await asyncio.gather(
            *(self._decide(pool, each, memory.workers[each.pod.uid], token) for each in looked)
        )
        told = {each.pod.name: memory.workers[each.pod.uid].told for each in here}
        return InstanceScalingResult(
            {
                each.pod.uid: look
                for each, look in zip(looked, looks, strict=True)
                if look is not None
            },
            {name: each.decision for name, each in told.items() if each is not None},
        )

    def reasons(self, key: Key) -> dict[str, InstanceReason]:
        """The last told reason of each worker's decision, by uid."""
        memory = self._pools.get(key, _PoolMemory())
        told = {uid: each.told for uid, each in memory.workers.items()}
        return {uid: each.decision.reason for uid, each in told.items() if each is not None}

    def due_in(self, key: Key) -> float:
        """Seconds until this pool's workers should be looked at for another decision."""
        memory = self._pools.get(key)
        looked = memory.looked if memory is not None else -math.inf
        return max(0.0, looked + self._interval - self._clock())

    def forget(self, key: Key) -> None:
        """The pool is gone."""
        self._pools.pop(key, None)

    @staticmethod
    def _keep_only(memory: _PoolMemory, workers: Iterable[ObservedWorker]) -> None:
        uids = {each.pod.uid for each in workers}
        for uid in memory.workers.keys() - uids:
            del memory.workers[uid]

    async def _decide(
        self, pool: ObservedPool, worker: ObservedWorker, known: _Remembered, token: str
    ) -> WorkerObservation | None:
        """Answers the look that came with a new target's arrival, None where none was asked for."""
        state, pod = worker.state, worker.pod
        assert state is not None
        limits = limits_of(pool.spec, f"{pool.namespace}/{pod.name}")
        known.looked = self._clock()
        decision = plan_instances(limits, known.history, state, known.looked)
        self._metrics.count_decision(decision.reason)
        step = decision.target != state.instances.target
        look: WorkerObservation | None = None
        if not step and self._ask_again(known, state):
            look = await self._workers.set_target(pod, token, decision.target)
        if step:
            look = await self._workers.set_target(pod, token, decision.target)
            if look.state is None:
                # It did not arrive: decided again after the next look, with the same memory.
                return look
            await self._events.post(pool, decision.reason, f"{pod.name}: {decision.sentence}")
        known.history = decision.history
        known.told = debounce(known.told, decision, step=step)
        return look

    def _ask_again(self, known: _Remembered, state: State) -> bool:
        """Whether to ask a worker once more for what it has given up."""
        instances, problem = state.instances, state.problem
        if instances.ready >= instances.target:
            known.tries, known.ask_again = 0, math.inf
            return False
        if problem is None or problem.reason not in _GIVEN_UP or instances.booting:
            return False
        now = self._clock()
        due = now >= known.ask_again
        if due or known.ask_again == math.inf:
            known.tries += 1
            pause = backoff_seconds(known.tries, first=ASK_AGAIN_SECONDS, most=ASK_AGAIN_MOST)
            known.ask_again = now + pause
        return due
