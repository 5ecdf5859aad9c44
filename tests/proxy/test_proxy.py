"""Real HAProxy in front of real workers: no request fails while workers start, drain and exit."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.proxy.haproxy import HaproxyProcess, ProxyEnvironment
from tests.proxy.load import page_load
from tests.worker.client import Answer, wait_for

pytestmark = pytest.mark.timeout(120)


def test_rolling_two_workers_under_load_fails_no_request(environment: ProxyEnvironment) -> None:
    """As the operator rolls: one pod after the other is replaced by a pod with another address."""
    proxy = environment.proxy()
    first, second = environment.worker(), environment.worker()
    environment.serve(first, second)
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        serving = [first, second]
        for old in (first, second):
            old.control("POST", "/v1/drain")
            wait_for(
                "the proxy no longer uses it", lambda old=old: old.host not in proxy.used_workers()
            )
            load.wait_answered()
            old.signal(signal.SIGTERM)
            assert old.ended() == 0
            serving = [each for each in serving if each is not old] + [environment.worker()]
            environment.serve(*serving)
        load.wait_answered()
    assert load.failures == []


def test_sigterm_under_load_fails_no_request(environment: ProxyEnvironment) -> None:
    """A pod is deleted or evicted: kubelet sends SIGTERM, and the proxy does not know before."""
    proxy = environment.proxy()
    environment.serve(environment.worker(), environment.worker())
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        environment.workers[0].signal(signal.SIGTERM)
        assert environment.workers[0].ended() == 0
        load.wait_answered()
    assert load.failures == []


def test_without_a_lame_duck_period_refused_requests_go_to_another_worker(
    environment: ProxyEnvironment,
) -> None:
    """The proxy checks a worker every half second, so it still sends to one that refuses."""
    proxy = environment.proxy()
    environment.serve(environment.worker(http={"lameDuckSeconds": 0}), environment.worker())
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        environment.workers[0].control("POST", "/v1/drain")
        load.wait_answered()
    assert load.failures == []
    assert "/v1/ocr" in proxy.tail() or environment.workers[0].counters()["requests"] > 0


def test_sigkill_fails_no_request_that_fits_into_the_buffer(environment: ProxyEnvironment) -> None:
    proxy = environment.proxy()
    environment.serve(environment.worker(instances=2), environment.worker(instances=2))
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        environment.workers[0].until_busy()
        environment.workers[0].signal(signal.SIGKILL)
        load.wait_answered()
    assert load.failures == []


def large(**order: object) -> bytes:
    """A page that is larger than proxy.buffer. Bytes after the end of a PNG are ignored."""
    return order_png(**order) + bytes(2 * 2**20)


@pytest.mark.parametrize("path", ["/v1/ocr", "/ocr"])
def test_a_request_above_the_buffer_fails_with_an_error_in_the_clients_format(
    environment: ProxyEnvironment, tmp_path: Path, path: str
) -> None:
    """Only requests of the killed worker that the proxy could not buffer fail, with a reason."""
    proxy = environment.proxy()
    worker = environment.worker()
    environment.serve(worker)
    gate = tmp_path / "gate"
    body = large(gate=str(gate))
    if path == "/ocr":
        body = json.dumps({"file": base64.b64encode(body).decode()}).encode()
    with ThreadPoolExecutor() as pool:
        held = pool.submit(proxy.post, body, path)
        worker.until_busy()
        other = environment.worker()
        environment.serve(worker, other)
        worker.signal(signal.SIGKILL)
        answer = held.result()
    assert_clean(answer, 502, path)
    assert "proxy.buffer" in answer.body.decode()
    wait_for("the other worker serves", lambda: proxy.post(order_png(say="next")).status == 200)


def assert_clean(answer: Answer, status: int, path: str) -> None:
    """An error in the format of this endpoint."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["retry-after"] == "1"
    body = answer.json
    if path == "/ocr":
        assert set(body) == {"logId", "errorCode", "errorMsg"}, body
        assert body["errorCode"] == status
        assert len(body["logId"]) == 36
    else:
        assert set(body) == {"error"}, body
        assert set(body["error"]) == {"status", "reason", "message"}
        assert body["error"]["status"] == status


@pytest.mark.parametrize("path", ["/v1/ocr", "/ocr"])
def test_without_workers_it_answers_503_and_is_unready_until_the_first_one(
    environment: ProxyEnvironment, path: str
) -> None:
    proxy = environment.proxy()
    assert not proxy.ready
    assert_clean(proxy.post(b"", path), 503, path)
    # After its first worker it stays ready: its errors are better than a refused connection.
    worker = environment.worker()
    environment.serve(worker)
    wait_for("it is ready", lambda: proxy.ready)
    worker.signal(signal.SIGKILL)
    wait_for("the proxy no longer uses it", lambda: not proxy.used_workers())
    assert_clean(proxy.post(b"", path), 503, path)
    assert proxy.ready


