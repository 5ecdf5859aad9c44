"""What the operator counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.client import ApiCall


class OperatorMetrics:
    """Counters of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rounds = Counter(
            "ocrpool_operator_rounds",
            "rounds of reconciling, by result: ok, api (the API server failed), error (we did)",
            ["result"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "ocrpool_operator_round_seconds",
            "seconds that a round took",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=self._registry,
        )
        self._calls = Counter(
            "ocrpool_operator_api_calls",
            "calls to the API server, by verb and resource",
            ["verb", "resource"],
            registry=self._registry,
        )
        self._writes = Counter(
            "ocrpool_operator_api_writes",
            "calls to the API server that write, the Lease's renewals left out",
            registry=self._registry,
        )
        self._leading = Gauge(
            "ocrpool_operator_leading",
            "1 where this operator acts, 0 where it stands by",
            registry=self._registry,
        )
        self._late = Gauge(
            "ocrpool_operator_late_seconds",
            "seconds by which reconciling is behind its time",
            registry=self._registry,
        )

        self._decisions = Counter(
            "ocrpool_operator_decisions",
            "decisions about a worker's instances, by reason (docs/scaling.md)",
            ["reason"],
            registry=self._registry,
        )
        self._pools = tuple(
            Gauge(name, text, ["namespace", "pool", label], registry=self._registry)
            for name, text, label in (
                ("ocrpool_pool_workers", "workers of a pool: wanted, there, ready", "state"),
                ("ocrpool_pool_instances", "instances of a pool's workers: target, ready", "state"),
                ("ocrpool_pool_condition", "1 where a pool's condition is True", "type"),
            )
        )

    def record_round(self, result: str, seconds: float) -> None:
        self._rounds.labels(result).inc()
        self._seconds.observe(seconds)

    def count_call(self, call: ApiCall) -> None:
        self._calls.labels(call.verb, call.kind).inc()
        if call.writes and call.resource.plural != "leases":
            self._writes.inc()

    def count_decision(self, reason: str) -> None:
        self._decisions.labels(reason).inc()

    def set_pool(self, namespace: str, name: str, status: PoolStatus) -> None:
        """What a pool's status says; never by worker, of which there may be thousands."""
        workers, instances, conditions = self._pools
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
            conditions.labels(namespace, name, each.type).set(each.status == "True")

    def drop_pool(self, namespace: str, name: str) -> None:
        """The pool is gone."""
        for gauge in self._pools:
            gauge.remove_by_labels({"namespace": namespace, "pool": name})

    def set_leading(self, yes: bool) -> None:
        self._leading.set(1 if yes else 0)
        if not yes:  # another one tells of the pools now
            for gauge in self._pools:
                gauge.clear()

    def render(self, late: float) -> bytes:
        """The exposition format, with how late reconciling is right now."""
        self._late.set(late)
        return generate_latest(self._registry)
