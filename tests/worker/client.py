"""A worker process for tests: a client for both ports, its log and its processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.fake_engine import order_png

PATIENCE = 60.0  # seconds until a test stops waiting; a passing test never waits for so long

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pages(self) -> list[str]:
        """The fake engine's text of each page of an answer of `/v1/ocr`."""
        assert self.status == 200, self
        return [page["lines"][0]["text"] for page in self.json["pages"]]

    @property
    def text(self) -> str:
        (only,) = self.pages
        return only

    @property
    def pids(self) -> list[int]:
        """Which process read each page."""
        assert self.status == 200, self
        return [int(page["lines"][1]["text"].split()[1]) for page in self.json["pages"]]

    @property
    def reason(self) -> str:
        return str(self.json["error"]["reason"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class Worker:
    """A running worker process and a client for both of its ports."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, host: str) -> None:
        self.process = process
        self.host = host
        self.pid = process.pid
        self.port = 0
        self.control_port = 0
        self.log_file = log
        self._clients = ThreadPoolExecutor(max_workers=128)

    # -- the data port ---------------------------------------------------------------------

    def post(self, body: bytes, path: str = "/v1/ocr", *, timeout: float = 60) -> Answer:
        """Send a body and wait for the answer. Raises OSError if there is none."""
        return exchange((self.host, self.port), "POST", path, body, timeout=timeout)

    def get(self, path: str) -> Answer:
        return exchange((self.host, self.port), "GET", path)

    def read(self, **order: Any) -> Answer:
        """Send one page that carries this order for the fake engine."""
        return self.post(order_png(**order))

    def begin(self, body: bytes | None = None, **order: Any) -> Future[Answer]:
        """The same in the background."""
        return self._clients.submit(self.post, order_png(**order) if body is None else body)

    # -- the control port ------------------------------------------------------------------

    def control(self, method: str, path: str, body: object = None) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        return exchange((self.host, self.control_port), method, path, data)

    def state(self) -> dict[str, Any]:
        answer = self.control("GET", "/v1/state")
        assert answer.status == 200, answer
        state: dict[str, Any] = answer.json
        return state

    def counters(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state()["counters"]
        return found

    def set_target(self, target: int) -> Answer:
        return self.control("PUT", "/v1/instances", {"target": target})

    @property
    def ready(self) -> bool:
        return self.control("GET", "/readyz").status == 200

    # -- waiting and looking ---------------------------------------------------------------

    def until(
        self, what: str, met: Callable[[dict[str, Any]], bool], *, seconds: float = PATIENCE
    ) -> dict[str, Any]:
        """Poll the state until `met` is true, and return it."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            nonlocal last
            last = self.state()
            return last if met(last) else None

        return wait_for(what, look, seconds=seconds, or_tell=lambda: json.dumps(last, indent=1))

    def until_ready(self, instances: int) -> dict[str, Any]:
        """Wait for this many ready instances, and no others. Returns the state."""

        def met(state: dict[str, Any]) -> bool:
            states = [each["state"] for each in state["instances"]["each"]]
            return len(states) == instances and set(states) <= {"idle", "busy"}

        return self.until(f"{instances} instances are warm", met)

    def until_busy(self, instances: int = 1) -> dict[str, Any]:
        """Wait until this many instances are busy. Returns the state."""
        return self.until(
            f"{instances} instances are busy",
            lambda state: len(pids_of(state, "busy")) == instances,
        )

    def pids(self, *states: str) -> list[int]:
        return pids_of(self.state(), *states)

    def events(self) -> list[dict[str, Any]]:
        """All JSON lines of its log."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_file.read_text(encoding="utf-8").splitlines()[-lines:])

    # -- ending ----------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, *, seconds: float = PATIENCE) -> int:
        """Wait until it exits, and return the exit status."""
        return self.process.wait(timeout=seconds)

    def no_instance_left(self, *, seconds: float) -> None:
        wait_for(
            f"every instance of the ended worker is gone within {seconds:g} s",
            lambda: not instances_of(self.pid),
            seconds=seconds,
            or_tell=lambda: f"still there: {instances_of(self.pid)}",
        )

    def stop(self) -> None:
        """Stop it with SIGTERM and check its exit, unless a test has stopped it already."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
                assert self.ended() == 0, "it did not end in order after SIGTERM"
                traces = [event for event in self.events() if "traceback" in event]
                assert not traces, traces[0]["traceback"]
                text = self.log_file.read_text(encoding="utf-8")
                assert "Traceback" not in text, text[text.index("Traceback") :][:4000]
            self.no_instance_left(seconds=2)
        finally:
            self.clean_up()

    def clean_up(self) -> None:
        """Clean up all processes, whatever failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in instances_of(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._clients.shutdown(wait=True)


def wait_for(
    what: str,
    look: Callable[[], T | None],
    *,
    seconds: float = PATIENCE,
    or_tell: Callable[[], object] = lambda: "",
) -> T:
    """Call `look` until it returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain until {what}\n{or_tell()}")
        time.sleep(0.02)


def pids_of(state: Mapping[str, Any], *states: str) -> list[int]:
    """Pids in a state, of all instances or of those in one of `states`."""
    each = state["instances"]["each"]
    return [one["pid"] for one in each if not states or one["state"] in states]


def instances_of(supervisor: int) -> list[int]:
    """Pids of a worker's instance processes, also after its exit. Zombies do not count."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                ours = b"ocrpool_worker.instance.main" in arguments
                if ours and str(supervisor).encode() in arguments[-3:]:
                    found.append(int(folder.name))
    return found


def exchange(
    at: tuple[str, int], method: str, path: str, body: bytes = b"", *, timeout: float = 10
) -> Answer:
    """One request on a connection of its own. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(*at, timeout=timeout)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()
