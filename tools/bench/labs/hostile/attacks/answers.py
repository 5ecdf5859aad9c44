"""Clients that do not take their answers."""

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

# How long a client that takes nothing may be waited for; the setting says three.
HELD_SECONDS = 60.0


def slow_readers(quick: bool) -> AttackResult:
    """Readers of a byte a second, and of nothing, hold no more than the answers' budget."""
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
            deadline = time.monotonic() + HELD_SECONDS
            while any(one.is_alive() for one in readers) and time.monotonic() < deadline:
                time.sleep(0.1)
            left = sum(one.is_alive() for one in readers)
        out.expect(left == 0, f"{left} of {count} readers are held after all that time")
        over.set()
        _too_much(out, aim, pad)
    return out


def _read(port: int, number: int, pad: int, over: threading.Event) -> None:
    """Ask for much and take a byte a second, or nothing, until it is hung up on."""
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
            # Whoever reads nothing learns of the end by sending.
            sock.sendall(b"\r\n")


def _too_much(out: AttackResult, aim: Target, pad: int) -> None:
    """A document whose answer alone is over the budget is refused, with a reason."""
    pages = 2 * 64 * MIB // pad + 1
    out.bad += 1
    answer = aim.worker.post(tiff_of([{"say": f"page {n}", "pad": pad} for n in range(pages)]))
    out.expect(
        answer.status in (413, 429),
        f"an answer of {pages * pad // MIB} MiB: {answer.status}, not 413 or 429",
    )


def drained_in_the_middle(quick: bool) -> AttackResult:
    """A request is open until its last byte is sent: SIGTERM while a large answer is on its way."""
    pad = 32 * MIB
    out = AttackResult(
        "D1 drain during a large answer", held=f"an answer of {pad // MIB} MiB", bad=1
    )
    with measured(out, instances=1) as aim, socket.socket() as sock:
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", aim.worker.port))
        sock.sendall(http("/v1/ocr", order_png(say="long", pad=pad)))
        received = len(_some(sock, 4 * MIB))
        loop = aim.loop()
        out.cpu, out.cpu_of, out.stall, out.peak = loop.cpu, loop.cpu_of, loop.late, aim.peak
        aim.worker.signal(signal.SIGTERM)
        began = time.monotonic()
        # Slowly, for longer than connections are given that nobody waits for, and well within the
        # grace. What the kernel holds of it (some MiB) is sent already.
        while time.monotonic() < began + 14:
            got = len(_some(sock, MIB // 4))
            received += got
            if not got:
                break
            time.sleep(0.2)
        while got := len(_some(sock, MIB)):
            received += got
        out.expect(received > pad, f"cut at {received / MIB:.1f} of {pad / MIB:.1f} MiB")
        status = aim.worker.ended(seconds=60)
        out.expect(status == 0, f"it ended with status {status}")
    return out


def _some(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while len(received) < size and (chunk := sock.recv(min(65536, size - len(received)))):
            received += chunk
    return bytes(received)
