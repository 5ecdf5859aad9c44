"""Which placement a pool keeps: which pods are one too many, and under which names there are too few.

A pool keeps any set of placement of the size that is wanted. New pods fill the lowest free ones; the
least useful pods go. It follows from what is there alone, so whoever plans after a restart chooses
the same: a pod that drains already is the first to go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count, islice

from ocrpool.planner.observed import ObservedWorker, PoolSnapshot
from ocrpool.resource.names import worker_index, worker_name


@dataclass(frozen=True, slots=True)
class Placement:
    """`kept`: names of the placement that the pool has, pods or not; `empty`: those of them without
    a pod; `surplus`: uids of pods that shall go."""

    kept: tuple[str, ...]
    empty: tuple[str, ...]
    surplus: frozenset[str]


def choose_placement(snapshot: PoolSnapshot) -> Placement:
    """Decide from what is there. Pods that leave hold their place until they are gone."""
    there, wanted = snapshot.workers_by_index(), snapshot.pool.desired_replicas
    strangers = {
        each.pod.uid
        for each in snapshot.workers
        if worker_index(snapshot.pool.name, each.pod.name) is None
    }
    chosen = _choose_surplus(snapshot, list(there.values()), max(0, len(there) - wanted))
    surplus = frozenset(strangers | {each.pod.uid for each in chosen})
    free = islice((index for index in count() if index not in there), max(0, wanted - len(there)))
    empty = [worker_name(snapshot.pool.name, index) for index in free]
    kept = [each.pod.name for each in there.values() if each.pod.uid not in surplus]
    return Placement(tuple(kept + empty), tuple(empty), surplus)


def _choose_surplus(
    snapshot: PoolSnapshot, workers: list[ObservedWorker], number: int
) -> list[ObservedWorker]:
    """So many of them: first what leaves or is over, then what waits for a node, then what boots or
    is broken, then what an edit of the spec will replace, then what serves, so that whole nodes
    become empty."""
    if number <= 0:
        return []
    others = [one for one in workers if not _is_serving(snapshot, one)]
    chosen = sorted(others, key=lambda one: _removal_order(snapshot, one))[:number]
    left = [one for one in workers if _is_serving(snapshot, one)]
    while len(chosen) < number:
        on_node = Counter(one.pod.node for one in left)
        worst = min(
            left,
            key=lambda one: (
                on_node[one.pod.node],
                one.pod.node,
                not one.idle,
                -_index(snapshot, one),
            ),
        )
        left.remove(worst)
        chosen.append(worst)
    return chosen


def _is_serving(snapshot: PoolSnapshot, worker: ObservedWorker) -> bool:
    pod = worker.pod
    gone = worker.leaving or pod.finished
    return pod.ready and not gone and pod.revision == snapshot.revision


def _removal_order(snapshot: PoolSnapshot, worker: ObservedWorker) -> tuple[int, float, int]:
    """The least first."""
    pod, last = worker.pod, -_index(snapshot, worker)
    if pod.ends_at is not None:
        return 0, pod.ends_at, last
    if pod.draining_since is not None:
        return 1, pod.draining_since, last
    if pod.finished:
        return 2, 0.0, last
    if not pod.node:
        return 3, 0.0, last
    return (5 if pod.ready else 4), 0.0, last


def _index(snapshot: PoolSnapshot, worker: ObservedWorker) -> int:
    return worker_index(snapshot.pool.name, worker.pod.name) or 0
