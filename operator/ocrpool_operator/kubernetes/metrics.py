"""What the operator counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ocrpool_operator.kubernetes.client import Call


class Metrics:
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

    def round(self, result: str, seconds: float) -> None:
        self._rounds.labels(result).inc()
        self._seconds.observe(seconds)

    def call(self, call: Call) -> None:
        self._calls.labels(call.verb, call.kind).inc()
        if call.writes and call.resource.plural != "leases":
            self._writes.inc()

    def leading(self, yes: bool) -> None:
        self._leading.set(1 if yes else 0)

    def text(self, late: float) -> bytes:
        """The exposition format, with how late reconciling is right now."""
        self._late.set(late)
        return generate_latest(self._registry)
