"""`GET /metrics`: what Prometheus scrapes, in base units, names with `ocrpool_`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ocrpool_wire import State
from ocrpool_worker.supervisor.pool import Pool

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)

_COUNTERS = {
    "requests": "Requests accepted",
    "answered": "Accepted requests answered with text",
    "failed": "Accepted requests answered with an error",
    "cancelled": "Accepted requests whose client had gone",
    "refused": "Requests refused at admission",
    "rejected": "Requests refused because the queue was full",
    "pages": "Pages read",
    "page_seconds": "Seconds that instances spent on pages",
    "retried": "Pages put back after their instance failed",
    "poisoned": "Requests that cost two instances",
    "timeouts": "Requests without an answer in time",
    "deaths": "Instances that died or were killed",
    "out_of_memory": "Times that memory ran out for an instance",
    "device_errors": "Pages on which the device failed",
    "braked": "Instances given up because memory was critically low",
    "recycled": "Instances replaced by rule",
    "boots": "Instances that became ready",
    "boot_failures": "Instances that failed to boot",
}


class Metrics:
    """One registry a worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.responses = Counter(
            "ocrpool_http_responses",
            "Responses of the data port",
            ["endpoint", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "ocrpool_http_request_seconds",
            "Seconds from a request's headers to its response",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._waited = Histogram(
            "ocrpool_queue_wait_seconds",
            "Seconds that a page waited for an instance",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._took = Histogram(
            "ocrpool_page_duration_seconds",
            "Seconds that an instance spent on a page",
            buckets=_SECONDS,
            registry=self._registry,
        )

        self.cut_off = Counter(
            "ocrpool_http_clients_cut_off",
            "Clients cut off because they did not take their answers (http.takeSeconds)",
            registry=self._registry,
        )

    def on_page(self, waited: float, took: float) -> None:
        """A page was read; both in seconds."""
        self._waited.observe(waited)
        self._took.observe(took)

    def watch(self, pool: Pool) -> None:
        """Also report the pool's state at every scrape."""
        self._registry.register(_StateCollector(pool))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class _StateCollector(Collector):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        state = self._pool.state()
        yield from _gauges(state, self._pool.answer_bytes)
        yield from _by_instance(state)
        text = "Memory of the device that is never planned for"
        reserve = self._pool.settings.memory.reserve
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
