"""Clients that do not read their answers."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time

from tests.fake_engine import order_png, tiff_of
from tests.worker.malformed import http
from tools.bench.labs.hostile.bystanders import Bystanders
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target

# Seconds until the worker must have closed all connections; its setting is three.
CLOSED_SECONDS = 60.0


def slow_readers(quick: bool) -> AttackResult:
    """Clients that read a byte a second, or nothing: their answers stay within the budget."""
    count, pad = (40, 4 * MIB) if quick else (60, 16 * MIB)
    out = AttackResult(
        "C2 slow readers", held=f"{count} readers, answers of {pad // MIB} MiB", bad=count
    )
    settings = {"http": {"takeSeconds": 3}, "admission": {"answerMemory": 64 * MIB}}
    with measured(out, instances=2, settings=settings) as aim, contextlib.ExitStack() as stack:
        over = threading.Event()
        stack.callback(over.set)
        readers = [
            threading.Thread(target=_read, args=(aim.worker.port, n, pad, over), daemon=True)
            for n in range(count)
        ]
        with Bystanders(aim.worker.port, checked_requests(4), out.counts):
            for reader in readers:
                reader.start()
            deadline = time.monotonic() + CLOSED_SECONDS
            while any(one.is_alive() for one in readers) and time.monotonic() < deadline:
                time.sleep(0.1)
            left = sum(one.is_alive() for one in readers)
        out.expect(left == 0, f"{left} of {count} readers still have a connection")
        over.set()
        _check_oversized_answer(out, aim, pad)
    return out


def _read(port: int, number: int, pad: int, over: threading.Event) -> None:
    """Request a large answer and read a byte a second, or nothing, until the worker closes."""
    with contextlib.suppress(OSError), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", port))
        sock.sendall(http("/v1/ocr", order_png(say=f"reader {number}", pad=pad)))
        head = sock.recv(12)
        if head != b"HTTP/1.1 200":
            return  # 429 or 413
        while not over.wait(1):
            if number % 2 and not sock.recv(1):
                return
            # A client that reads nothing notices the close when it sends.
            sock.sendall(b"\r\n")


def _check_oversized_answer(out: AttackResult, aim: Target, pad: int) -> None:
    """A document whose answer alone exceeds the budget is refused with a reason."""
    pages = 2 * 64 * MIB // pad + 1
    out.bad += 1
    answer = aim.worker.post(tiff_of([{"say": f"page {n}", "pad": pad} for n in range(pages)]))
    out.expect(
        answer.status in (413, 429),
        f"an answer of {pages * pad // MIB} MiB: {answer.status}, not 413 or 429",
    )


def drain_during_answer(quick: bool) -> AttackResult:
    """SIGTERM during a large answer: the request stays open until its last byte is sent."""
    pad = 32 * MIB
    out = AttackResult(
        "D1 drain during a large answer", held=f"an answer of {pad // MIB} MiB", bad=1
    )
    with measured(out, instances=1) as aim, socket.socket() as sock:
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", aim.worker.port))
        sock.sendall(http("/v1/ocr", order_png(say="long", pad=pad)))
        received = len(_receive(sock, 4 * MIB))
        loop = aim.loop()
        out.cpu, out.cpu_of, out.stall, out.peak = loop.cpu, loop.cpu_of, loop.late, aim.peak
        aim.worker.signal(signal.SIGTERM)
        began = time.monotonic()
        # Read slowly: longer than the limit for idle connections, and well within the grace period.
        # Some MiB are already in the kernel's buffers.
        while time.monotonic() < began + 14:
            got = len(_receive(sock, MIB // 4))
            received += got
            if not got:
                break
            time.sleep(0.2)
        while got := len(_receive(sock, MIB)):
            received += got
        out.expect(
            received > pad, f"the answer ended after {received / MIB:.1f} of {pad / MIB:.1f} MiB"
        )
        status = aim.worker.ended(seconds=60)
        out.expect(status == 0, f"the worker exited with status {status}")
    return out


def _receive(sock: socket.socket, size: int) -> bytes:
    """Read `size` bytes, or fewer where the connection ends."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while len(received) < size and (chunk := sock.recv(min(65536, size - len(received)))):
            received += chunk
    return bytes(received)
