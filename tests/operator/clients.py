"""Clients of a pool, for tests: a steady number of pages a second to whatever the Service selects.

A stand-in for kube-proxy: every request goes to a pod at random among those that are ready and have
the label that the Service selects; a refused connection or a 503 is tried again on another one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.fake_engine import order_png
from tests.operator.harness import OperatorHarness


def read_page(ip: str) -> str:
    """The text that the worker or proxy at `ip` reads on a page that says hello."""
    request = urllib.request.Request(
        f"http://{ip}:8080/v1/ocr",
        data=order_png(say="hello"),
        headers={"Content-Type": "image/png"},
    )
    with urllib.request.urlopen(request, timeout=15) as response:
        return str(json.loads(response.read())["pages"][0]["lines"][0]["text"])


class Clients:
    """Use as a context manager; `answers` counts what came back, by status."""

    def __init__(self, harness: OperatorHarness, *, rate: float, seconds: float) -> None:
        """`rate`: pages per second; `seconds`: what one page takes."""
        self._harness = harness
        self._rate = rate
        self._body = order_png(say="read", sleep=seconds)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(64)
        self._threads = [
            threading.Thread(target=each, daemon=True) for each in (self._look, self._send)
        ]
        self._addresses: list[str] = []
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()

    def __enter__(self) -> Clients:
        self._addresses = self._endpoints()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown(wait=True)

    def _endpoints(self) -> list[str]:
        found = []
        for pod in self._harness.pods().values():
            labels = pod["metadata"].get("labels", {})
            conditions = pod["status"].get("conditions", ())
            ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
            if ready and labels.get("ocrpool.dev/serving") == "true":
                found.append(pod["status"]["podIP"])
        return found

    def _look(self) -> None:
        while not self._stop.wait(0.2):
            with contextlib.suppress(OSError):
                self._addresses = self._endpoints()

    def _send(self) -> None:
        following = time.monotonic()
        while not self._stop.is_set():
            self._pool.submit(self._one)
            following += 1 / self._rate
            time.sleep(max(0.0, following - time.monotonic()))

    def _one(self) -> None:
        said = "no worker"
        for _ in range(20):
            try:
                said = self._try(random.choice(self._addresses))
            except (OSError, IndexError, http.client.HTTPException) as error:
                said = type(error).__name__
                if not isinstance(error, ConnectionRefusedError | IndexError):
                    break  # it was accepted, and lost
            if said not in ("503", "429", "ConnectionRefusedError", "IndexError"):
                break
            time.sleep(0.1)
        with self._lock:
            self.answers[said] += 1

    def _try(self, address: str) -> str:
        connection = http.client.HTTPConnection(address, 8080, timeout=60)
        try:
            connection.request("POST", "/v1/ocr", self._body, {"Content-Type": "image/png"})
            response = connection.getresponse()
            response.read()
            return str(response.status)
        finally:
            connection.close()
