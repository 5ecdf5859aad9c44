"""Measure by CPU time how long a worker's event loop is blocked.

Probes are sent to the worker one after the other. The CPU time that the worker's main thread uses
until a probe is answered is at least that of the longest callback in between. Other load on the
machine does not count.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.worker.client import Worker


class LoopProbe:
    """`longest`: the most seconds of CPU time so far that a probe waited for."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.probes = 0


@contextlib.contextmanager
def probing(worker: Worker) -> Iterator[LoopProbe]:
    """Probe until the block ends."""
    probe, over = LoopProbe(), threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        connection = http.client.HTTPConnection(worker.host, worker.control_port, timeout=120)
        try:
            while not over.is_set():
                before = cpu_seconds(worker.pid)
                connection.request("GET", "/livez")
                assert connection.getresponse().read() == b"ok\n"
                probe.longest = max(probe.longest, cpu_seconds(worker.pid) - before)
                probe.probes += 1
                over.wait(0.001)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield probe
    finally:
        over.set()
        thread.join()
    assert not failed, failed
    assert probe.probes


def cpu_seconds(pid: int) -> float:
    """CPU time of a process's main thread."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


@contextlib.contextmanager
def peak_growth(worker: Worker) -> Iterator[dict[str, Any]]:
    """`bytes`: how far the worker's supervisor grew at most within the block."""
    Path(f"/proc/{worker.pid}/clear_refs").write_text("5")  # the peak begins anew
    found: dict[str, Any] = {}
    before = _status(worker.pid, "VmRSS")
    yield found
    found["bytes"] = _status(worker.pid, "VmHWM") - before


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
