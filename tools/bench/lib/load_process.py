"""The load generator: a process of its own that costs as little as it can.

Requests are bytes made beforehand, one kept-alive connection a client, and of an answer only the
status and Content-Length are looked at. `python -m tools.bench.lib.load_process PLAN` reads a plan
(JSON, see
`LoadPlan`) and writes a result (JSON, see `LoadResult`) to stdout.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools.bench.lib.servers import ROOT

TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class LoadPlan:
    """`requests`: files that each hold one whole HTTP request.

    With `seconds` 0 each request is sent once, by whichever client is free; otherwise clients go
    round the requests and send no more when the time is up.
    `answers`: a folder for the bodies of the answers, as `<number of the request>`; "" keeps none.
    """

    port: int
    clients: int
    requests: tuple[str, ...]
    seconds: float = 0.0
    answers: str = ""


@dataclass
class LoadResult:
    """`latencies` in seconds, from the first byte sent to the last byte received, as they came.
    `statuses`: HTTP status → how many. `broken`: connections that ended within an answer.
    `complaint`: the first answer other than 200, shortened."""

    elapsed: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    complaint: str = ""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.elapsed

    @property
    def failures(self) -> int:
        return self.broken + sum(n for status, n in self.statuses.items() if status != "200")


def http_request(path: str, body: bytes, content_type: str) -> bytes:
    """One whole HTTP/1.1 POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def generate(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float = 0.0,
    answers: Path | None = None,
) -> LoadResult:
    """Run a load in a process of its own. Raises RuntimeError where the generator itself fails."""
    with tempfile.TemporaryDirectory(prefix="ocrpool-load-") as folder:
        files = []
        for number, request in enumerate(requests):
            file = Path(folder) / f"{number}.http"
            file.write_bytes(request)
            files.append(str(file))
        plan = LoadPlan(port, clients, tuple(files), seconds, str(answers or ""))
        plan_file = Path(folder) / "plan.json"
        plan_file.write_text(json.dumps(asdict(plan)))
        command = [sys.executable, "-m", "tools.bench.lib.load_process", str(plan_file)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, check=False, timeout=TIMEOUT_SECONDS + seconds
        )
    if done.returncode != 0:
        raise RuntimeError(f"load generator: {done.stderr.decode(errors='replace')[-2000:]}")
    return LoadResult(**json.loads(done.stdout))


class _Client(asyncio.Protocol):
    """One connection that sends the next request as soon as the last one is answered."""

    def __init__(self, run: _LoadRun) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._missing = -1  # bytes of the body to come; -1 while the head is being read
        self._number = -1
        self._sent = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._missing < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            _, _, rest = head.partition(b"content-length:")
            if not rest:
                self._run.broken(f"no Content-Length in {head!r}")
                self.close()
                return
            self._missing = int(rest.partition(b"\r\n")[0])
            self._status = head[9:12].decode()
            del self._received[: end + 4]
        if len(self._received) >= self._missing:
            body = bytes(self._received[: self._missing])
            self._run.answered(self._number, self._status, body, self._sent)
            self._received.clear()
            self._missing = -1
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._run.broken("connection lost")
            self.done.set_result(None)

    def close(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()

    def _next(self) -> None:
        found = next(self._run.work, None)
        if found is None:
            self.close()
            return
        assert self._transport is not None
        self._number, request = found
        self._sent = time.perf_counter()
        self._transport.write(request)


class _LoadRun:
    """What all clients share: the requests still to be sent, and what came back."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._requests = [Path(file).read_bytes() for file in plan.requests]
        self._statuses: Counter[str] = Counter()
        self._last = 0.0
        self.result = LoadResult()
        self.work = self._work()

    def _work(self) -> Iterator[tuple[int, bytes]]:
        # The index is taken before the request is sent, so two clients never share one.
        start = time.perf_counter()
        while True:
            for number, request in enumerate(self._requests):
                if self._plan.seconds and time.perf_counter() - start > self._plan.seconds:
                    return
                yield number, request
            if not self._plan.seconds:
                return

    def answered(self, number: int, status: str, body: bytes, sent: float) -> None:
        now = self._last = time.perf_counter()
        self._statuses[status] += 1
        self.result.latencies.append(now - sent)
        if status != "200" and not self.result.complaint:
            self.result.complaint = body[:500].decode(errors="replace")
        if self._plan.answers:
            (Path(self._plan.answers) / str(number)).write_bytes(body)

    def broken(self, why: str) -> None:
        print(why, file=sys.stderr)
        self.result.broken += 1

    async def run(self) -> LoadResult:
        loop = asyncio.get_running_loop()
        start = time.perf_counter()
        clients = []
        for _ in range(self._plan.clients):
            _, client = await loop.create_connection(
                lambda: _Client(self), "127.0.0.1", self._plan.port
            )
            clients.append(client)
        await asyncio.gather(*(client.done for client in clients))
        self.result.elapsed = self._last - start
        self.result.statuses = dict(self._statuses)
        return self.result


def main() -> None:
    plan = LoadPlan(**json.loads(Path(sys.argv[1]).read_text()))
    json.dump(asdict(asyncio.run(_LoadRun(plan).run())), sys.stdout)


if __name__ == "__main__":
    main()
