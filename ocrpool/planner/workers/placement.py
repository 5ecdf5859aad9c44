"""Choose which worker pods a pool keeps, which are surplus, and which names have no pod.

A pool keeps any set of indexes of the desired size. New pods get the lowest free indexes; the least
useful pods are removed. The choice depends only on the snapshot, so it is the same after a restart
of the operator: a pod that already drains is the first to go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count, islice

from ocrpool.planner.observed import ObservedWorker, PoolSnapshot
from ocrpool.resource.names import worker_index, worker_name


@dataclass(frozen=True, slots=True)
class Placement:
    """`kept`: names of the desired pods; `empty`: those of them that do not exist; `surplus`: uids
    of the pods to remove."""

    kept: tuple[str, ...]
    empty: tuple[str, ...]
    surplus: frozenset[str]


def choose_placement(snapshot: PoolSnapshot) -> Placement:
    """Choose from the existing pods. A pod that leaves keeps its index until it is gone."""
    existing, desired = snapshot.workers_by_index(), snapshot.pool.desired_replicas
    misnamed = {
        each.pod.uid
        for each in snapshot.workers
        if worker_index(snapshot.pool.name, each.pod.name) is None
    }
    chosen = _choose_surplus(snapshot, list(existing.values()), max(0, len(existing) - desired))
    surplus = frozenset(misnamed | {each.pod.uid for each in chosen})
    free = islice(
        (index for index in count() if index not in existing), max(0, desired - len(existing))
    )
    empty = [worker_name(snapshot.pool.name, index) for index in free]
    kept = [each.pod.name for each in existing.values() if each.pod.uid not in surplus]
    return Placement(tuple(kept + empty), tuple(empty), surplus)


def _choose_surplus(
    snapshot: PoolSnapshot, workers: list[ObservedWorker], number: int
) -> list[ObservedWorker]:
    """Choose `number` of the workers, in this order: leaving or finished; waiting for a node; not
    ready; of an old revision; serving, from the nodes with the fewest workers, so that whole nodes
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
    """Sort key: the first is removed first."""
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
