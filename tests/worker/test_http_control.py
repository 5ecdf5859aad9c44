"""The control port: errors for invalid requests, probes and metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.worker.calls import call
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {"memory": {"reserve": "1Mi"}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


def put(worker: Worker, body: str) -> Answer:
    return call(worker.control_port, "PUT", "/v1/instances", body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "target"),
        ('{"target": -1}', "target"),
        ('{"target": 5}', "target"),
        ('{"target": 1.5}', "target"),
        ('{"target": "2"}', "target"),
        ('{"target": true}', "target"),
        ('{"target": null}', "target"),
        ('{"target": 1e99}', "target"),
        ('{"target": 1, "force": true}', "force"),
    ],
)
def test_a_wrong_target_is_422_and_named(worker: Worker, body: str, field: str) -> None:
    before = worker.state()["instances"]["target"]
    answer = put(worker, body)
    assert answer.status == 422, answer
    assert answer.json["error"]["field"] == field
    assert worker.state()["instances"]["target"] == before


@pytest.mark.parametrize("body", ["", "{", "[]", "3", "null", "\ud800"])
def test_an_invalid_target_is_422_with_an_example(worker: Worker, body: str) -> None:
    answer = call(
        worker.control_port, "PUT", "/v1/instances", body.encode("utf-8", "surrogatepass")
    )
    assert (answer.status, answer.reason) == (422, "BadRequest")
    assert '{"target": n}' in answer.message


def test_the_limit_of_instances_is_told(worker: Worker) -> None:
    answer = put(worker, '{"target": 9}')
    assert "instances.max" in answer.message
    assert "0 to 4" in answer.message


def test_a_huge_body_is_413(worker: Worker) -> None:
    answer = put(worker, " " * 100_000)
    assert answer.status == 413
    assert answer.json["error"]["status"] == 413


def test_an_unknown_path_is_404_with_the_endpoints(worker: Worker) -> None:
    answer = call(worker.control_port, "GET", "/v1/status")
    assert (answer.status, answer.reason) == (404, "NotFound")
    assert "/v1/state" in answer.message
    assert "/ocr" not in answer.message


def test_other_methods_are_405(worker: Worker) -> None:
    answer = call(worker.control_port, "POST", "/v1/instances")
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")
    assert answer.headers["Allow"] == "PUT"


def test_probes(worker: Worker) -> None:
    for path in ("/livez", "/readyz"):
        answer = call(worker.control_port, "GET", path)
        assert (answer.status, answer.body) == (200, b"ok\n")


def samples(worker: Worker) -> dict[str, float]:
    """`name{label=value,…}` → value, of every sample of `/metrics`."""
    answer = call(worker.control_port, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.name.startswith("ocrpool_"), family
        assert family.documentation, family
        assert family.type in ("counter", "gauge", "histogram"), family
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}"
            assert name not in found, name
            found[name] = sample.value
    return found


def test_metrics_agree_with_the_state(worker: Worker) -> None:
    before = samples(worker)
    for _ in range(3):
        assert worker.read(say="x").status == 200
    assert worker.post(b"no image").status == 422
    found, state = samples(worker), worker.state()
    counters = state["counters"]
    for name, value in counters.items():
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        assert found[f"ocrpool_{snake}_total{{}}"] == pytest.approx(value), name
    assert found["ocrpool_pages_total{}"] - before["ocrpool_pages_total{}"] == 3
    labels = "endpoint=/v1/ocr,status"
    for status, more in (("200", 3), ("422", 1)):
        name = f"ocrpool_http_responses_total{{{labels}={status}}}"
        assert found[name] - before.get(name, 0) == more
    assert found["ocrpool_instances{state=idle}"] == 1
    assert found["ocrpool_instances_target{}"] == state["instances"]["target"]
    assert found["ocrpool_footprint_bytes{}"] == state["footprint"]["bytes"] > 0
    assert found["ocrpool_ready{}"] == 1
    total = found["ocrpool_device_memory_bytes{kind=total}"]
    assert total == state["device"]["memory"]["total"]
    assert found["ocrpool_memory_reserve_bytes{}"] == 2**20
    (each,) = state["instances"]["each"]
    assert found[f"ocrpool_instance_pages_total{{instance_id={each['id']}}}"] == each["requests"]
    assert found[f"ocrpool_instance_memory_bytes{{instance_id={each['id']}}}"] > 0
    assert found[f"ocrpool_instance_age_seconds{{instance_id={each['id']}}}"] > 0
    name = "ocrpool_page_duration_seconds_count{}"
    assert found[name] - before[name] == 3


def test_a_path_of_a_client_never_becomes_a_label(worker: Worker) -> None:
    before = set(samples(worker))
    for number in range(5):
        call(worker.port, "GET", f"/made/up/{number}")
    fresh = set(samples(worker)) - before
    assert all("endpoint=other" in name for name in fresh), fresh