def test_a_page_that_kills_workers_kills_two_at_most(
    environment: ProxyEnvironment, tmp_path: Path
) -> None:
    """Whole workers are killed, as when the kernel's out-of-memory killer ends a whole pod."""
    proxy = environment.proxy()
    environment.serve(*(environment.worker() for _ in range(3)))
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as pool:
        held = pool.submit(proxy.post, order_png(gate=str(gate)))
        for _ in range(2):
            busy_workers: list[int] = []

            def busy(busy_workers: list[int] = busy_workers) -> bool:
                alive = [each for each in environment.workers if each.process.poll() is None]
                busy_workers[:] = [each.pid for each in alive if each.pids("busy")]
                return bool(busy_workers)

            wait_for("a worker has it", busy)
            [pid] = busy_workers
            os.kill(pid, signal.SIGKILL)
            next(each for each in environment.workers if each.pid == pid).ended()
        answer = held.result()
    assert_clean(answer, 502, "/v1/ocr")
    assert sum(each.process.poll() is None for each in environment.workers) == 1


def test_the_worker_with_the_fewest_requests_gets_the_next_one(
    environment: ProxyEnvironment, tmp_path: Path
) -> None:
    """A worker that hangs on its first page gets no second one while another worker is free."""
    proxy = environment.proxy()
    stuck, free = environment.worker(), environment.worker()
    environment.serve(stuck, free)
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as pool:
        first = pool.submit(proxy.post, order_png(gate=str(gate)))
        wait_for("it is read", lambda: stuck.pids("busy") or free.pids("busy"))
        if free.pids("busy"):
            stuck, free = free, stuck
        for number in range(10):
            assert proxy.post(order_png(say=str(number))).status == 200
            time.sleep(0.1)  # HAProxy counts a request for a moment after its client has all of it
        assert stuck.counters()["requests"] == 1
        assert free.counters()["requests"] == 10
        gate.touch()
        assert first.result().status == 200


def test_429_of_a_worker_is_passed_on(environment: ProxyEnvironment, tmp_path: Path) -> None:
    """It is not sent to another worker: the one that answered had the fewest requests."""
    proxy = environment.proxy()
    environment.serve(environment.worker(admission={"queue": 0}))
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as pool:
        held = pool.submit(proxy.post, order_png(gate=str(gate)))
        environment.workers[0].until_busy()
        answer = proxy.post(order_png())
        assert (answer.status, answer.reason) == (429, "QueueFull")
        assert "admission.queue" in answer.message
        gate.touch()
        assert held.result().status == 200


@pytest.mark.parametrize("path", ["/v1/ocr", "/ocr"])
def test_requests_above_max_requests_get_429(
    environment: ProxyEnvironment, tmp_path: Path, path: str
) -> None:
    proxy = environment.proxy(proxy={"maxRequests": 2})
    environment.serve(environment.worker())
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as pool:
        held = [pool.submit(proxy.post, order_png(gate=str(gate))) for _ in range(2)]
        environment.workers[0].until(
            "both have arrived", lambda state: state["counters"]["requests"] == 2
        )
        answer = proxy.post(order_png(), path)
        assert_clean(answer, 429, path)
        assert "proxy.maxRequests" in answer.body.decode()
        gate.touch()
        assert [each.result().status for each in held] == [200, 200]


def test_it_keeps_its_workers_while_dns_is_silent(environment: ProxyEnvironment) -> None:
    proxy = environment.proxy()
    environment.serve(environment.worker(), environment.worker())
    environment.dns.silent = True
    with page_load(lambda: proxy.address) as load:
        load.wait_answered(100)
        environment.workers[0].signal(signal.SIGTERM)
        assert environment.workers[0].ended() == 0
        load.wait_answered()
    assert load.failures == []


def test_a_proxy_that_ends_fails_no_request(environment: ProxyEnvironment) -> None:
    """A proxy is rolled, too. It becomes unready, closes each connection with its next answer,
    accepts requests for a while, and finishes those it has."""
    old, new = environment.proxy(), environment.proxy()
    environment.serve(environment.worker(), environment.worker())
    target: list[HaproxyProcess] = [old]
    with page_load(lambda: target[0].address) as load:
        load.wait_answered()
        old.end()
        wait_for("it is unready", lambda: not old.ready)
        load.wait_answered()
        target[0] = new
        assert old.process.wait(60) == 0
        load.wait_answered()
    assert load.failures == []


def test_a_client_that_disconnects_cancels_its_request(
    environment: ProxyEnvironment, tmp_path: Path
) -> None:
    proxy = environment.proxy()
    worker = environment.worker()
    environment.serve(worker)
    body = order_png(gate=str(tmp_path / "gate"))
    with socket.create_connection((proxy.address, 8080)) as client:
        head = f"POST /v1/ocr HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        worker.until_busy()
    worker.until("it is cancelled", lambda state: state["counters"]["cancelled"] == 1)
    (tmp_path / "gate").touch()


def test_it_serves_its_metrics(environment: ProxyEnvironment) -> None:
    proxy = environment.proxy()
    environment.serve(environment.worker())
    assert proxy.post(order_png()).status == 200
    text = proxy.ops("/metrics").body.decode()
    assert 'haproxy_backend_http_responses_total{proxy="workers",code="2xx"} 1' in text
