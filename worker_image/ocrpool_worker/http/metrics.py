"""`GET /metrics`: what Prometheus scrapes, in base units, names with `ocrpool_`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ocrpool.protocol import State
from ocrpool_worker.supervisor.supervisor import Supervisor

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)

_COUNTERS = {
    "requests": "Requests accepted",
    "answered": "Accepted requests answered with text",
    "failed": "Accepted requests answered with an error",
    "cancelled": "Accepted requests whose client had gone",
    "refused": "Requests refused at admission",
    "rejected": "Requests refused because the queue was full",
    "pages": "Pages read",
    "unread": "Pages of documents that could not be read",
    "page_seconds": "Seconds that instances spent on pages",
    "retried": "Pages put back after their instance failed",
    "poisoned": "Requests that cost two instances",
    "timeouts": "Requests without an answer in time",
    "deaths": "Instances that died or were killed",
    "killed": "Instances that a signal from outside ended, booting ones included",
    "out_of_memory": "Times that memory ran out for an instance",
    "device_errors": "Pages on which the device failed",
    "braked": "Instances given up because memory was critically low",
    "recycled": "Instances replaced by rule",
    "boots": "Instances that became ready",
    "boot_failures": "Instances that failed to boot",
}


class WorkerMetrics:
    """One registry a worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._responses: dict[tuple[str, int], int] = {}
        self._seconds = SecondsHistogram(
            "ocrpool_http_request_seconds",
            "Seconds from a request's headers to its response",
            "endpoint",
        )
        self._waited = SecondsHistogram(
            "ocrpool_queue_wait_seconds", "Seconds that a page waited for an instance"
        )
        self._took = SecondsHistogram(
            "ocrpool_page_duration_seconds", "Seconds that an instance spent on a page"
        )
        self._registry.register(_RequestCollector(self))

        self.cut_off = Counter(
            "ocrpool_http_clients_cut_off",
            "Clients cut off because they did not take their answers (http.takeSeconds)",
            registry=self._registry,
        )

    def observe_response(self, endpoint: str, status: int, seconds: float) -> None:
        """The data port has an answer for somebody."""
        key = endpoint, status
        self._responses[key] = self._responses.get(key, 0) + 1
        self._seconds.add(seconds, endpoint)

    def collect(self) -> Iterator[Metric]:
        """What was measured here, for a scrape."""
        responses = CounterMetricFamily(
            "ocrpool_http_responses", "Responses of the data port", labels=["endpoint", "status"]
        )
        for (endpoint, status), count in sorted(self._responses.items()):
            responses.add_metric([endpoint, str(status)], count)
        yield responses
        for times in (self._seconds, self._waited, self._took):
            yield times.family()

    def observe_page(self, waited: float, took: float) -> None:
        """A page was read; both in seconds."""
        self._waited.add(waited)
        self._took.add(took)

    def watch(self, supervisor: Supervisor) -> None:
        """Also report the supervisor's state at every scrape."""
        self._registry.register(_StateCollector(supervisor))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class SecondsHistogram:
    """A histogram of seconds, by one label or none. Only a scrape costs more than counting: the
    client library's own takes a lock and several calls for each observation."""

    def __init__(self, name: str, text: str, label: str | None = None) -> None:
        self._name, self._text, self._label = name, text, label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        if label is None:
            self._of("")

    def add(self, seconds: float, label: str = "") -> None:
        counts = self._counts.get(label) or self._of(label)
        counts[bisect_left(_SECONDS, seconds)] += 1
        self._sums[label] += seconds

    def family(self) -> HistogramMetricFamily:
        labels = [] if self._label is None else [self._label]
        family = HistogramMetricFamily(self._name, self._text, labels=labels)
        edges = [*map(floatToGoString, _SECONDS), "+Inf"]
        for label, counts in sorted(self._counts.items()):
            buckets = list(zip(edges, accumulate(counts), strict=True))
            family.add_metric([label] if labels else [], buckets, self._sums[label])
        return family

    def _of(self, label: str) -> list[int]:
        self._sums[label] = 0.0
        return self._counts.setdefault(label, [0] * (len(_SECONDS) + 1))


class _RequestCollector(Collector):
    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect()

    def describe(self) -> list[Metric]:
        return []


class _StateCollector(Collector):
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        state = self._supervisor.state()
        yield from _gauges(state, self._supervisor.answer_bytes)
        yield from _by_instance(state)
        text = "Memory of the device that is never planned for"
        reserve = self._supervisor.settings.memory.reserve
        yield GaugeMetricFamily("ocrpool_memory_reserve_bytes", text, value=reserve)
        counters = state.counters.model_dump()
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"ocrpool_{name}", text, value=counters[name])

    def describe(self) -> list[Metric]:
        return []


def _by_instance(state: State) -> Iterator[Metric]:
    """What each instance holds and has done; an id is never given twice."""
    held = GaugeMetricFamily(
        "ocrpool_instance_memory_bytes", "Memory that an instance holds", labels=["instance_id"]
    )
    age = GaugeMetricFamily(
        "ocrpool_instance_age_seconds", "Age of an instance", labels=["instance_id"]
    )
    pages = CounterMetricFamily(
        "ocrpool_instance_pages", "Pages that an instance has finished", labels=["instance_id"]
    )
    for instance in state.instances.each:
        held.add_metric([instance.id], instance.memory)
        age.add_metric([instance.id], instance.age_seconds)
        pages.add_metric([instance.id], instance.requests)
    yield from (held, age, pages)


def _gauges(state: State, answer_bytes: int) -> Iterator[Metric]:
    instances = GaugeMetricFamily("ocrpool_instances", "OCR processes by state", labels=["state"])
    for name in ("booting", "idle", "busy", "retiring"):
        count = sum(instance.state == name for instance in state.instances.each)
        instances.add_metric([name], count)
    yield instances
    simple = {
        "ocrpool_instances_target": ("Instances asked for", state.instances.target),
        "ocrpool_instances_ceiling": ("Most that it allows itself", state.instances.ceiling),
        "ocrpool_footprint_bytes": ("Memory of one instance at its peak", state.footprint.bytes),
        "ocrpool_queue_depth": ("Requests that wait", state.queue.depth),
        "ocrpool_queue_pages": ("Pages that wait", state.queue.pages),
        "ocrpool_queue_capacity": ("Requests that may wait", state.queue.capacity),
        "ocrpool_queue_oldest_seconds": ("Age of the oldest", state.queue.oldest_seconds),
        "ocrpool_answer_memory_bytes": ("Memory of answers not yet taken", answer_bytes),
        "ocrpool_ready": ("1 when it serves", int(state.ready)),
    }
    for name, (text, value) in simple.items():
        yield GaugeMetricFamily(name, text, value=value)
    memory = state.device.memory
    if memory is not None:
        family = GaugeMetricFamily(
            "ocrpool_device_memory_bytes", "The device's memory", labels=["kind"]
        )
        for kind in ("total", "used", "free"):
            family.add_metric([kind], getattr(memory, kind))
        yield family
