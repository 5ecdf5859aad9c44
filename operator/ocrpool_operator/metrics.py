"""The operator's Prometheus metrics. A new one is a row in METRICS and a method that sets it."""

from __future__ import annotations

from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.client import ApiCall


class _Metric(NamedTuple):
    kind: type[Counter] | type[Gauge] | type[Histogram]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


ROUNDS = _Metric(
    Counter,
    "ocrpool_operator_rounds",
    "rounds of reconciling, by result: ok, api (the API server failed), error (the operator did)",
    ("result",),
)
ROUND_SECONDS = _Metric(
    Histogram,
    "ocrpool_operator_round_seconds",
    "duration of a round in seconds",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
API_CALLS = _Metric(
    Counter,
    "ocrpool_operator_api_calls",
    "calls to the API server, by verb and resource",
    ("verb", "resource"),
)
API_WRITES = _Metric(
    Counter,
    "ocrpool_operator_api_writes",
    "calls to the API server that write, without the renewals of the Lease",
)
LEADING = _Metric(
    Gauge, "ocrpool_operator_leading", "1 if this operator is the leader, 0 if it stands by"
)
LATE_SECONDS = _Metric(
    Gauge, "ocrpool_operator_late_seconds", "seconds by which reconciling is behind schedule"
)
DECISIONS = _Metric(
    Counter,
    "ocrpool_operator_decisions",
    "decisions about a worker's instances, by reason (docs/scaling.md)",
    ("reason",),
)
# By pool, never by worker: there may be thousands of workers.
POOL_WORKERS = _Metric(
    Gauge,
    "ocrpool_pool_workers",
    "workers of a pool: wanted, there, ready",
    ("namespace", "pool", "state"),
)
POOL_INSTANCES = _Metric(
    Gauge,
    "ocrpool_pool_instances",
    "instances of a pool's workers: target, ready",
    ("namespace", "pool", "state"),
)
POOL_CONDITION = _Metric(
    Gauge,
    "ocrpool_pool_condition",
    "1 if the pool's condition is True",
    ("namespace", "pool", "type"),
)
METRICS = (
    ROUNDS,
    ROUND_SECONDS,
    API_CALLS,
    API_WRITES,
    LEADING,
    LATE_SECONDS,
    DECISIONS,
    POOL_WORKERS,
    POOL_INSTANCES,
    POOL_CONDITION,
)
BY_POOL = (POOL_WORKERS, POOL_INSTANCES, POOL_CONDITION)


class OperatorMetrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._found: dict[str, Any] = {}
        for each in METRICS:
            options: dict[str, Any] = {"buckets": each.buckets} if each.buckets else {}
            self._found[each.name] = each.kind(
                each.name, each.help, each.labels, registry=self._registry, **options
            )

    def record_round(self, result: str, seconds: float) -> None:
        self._get(ROUNDS).labels(result).inc()
        self._get(ROUND_SECONDS).observe(seconds)

    def count_call(self, call: ApiCall) -> None:
        self._get(API_CALLS).labels(call.verb, call.kind).inc()
        if call.writes and call.resource.plural != "leases":
            self._get(API_WRITES).inc()

    def count_decision(self, reason: str) -> None:
        self._get(DECISIONS).labels(reason).inc()

    def set_pool(self, namespace: str, name: str, status: PoolStatus) -> None:
        """Report a pool's status."""
        workers, instances = self._get(POOL_WORKERS), self._get(POOL_INSTANCES)
        counts = {
            "wanted": status.desired_replicas,
            "there": status.replicas,
            "ready": status.ready_replicas,
        }
        for state, count in counts.items():
            workers.labels(namespace, name, state).set(count)
        instances.labels(namespace, name, "target").set(status.instances.target)
        instances.labels(namespace, name, "ready").set(status.instances.ready)
        for each in status.conditions:
            value = each.status == "True"
            self._get(POOL_CONDITION).labels(namespace, name, each.type).set(value)

    def drop_pool(self, namespace: str, name: str) -> None:
        """Remove the metrics of a pool that is gone."""
        for metric in BY_POOL:
            self._get(metric).remove_by_labels({"namespace": namespace, "pool": name})

    def set_leading(self, leading: bool) -> None:
        self._get(LEADING).set(1 if leading else 0)
        if not leading:  # another operator reports the pools now
            for metric in BY_POOL:
                self._get(metric).clear()

    def render(self, late: float) -> bytes:
        """The exposition format. `late`: seconds by which reconciling is behind schedule now."""
        self._get(LATE_SECONDS).set(late)
        return generate_latest(self._registry)

    def _get(self, metric: _Metric) -> Any:
        return self._found[metric.name]
