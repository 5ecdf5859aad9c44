"""Behind a proxy, workers distinguish clients: one client cannot use all the memory for bodies."""

from __future__ import annotations

import http.client
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.proxy.haproxy import PORT, SECRET, HaproxyProcess, ProxyEnvironment
from tests.worker.client import Answer, wait_for

pytestmark = pytest.mark.timeout(120)

SIZE = 90_000
# One client may have three bodies in memory, all clients together six.
LIMITS = {"maxBody": 100_000, "bodyMemory": 640_000}


def send(proxy: HaproxyProcess, client: str, body: bytes, header: str | None = None) -> Answer:
    connection = http.client.HTTPConnection(
        proxy.address, PORT, timeout=60, source_address=(client, 0)
    )
    try:
        headers = {} if header is None else {"X-Ocrpool-Client": header}
        connection.request("POST", "/v1/ocr", body, headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def page(say: str, gate: Path | None = None) -> bytes:
    order = order_png(say=say) if gate is None else order_png(say=say, gate=str(gate))
    return order + bytes(SIZE - len(order))


@pytest.mark.parametrize("header", [None, "192.0.2.1", f"192.0.2.1 {SECRET}", "192.0.2.1 x"])
def test_a_client_over_its_share_is_refused_and_another_is_served(
    environment: ProxyEnvironment, tmp_path: Path, header: str | None
) -> None:
    """Headers of the client itself do not count: the proxy names the client."""
    gate, secret = tmp_path / "gate", tmp_path / "secret"
    secret.write_text(SECRET)
    proxy = environment.proxy()
    worker = environment.worker(admission=LIMITS, http={"proxySecretFile": str(secret)})
    environment.serve(worker)
    with ThreadPoolExecutor(8) as threads:
        held: list[Future[Answer]] = [
            threads.submit(send, proxy, "127.0.0.2", page(str(number), gate), header)
            for number in range(3)
        ]
        try:
            worker.until("they are in memory", lambda state: state["queue"]["depth"] == 2)
            refused = send(proxy, "127.0.0.2", page("over the share"), header)
            assert (refused.status, refused.reason) == (429, "QueueFull"), refused
            assert "admission.clientShare" in refused.message
            other = threads.submit(send, proxy, "127.0.0.3", page("other"), header)
            worker.until("the other one is accepted", lambda state: state["queue"]["depth"] == 3)
        finally:
            gate.touch()
        assert [each.result().text for each in held] == ["0", "1", "2"]
        assert other.result().text == "other"
        last = wait_for(
            "there is memory again",
            lambda: (found := send(proxy, "127.0.0.2", page("last"))).status == 200 and found,
        )
        assert last.text == "last"
