"""Expensive request bodies: JSON of every shape, and uploads that stop half-way."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from tests.fake_engine import order_png
from tests.worker.calls import call
from tools.bench.labs.hostile.bystanders import Bystanders
from tools.bench.labs.hostile.measure import CALLBACK_SECONDS, measured
from tools.bench.labs.hostile.pages import checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target

# The memory that a request may take: twice its size, plus a constant.
COST_FACTOR, COST_MORE = 2.0, 8 * MIB
# Seconds until the worker must have ended stalled uploads. Its setting is five seconds.
CLOSED_SECONDS = 40.0
FILE = base64.b64encode(order_png(say="json"))


def json_of_all_kinds(quick: bool) -> AttackResult:
    """No request within `maxBody` blocks the loop or takes more memory than twice its size."""
    # Bodies up to 8 MiB are parsed in the loop, larger ones elsewhere.
    size = 7 * MIB if quick else 127 * MIB
    out = AttackResult("C1 JSON of every shape", held=f"bodies of {size // MIB} MiB")
    # One request may take twice the largest body.
    settings = {"admission": {"maxBody": size + MIB, "bodyMemory": 2 * size + 32 * MIB}}
    with measured(out, instances=1, settings=settings) as aim:
        worst = aim.loop()
        with Bystanders(aim.worker.port, checked_requests(2), out.counts, clients=1):
            for name, body in bodies(size):
                out.bad += 1
                _send(out, aim, name, body)
                now = aim.loop()
                out.expect(
                    now.cpu <= CALLBACK_SECONDS,
                    f"{name}: {now.cpu_of} took {now.cpu * 1000:.0f} ms of CPU",
                )
                if now.cpu > worst.cpu:
                    worst = now
                out.stall = max(out.stall, now.late)
    out.cpu, out.cpu_of = max((out.cpu, out.cpu_of), (worst.cpu, worst.cpu_of))
    return out


def _send(out: AttackResult, aim: Target, name: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    def post() -> int:
        try:
            return call(aim.worker.port, "POST", "/ocr", body, headers, timeout=120).status
        except OSError:
            return 0

    status, cost = aim.peak_of(post)
    # 0: the worker closed the connection before it had read the whole body.
    out.expect(status in (0, 200, 400, 413, 422), f"{name}: answered {status}")
    most = COST_FACTOR * len(body) + COST_MORE
    out.expect(
        cost <= most,
        f"{name}: {len(body) // MIB} MiB cost {cost // MIB} MiB, more than {most // MIB:.0f}",
    )


def bodies(size: int) -> Iterator[tuple[str, bytes]]:
    """JSON bodies of about `size` bytes, each with a description."""

    def around(value: bytes, name: bytes = b"x", end: bytes = b"}") -> bytes:
        return b'{"file":"' + FILE + b'","' + name + b'":' + value + end

    def filled(unit: bytes, opening: bytes, closing: bytes) -> bytes:
        return opening + unit * ((size - 4096) // len(unit)) + closing

    shapes: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("one long unknown text", lambda: around(filled(b"A", b'"', b'"'))),
        ("escapes without end", lambda: around(filled(rb"\u00e9", b'"', b'"'))),
        ("a list of numbers", lambda: around(filled(b"1,", b"[", b"1]"))),
        ("a list of objects", lambda: around(filled(b"{},", b"[", b"{}]"))),
        ("a list of texts", lambda: around(filled(b'"ab",', b"[", b'""]'))),
        ("an object of equal keys", lambda: around(filled(b'"k":1,', b"{", b'"k":1}'))),
        ("a deep list", lambda: around(filled(b"[", b"", b""))),
        ("deep objects", lambda: around(filled(b'{"a":', b"", b"1"))),
        ("one long number", lambda: around(filled(b"9", b"", b""))),
        ("a list as file", lambda: b'{"file":' + filled(b"1,", b"[", b"1]") + b"}"),
        ("a long logId", lambda: around(filled(b"l", b'"', b'"'), b"logId")),
        ("a list as logId", lambda: around(filled(b"1,", b"[", b"1]"), b"logId")),
        ("no end after much", lambda: around(filled(b"1,", b"[", b"1]"), end=b"")),
        ("nothing but blanks", lambda: filled(b" ", b"", b"")),
        ("a file that is no base64", lambda: b'{"file":"' + filled(b"A?", b"", b'"}')),
        ("a file of lines", lambda: b'{"file":"' + filled(rb"QUFB\n", b"", b'"}')),
        ("a file of zeros", lambda: b'{"file":"' + filled(b"AAAA", b"", b'"}')),
        ("no UTF-8 at the end", lambda: around(filled(b"A", b'"', b'\xff"'))),
    )
    for name, made in shapes:
        yield name, made()


def stalled(quick: bool) -> AttackResult:
    """Stalled uploads take no more than their share of the memory, and only for a short time."""
    out = AttackResult("C4 stalled uploads")
    count, size, seconds = 24, 8 * MIB, 6.0 if quick else 30.0
    out.bad, out.held = count, f"{count} stalled uploads of {size // MIB} MiB"
    settings = {"admission": {"timeoutSeconds": 60}}
    over = threading.Event()
    with measured(out, instances=1, settings=settings) as aim, contextlib.ExitStack() as stack:
        # The first half comes from one address, the second from many.
        held = [
            threading.Thread(
                target=_stall,
                args=(aim.worker.port, f"127.0.1.{1 if n < count // 2 else n}", size, over),
                daemon=True,
            )
            for n in range(count)
        ]
        stack.callback(over.set)
        for thread in held:
            thread.start()
        time.sleep(1)  # until all of them have stalled
        source = checked_requests(3)
        with Bystanders(aim.worker.port, source, out.counts, clients=2, patient=False):
            time.sleep(seconds)
            deadline = time.monotonic() + CLOSED_SECONDS
            while any(one.is_alive() for one in held) and time.monotonic() < deadline:
                time.sleep(0.1)
            left = sum(thread.is_alive() for thread in held)
        out.expect(left == 0, f"{left} of {count} stalled uploads are still open")
        out.expect(out.counts.right > 0, "no small body was read")
    return out


def _stall(port: int, address: str, size: int, over: threading.Event) -> None:
    """Send all but the end of a body, then a byte a second, until the worker closes."""
    head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    with contextlib.suppress(OSError):
        sock = socket.create_connection(
            ("127.0.0.1", port), timeout=10, source_address=(address, 0)
        )
        with sock:
            # The rest of the budget is too small for any other body.
            sock.sendall(head + bytes(size - 64))
            sock.settimeout(1)
            while not over.is_set():
                try:
                    sock.recv(4096)
                except TimeoutError:
                    sock.sendall(b"x")
                else:
                    return  # the worker closed the connection, perhaps after an error answer
