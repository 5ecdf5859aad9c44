"""A proxy of real HAProxy before real workers: nothing is lost while workers come, go and die."""

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


def test_rolling_two_workers_under_load_loses_nothing(environment: ProxyEnvironment) -> None:
    """As the operator rolls: a pod is replaced by one of another address, then the other one."""
    proxy = environment.proxy()
    first, second = environment.worker(), environment.worker()
    environment.serve(first, second)
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        serving = [first, second]
        for old in (first, second):
            old.control("POST", "/v1/drain")
            wait_for("the proxy has left it", lambda old=old: old.host not in proxy.sees())
            load.wait_answered()
            old.signal(signal.SIGTERM)
            assert old.ended() == 0
            serving = [each for each in serving if each is not old] + [environment.worker()]
            environment.serve(*serving)
        load.wait_answered()
    assert load.failures == []


def test_sigterm_under_load_loses_nothing(environment: ProxyEnvironment) -> None:
    """A pod that is deleted or evicted: kubelet says SIGTERM, and nobody has told the proxy."""
    proxy = environment.proxy()
    environment.serve(environment.worker(), environment.worker())
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        environment.workers[0].signal(signal.SIGTERM)
        assert environment.workers[0].ended() == 0
        load.wait_answered()
    assert load.failures == []


def test_without_a_lame_duck_what_is_refused_is_sent_elsewhere(
    environment: ProxyEnvironment,
) -> None:
    """Between a worker's refusal and the proxy's next look at it lies half a second."""
    proxy = environment.proxy()
    environment.serve(environment.worker(http={"lameDuckSeconds": 0}), environment.worker())
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        environment.workers[0].control("POST", "/v1/drain")
        load.wait_answered()
    assert load.failures == []
    assert "/v1/ocr" in proxy.tail() or environment.workers[0].counters()["requests"] > 0


def test_sigkill_loses_nothing_that_can_be_sent_again(environment: ProxyEnvironment) -> None:
    proxy = environment.proxy()
    environment.serve(environment.worker(instances=2), environment.worker(instances=2))
    with page_load(lambda: proxy.address) as load:
        load.wait_answered()
        environment.workers[0].until_busy()
        environment.workers[0].signal(signal.SIGKILL)
        load.wait_answered()
    assert load.failures == []


def large(**order: object) -> bytes:
    """A page that is larger than proxy.buffer: bytes after a PNG's end mean nothing."""
    return order_png(**order) + bytes(2 * 2**20)


@pytest.mark.parametrize("path", ["/v1/ocr", "/ocr"])
def test_what_cannot_be_sent_again_fails_cleanly(
    environment: ProxyEnvironment, tmp_path: Path, path: str
) -> None:
    """Only what the dead worker held and the proxy could not keep, and the client is told."""
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
    wait_for("the other one serves", lambda: proxy.post(order_png(say="next")).status == 200)


def assert_clean(answer: Answer, status: int, path: str) -> None:
    """An error in the shape that clients of this path know."""
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
def test_without_workers_it_says_so(environment: ProxyEnvironment, path: str) -> None:
    proxy = environment.proxy()
    assert not proxy.ready
    assert_clean(proxy.post(b"", path), 503, path)
    # Once it has seen a worker it stays ready: its errors are better than a refused connection.
    worker = environment.worker()
    environment.serve(worker)
    wait_for("it is ready", lambda: proxy.ready)
    worker.signal(signal.SIGKILL)
    wait_for("the proxy has left it", lambda: not proxy.sees())
    assert_clean(proxy.post(b"", path), 503, path)
    assert proxy.ready


def test_a_page_that_ends_workers_ends_two_at_most(
    environment: ProxyEnvironment, tmp_path: Path
) -> None:
    """Whole workers die over it, as where the kernel's out-of-memory killer takes all of a pod."""
    proxy = environment.proxy()
    environment.serve(*(environment.worker() for _ in range(3)))
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as pool:
        held = pool.submit(proxy.post, order_png(gate=str(gate)))
        for _ in range(2):
            victims: list[int] = []

            def busy(victims: list[int] = victims) -> bool:
                alive = [each for each in environment.workers if each.process.poll() is None]
                victims[:] = [each.pid for each in alive if each.pids("busy")]
                return bool(victims)

            wait_for("a worker has it", busy)
            [pid] = victims
            os.kill(pid, signal.SIGKILL)
            next(each for each in environment.workers if each.pid == pid).ended()
        answer = held.result()
    assert_clean(answer, 502, "/v1/ocr")
    assert sum(each.process.poll() is None for each in environment.workers) == 1


def test_the_worker_with_the_fewest_is_next(environment: ProxyEnvironment, tmp_path: Path) -> None:
    """One worker is stuck on its first page: it gets no second before the others have as many."""
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


def test_a_full_worker_says_so_itself(environment: ProxyEnvironment, tmp_path: Path) -> None:
    """429 is passed on and not tried elsewhere: the one that said it had the fewest."""
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
def test_it_holds_no_more_than_it_has_memory_for(
    environment: ProxyEnvironment, tmp_path: Path, path: str
) -> None:
    proxy = environment.proxy(proxy={"maxRequests": 2})
    environment.serve(environment.worker())
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as pool:
        held = [pool.submit(proxy.post, order_png(gate=str(gate))) for _ in range(2)]
        environment.workers[0].until(
            "both are there", lambda state: state["counters"]["requests"] == 2
        )
        answer = proxy.post(order_png(), path)
        assert_clean(answer, 429, path)
        assert "proxy.maxRequests" in answer.body.decode()
        gate.touch()
        assert [each.result().status for each in held] == [200, 200]


def test_it_goes_on_without_dns(environment: ProxyEnvironment) -> None:
    proxy = environment.proxy()
    environment.serve(environment.worker(), environment.worker())
    environment.dns.silent = True
    with page_load(lambda: proxy.address) as load:
        load.wait_answered(100)
        environment.workers[0].signal(signal.SIGTERM)
        assert environment.workers[0].ended() == 0
        load.wait_answered()
    assert load.failures == []


def test_a_proxy_that_ends_loses_nothing(environment: ProxyEnvironment) -> None:
    """A proxy is rolled, too. It says that it ends, sends its clients away with their next answer,
    takes what still comes for a while, and finishes what it has."""
    old, new = environment.proxy(), environment.proxy()
    environment.serve(environment.worker(), environment.worker())
    target: list[HaproxyProcess] = [old]
    with page_load(lambda: target[0].address) as load:
        load.wait_answered()
        old.end()
        wait_for("it says so", lambda: not old.ready)
        load.wait_answered()
        target[0] = new
        assert old.process.wait(60) == 0
        load.wait_answered()
    assert load.failures == []


def test_a_client_that_hangs_up_takes_its_request_with_it(
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
    worker.until("it is dropped", lambda state: state["counters"]["cancelled"] == 1)
    (tmp_path / "gate").touch()


def test_it_tells_its_metrics(environment: ProxyEnvironment) -> None:
    proxy = environment.proxy()
    environment.serve(environment.worker())
    assert proxy.post(order_png()).status == 200
    text = proxy.ops("/metrics").body.decode()
    assert 'haproxy_backend_http_responses_total{proxy="workers",code="2xx"} 1' in text
