"""More idle connections than the worker has file descriptors."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time

from tests.worker.client import exchange
from tools.bench.labs.hostile.bystanders import Bystanders
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target

DESCRIPTORS = 128
LIVEZ_SECONDS = 10.0
# The limit in the settings, and the seconds until all must be closed on a busy machine.
HEADER_SECONDS, CLOSED_SECONDS = 3, 60.0
LOG_BYTES = MIB // 4


def idle_connections(quick: bool) -> AttackResult:
    """Idle connections, and connections that send one byte of a header a second."""
    count = 100 if quick else 667
    out = AttackResult(
        "C3 idle and dripping connections",
        held=f"{count} idle, {count} dripping, {DESCRIPTORS} descriptors",
        bad=2 * count,
    )
    settings = {
        "instances": {"max": 2},
        "http": {"headerSeconds": HEADER_SECONDS, "keepAliveSeconds": 10},
    }
    with (
        measured(out, instances=2, settings=settings, descriptors=DESCRIPTORS) as aim,
        contextlib.ExitStack() as stack,
        Bystanders(aim.worker.port, checked_requests(5), out.counts, crowd=True),
    ):
        logged = aim.worker.log_file.stat().st_size
        idle = [_open(stack, aim) for _ in range(count)]
        drips = [_open(stack, aim) for _ in range(count)]
        left = _wait(out, aim, idle, drips)
        out.expect(left == 0, f"{left} of {2 * count} connections are still open")
        grown = aim.worker.log_file.stat().st_size - logged
        out.expect(grown <= LOG_BYTES, f"the log grew by {grown} bytes")
        log = aim.worker.log_file.read_text(encoding="utf-8")
        out.expect("Traceback" not in log, "tracebacks in the log")
    return out


def _open(stack: contextlib.ExitStack, aim: Target) -> socket.socket:
    sock = stack.enter_context(socket.socket())
    sock.settimeout(10)
    sock.connect(("127.0.0.1", aim.worker.port))
    sock.setblocking(False)
    return sock


def _wait(
    out: AttackResult, aim: Target, idle: list[socket.socket], drips: list[socket.socket]
) -> int:
    """Wait until the worker has closed all connections, and check the control port meanwhile.
    Returns how many are still open in the end."""
    header = iter(b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 1000)
    open_ones = set(idle) | set(drips)
    deadline = time.monotonic() + CLOSED_SECONDS
    slowest = 0.0
    while open_ones and time.monotonic() < deadline:
        began = time.monotonic()
        try:
            at = ("127.0.0.1", aim.worker.control_port)
            status = exchange(at, "GET", "/livez", timeout=LIVEZ_SECONDS).status
        except (OSError, http.client.HTTPException) as error:
            out.problems.append(f"/livez did not answer: {type(error).__name__} {error}")
            break
        out.expect(status == 200, f"/livez: {status}")
        slowest = max(slowest, time.monotonic() - began)
        byte = bytes([next(header)])
        for sock in drips:
            with contextlib.suppress(OSError):
                sock.send(byte)
        open_ones = {sock for sock in open_ones if not _closed(sock)}
        time.sleep(0.5)
    out.notes.append(f"slowest answer of /livez: {slowest * 1000:.0f} ms")
    return len(open_ones)


def _closed(sock: socket.socket) -> bool:
    try:
        while sock.recv(4096):  # a 408, say
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
