"""`GET /metrics` in Prometheus' text format. The tables below hold every metric of a worker.

To add a metric:

- a number from `GET /v1/state`: add a line to `GAUGES`;
- a counter: add a field to `Counters` in `ocrpool.protocol`, a line to `COUNTERS`, and count with
  `counters["name"] += 1` in the supervisor;
- a value with a label: add a line to `LABELLED`, and its values in `_labelled`;
- a duration: add a line to `DURATIONS`, and call its `add` where the time is measured.

Names begin with `ocrpool_` and use base units (seconds, bytes). Its test
is `tests/worker/test_http_control.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
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

# Name → help, and how to read the value from the state and the supervisor.
GAUGES: dict[str, tuple[str, Callable[[State, Supervisor], float]]] = {
    "ocrpool_ready": ("1 when the worker serves", lambda state, _: state.ready),
    "ocrpool_instances_target": (
        "Instances that were asked for",
        lambda state, _: state.instances.target,
    ),
    "ocrpool_instances_ceiling": (
        "Most instances that the worker allows itself",
        lambda state, _: state.instances.ceiling,
    ),
    "ocrpool_footprint_bytes": (
        "Memory of one instance at its peak",
        lambda state, _: state.footprint.bytes,
    ),
    "ocrpool_queue_depth": ("Requests that wait", lambda state, _: state.queue.depth),
    "ocrpool_queue_pages": ("Pages that wait", lambda state, _: state.queue.pages),
    "ocrpool_queue_capacity": ("Requests that may wait", lambda state, _: state.queue.capacity),
    "ocrpool_queue_oldest_seconds": (
        "Age of the oldest request that waits",
        lambda state, _: state.queue.oldest_seconds,
    ),
    "ocrpool_answer_memory_bytes": (
        "Memory of answers that clients have not taken yet",
        lambda _, supervisor: supervisor.answer_bytes,
    ),
    "ocrpool_memory_reserve_bytes": (
        "Memory of the device that is kept free",
        lambda _, supervisor: supervisor.settings.memory.reserve,
    ),
}

# Field of `Counters` → help. The metric is `ocrpool_FIELD_total`.
COUNTERS = {
    "requests": "Requests accepted",
    "answered": "Accepted requests answered with text",
    "failed": "Accepted requests answered with an error",
    "cancelled": "Accepted requests whose client disconnected",
    "refused": "Requests refused at admission",
    "rejected": "Requests refused because the queue was full",
    "pages": "Pages read",
    "unread": "Pages of documents that could not be read",
    "page_seconds": "Seconds that instances spent on pages",
    "retried": "Pages queued again after their instance failed",
    "poisoned": "Requests that ended two instances",
    "timeouts": "Requests not answered in time",
    "deaths": "Instances that exited or were killed",
    "killed": "Instances ended by a signal from outside, starting ones included",
    "out_of_memory": "Times that an instance ran out of memory",
    "device_errors": "Pages on which the device failed",
    "memory_guard_stops": "Instances stopped because device memory was critically low",
    "recycled": "Instances replaced by a recycling rule",
    "boots": "Instances that became ready",
    "boot_failures": "Instances that failed to start",
}

# Name → kind, help and label. `_labelled` gives the values.
LABELLED: dict[str, tuple[type[GaugeMetricFamily] | type[CounterMetricFamily], str, str]] = {
    "ocrpool_instances": (GaugeMetricFamily, "Instances by state", "state"),
    "ocrpool_instance_memory_bytes": (
        GaugeMetricFamily,
        "Memory that an instance holds",
        "instance_id",
    ),
    "ocrpool_instance_age_seconds": (GaugeMetricFamily, "Age of an instance", "instance_id"),
    "ocrpool_instance_pages": (
        CounterMetricFamily,
        "Pages that an instance has finished",
        "instance_id",
    ),
    "ocrpool_device_memory_bytes": (GaugeMetricFamily, "Memory of the device", "kind"),
}

# Name → help and label, "" for no label. Upper bounds of all buckets: `_BUCKETS`, in seconds.
DURATIONS = {
    "ocrpool_http_request_seconds": (
        "Seconds from a request's headers to its response, on the data port",
        "endpoint",
    ),
    "ocrpool_queue_wait_seconds": ("Seconds that a page waited for an instance", ""),
    "ocrpool_page_duration_seconds": ("Seconds that an instance spent on a page", ""),
}
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)


class WorkerMetrics:
    """All metrics of one worker, in one registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._responses: dict[tuple[str, int], int] = {}
        self._durations = {
            name: SecondsHistogram(name, text, label) for name, (text, label) in DURATIONS.items()
        }
        self._request_seconds, self._queue_wait, self._page_duration = self._durations.values()
        self._registry.register(_RequestCollector(self))
        self.cut_off = Counter(
            "ocrpool_http_clients_cut_off",
            "Connections closed because the client did not take its answer (http.takeSeconds)",
            registry=self._registry,
        )

    def observe_response(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one response of the data port."""
        key = endpoint, status
        self._responses[key] = self._responses.get(key, 0) + 1
        self._request_seconds.add(seconds, endpoint)

    def observe_page(self, waited: float, took: float) -> None:
        """Count one page that was read. Both arguments are in seconds."""
        self._queue_wait.add(waited)
        self._page_duration.add(took)

    def collect(self) -> Iterator[Metric]:
        """The metrics that are counted here, for one scrape."""
        responses = CounterMetricFamily(
            "ocrpool_http_responses", "Responses of the data port", labels=["endpoint", "status"]
        )
        for (endpoint, status), count in sorted(self._responses.items()):
            responses.add_metric([endpoint, str(status)], count)
        yield responses
        for duration in self._durations.values():
            yield duration.family()

    def watch(self, supervisor: Supervisor) -> None:
        """Also report the supervisor's state at every scrape."""
        self._registry.register(_StateCollector(supervisor))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class SecondsHistogram:
    """A histogram of seconds with one label or none.

    Adding a value only counts; the buckets are built at a scrape. The histogram of the client
    library takes a lock and makes several calls for each value.
    """

    def __init__(self, name: str, text: str, label: str = "") -> None:
        self._name, self._text, self._label = name, text, label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        if not label:
            self._counts_of("")

    def add(self, seconds: float, label: str = "") -> None:
        counts = self._counts.get(label) or self._counts_of(label)
        counts[bisect_left(_BUCKETS, seconds)] += 1
        self._sums[label] += seconds

    def family(self) -> HistogramMetricFamily:
        labels = [self._label] if self._label else []
        family = HistogramMetricFamily(self._name, self._text, labels=labels)
        edges = [*map(floatToGoString, _BUCKETS), "+Inf"]
        for label, counts in sorted(self._counts.items()):
            buckets = list(zip(edges, accumulate(counts), strict=True))
            family.add_metric([label] if labels else [], buckets, self._sums[label])
        return family

    def _counts_of(self, label: str) -> list[int]:
        self._sums[label] = 0.0
        return self._counts.setdefault(label, [0] * (len(_BUCKETS) + 1))


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
        for name, (text, value_of) in GAUGES.items():
            yield GaugeMetricFamily(name, text, value=value_of(state, self._supervisor))
        values = _labelled(state)
        for name, (kind, text, label) in LABELLED.items():
            if name not in values:
                continue
            family = kind(name, text, labels=[label])
            for label_value, value in values[name]:
                family.add_metric([label_value], value)
            yield family
        counters = state.counters.model_dump()
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"ocrpool_{name}", text, value=counters[name])

    def describe(self) -> list[Metric]:
        return []


def _labelled(state: State) -> dict[str, list[tuple[str, float]]]:
    """Metric of LABELLED → its (label, value) pairs. An instance's id is never given to another.

    A device that does not answer has no memory to report, and its metric is left out.
    """
    each = state.instances.each
    values: dict[str, list[tuple[str, float]]] = {
        "ocrpool_instances": [
            (name, sum(instance.state == name for instance in each))
            for name in ("booting", "idle", "busy", "retiring")
        ],
        "ocrpool_instance_memory_bytes": [(one.id, one.memory) for one in each],
        "ocrpool_instance_age_seconds": [(one.id, one.age_seconds) for one in each],
        "ocrpool_instance_pages": [(one.id, one.requests) for one in each],
    }
    memory = state.device.memory
    if memory is not None:
        values["ocrpool_device_memory_bytes"] = [*memory.model_dump().items()]
    return values
