"""A steady load: clients that keep their connections and each send one page after another."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.fake_engine import order_png


class Load:
    """Use as a context manager: it runs until the block ends. `failures` tells every request that
    was not answered with 200, `done` counts those that were."""

    def __init__(
        self, address: Callable[[], str], *, clients: int = 6, path: str = "/v1/ocr", **order: Any
    ) -> None:
        self._address = address
        self._path = path
        self._body = order_png(**{"sleep": 0.05, **order})
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        self.done = 0
        self.failures: list[str] = []
        self.slowest = 0.0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def some(self, count: int = 20) -> None:
        """Wait until so many more were answered."""
        goal, deadline = self.done + count, time.monotonic() + 60
        while self.done < goal:
            assert time.monotonic() < deadline, self.failures[:5]
            time.sleep(0.02)

    def _run(self) -> None:
        while not self._stop.is_set():
            address = self._address()
            with contextlib.closing(
                http.client.HTTPConnection(address, 8080, timeout=60)
            ) as connection:
                while address == self._address() and not self._stop.is_set():
                    self._one(connection)
                    if connection.sock is None:
                        break  # the server said that it closes it

    def _one(self, connection: http.client.HTTPConnection) -> None:
        began = time.monotonic()
        try:
            connection.request("POST", self._path, body=self._body)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        self.slowest = max(self.slowest, time.monotonic() - began)
        if response.status == 200:
            self.done += 1
        else:
            self.failures.append(f"{response.status}: {body[:300]!r}")
