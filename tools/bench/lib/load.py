"""The load generator of all measurements and tests: clients on an event loop in a thread.

Requests are whole byte strings, made beforehand, so that a client costs little (65 to 120 µs of CPU
a request beside a server on the same two cores) and the thread that owns it has nothing to do.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from tools.bench.lib.http_client import Address, Connection, HttpAnswer

# Longer than any time limit of a worker: a request that hangs becomes a failure of its own.
ANSWER_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """`number`: of the request. `began`, `ended`: seconds since the load began. `status`: 0 where
    no answer came. `error`: what was wrong, empty where the answer was right."""

    number: int
    began: float
    ended: float
    status: int
    error: str = ""

    def __str__(self) -> str:
        return f"{self.began:.2f} s to {self.ended:.2f} s: {self.error or self.status}"


class Load:
    """Sends requests until its `with` block ends, and keeps a record of each.

    Closed loop: each of `clients` sends its next request as soon as its last one is answered.
    Client n begins with request n × `stride` and goes round. With `once` every request is sent one
    time, by the client that is free. With `rate` so many requests a second are sent, whether
    answers come or not.

    `address` is asked before each request. `check` gets the number of a request and the body of
    its 200; it returns what is wrong, or an empty text. `pause`: seconds that a client waits after
    a failure.
    """

    def __init__(
        self,
        address: Callable[[], Address],
        requests: Sequence[bytes],
        *,
        clients: int = 6,
        stride: int = 1,
        once: bool = False,
        rate: float = 0.0,
        keep_alive: bool = True,
        check: Callable[[int, bytes], str] = lambda number, body: "",
        timeout: float = ANSWER_SECONDS,
        pause: float = 0.05,
    ) -> None:
        self._address = address
        self._requests = requests
        self._clients = clients
        self._stride = stride
        self._once = once
        self._rate = rate
        self._keep_alive = keep_alive
        self._check = check
        self._timeout = timeout
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._in_thread, name="load", daemon=True)
        self._crash: BaseException | None = None
        self._idle: list[Connection] = []
        self._start = 0.0
        self.records: list[AnsweredRequest] = []

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop sending and wait for the open requests. Raises what ended the load itself."""
        self._stop.set()
        self._thread.join()
        if self._crash is not None and kind is None:
            raise self._crash

    # -- results -----------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Time since the load began."""
        return time.monotonic() - self._start

    @property
    def failures(self) -> list[AnsweredRequest]:
        return [each for each in self.records if each.error]

    @property
    def answered(self) -> int:
        """Requests with the right answer."""
        return sum(not each.error for each in self.records)

    @property
    def statuses(self) -> Counter[str]:
        """Requests by status; where no answer came, by the name of the error."""
        return Counter(
            str(each.status) if each.status else each.error.partition(":")[0]
            for each in self.records
        )

    @property
    def latencies(self) -> list[float]:
        """Seconds from the first byte sent to the last byte received."""
        return [each.ended - each.began for each in self.records]

    @property
    def per_second(self) -> float:
        """Requests a second, from the first one sent to the last one answered."""
        began = min(each.began for each in self.records)
        return len(self.records) / (max(each.ended for each in self.records) - began)

    def wait_answered(self, count: int = 20, seconds: float = 60) -> None:
        """Wait until so many more requests have the right answer. Raises AssertionError."""
        goal, deadline = self.answered + count, time.monotonic() + seconds
        while self.answered < goal:
            assert self._thread.is_alive(), self._crash
            assert time.monotonic() < deadline, [str(each) for each in self.failures[:5]]
            time.sleep(0.02)

    def wait_sent(self) -> None:
        """Wait until every request of a load with `once` is over."""
        self._thread.join()

    # -- sending -----------------------------------------------------------------------------

    def _in_thread(self) -> None:
        try:
            asyncio.run(self._at_rate() if self._rate else self._in_closed_loop())
        except BaseException as error:
            self._crash = error

    async def _in_closed_loop(self) -> None:
        # An iterator that all clients share: a number is taken by one of them only.
        shared = iter(range(len(self._requests)))
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                own = itertools.count(number * self._stride)
                group.create_task(self._client(shared if self._once else own))

    async def _client(self, numbers: Iterator[int]) -> None:
        connection = Connection(self._address())
        for number in numbers:
            if self._stop.is_set():
                break
            address = self._address()
            if connection.address != address:
                connection.close()
                connection = Connection(address)
            record = await self._send(connection, number % len(self._requests))
            if not self._keep_alive:
                connection.close()
            if record.error:
                await asyncio.sleep(self._pause)
        connection.close()

    async def _at_rate(self) -> None:
        due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                group.create_task(self._send_on_idle(number % len(self._requests)))
                due += 1 / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self._stop.is_set():
                    break
        for connection in self._idle:
            connection.close()

    async def _send_on_idle(self, number: int) -> None:
        """Send on an idle connection that the server has not closed, or on a new one."""
        address = self._address()
        connection = Connection(address)
        while self._idle:
            idle = self._idle.pop()
            if idle.is_open and idle.address == address:
                connection = idle
                break
            idle.close()
        await self._send(connection, number)
        if self._keep_alive and connection.is_open:
            self._idle.append(connection)
        else:
            connection.close()

    async def _send(self, connection: Connection, number: int) -> AnsweredRequest:
        began, status = self.seconds, 0
        try:
            async with asyncio.timeout(self._timeout):
                answer = await connection.exchange(self._requests[number])
        except TimeoutError:
            ended, error = self.seconds, f"TimeoutError: no answer within {self._timeout:g} s"
        except OSError as failure:
            ended, error = self.seconds, f"{type(failure).__name__}: {failure}"
        else:
            ended, status = self.seconds, answer.status
            error = self._wrong_with(number, answer)
        record = AnsweredRequest(number, began, ended, status, error)
        self.records.append(record)
        return record

    def _wrong_with(self, number: int, answer: HttpAnswer) -> str:
        if answer.status != 200:
            return f"{answer.status}: {answer.body[:300].decode(errors='replace')}"
        if answer.extra:
            return f"bytes after the end of the answer: {answer.extra[:100]!r}"
        try:
            return self._check(number, answer.body)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"an answer that cannot be read ({error!r}): {answer.body[:300]!r}"


def generate(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float = 0.0,
    bodies: dict[int, bytes] | None = None,
) -> Load:
    """Run a closed loop against a local server for so many seconds; with 0, send each request once.
    `bodies` receives the body of each 200, by the number of its request. Raises RuntimeError where
    a request failed."""

    def keep(number: int, body: bytes) -> str:
        if bodies is not None:
            bodies[number] = body
        return ""

    load = Load(
        lambda: ("127.0.0.1", port),
        requests,
        clients=clients,
        once=not seconds,
        check=keep,
        timeout=600,
    )
    with load:
        time.sleep(seconds)
        if not seconds:
            load.wait_sent()
    if load.failures:
        raise RuntimeError(f"failed requests: {dict(load.statuses)}; {load.failures[0].error}")
    return load
