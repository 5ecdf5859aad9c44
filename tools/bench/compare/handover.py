"""Four ways to move the bytes of an image from one process to another, with their times.

Each way moves `size` bytes, as they came from a socket, to another process. That process touches
every page of memory, so that the bytes have really arrived, and answers eight bytes.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from statistics import median
from typing import Any

from tools.bench.lib.report import Report
from tools.bench.lib.rounds import Setup, take_turns

SIZES = {"70 KB": 70_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
SECONDS = 0.4  # of repetitions for each way in a round
_HEAD = struct.Struct("!Q")
_PAGE = 4096

# `spawn`, because the worker's instances are also started with exec and never forked.
_CONTEXT = multiprocessing.get_context("spawn")
Send = Callable[[bytes], int]


def run(setup: Setup) -> Report:
    ways: dict[str, _Way | _QueueWay] = {
        "socketpair, copied": _Way(_echo_copy, _send_copy),
        "memfd per request, descriptor passed": _Way(_echo_memfd, _send_memfd),
        "shared memory kept per process": _Way(_echo_shared, _send_shared, shared=max_size()),
        "multiprocessing.Queue, pickled": _QueueWay(),
    }
    try:
        micros: dict[str, dict[str, list[float]]] = {}
        for label, size in SIZES.items():
            payload = os.urandom(size)
            turns = {name: partial(_timed, way.send, payload) for name, way in ways.items()}
            for way in ways.values():
                way.send(payload)  # the first call maps memory
            micros[label] = take_turns(turns, setup.rounds(7))
    finally:
        for way in ways.values():
            way.close()
    medians = {
        label: {name: median(values) for name, values in by_way.items()}
        for label, by_way in micros.items()
    }
    base = next(iter(ways))
    rows = tuple(
        (name, *(_cell(by_way[name], by_way[base]) for by_way in medians.values())) for name in ways
    )
    return Report(
        part="handover",
        title="bytes from one process to another, there and back",
        method=(
            f"{setup.rounds(7)} rounds in turns of {SECONDS:g} s; median µs from having the bytes",
            "to the other process's answer, after it has touched every 4 KiB of them, and, in",
            "brackets, that time over the socketpair's.",
        ),
        columns=("", *SIZES),
        rows=rows,
        rounds={"microseconds": micros},
    )


def max_size() -> int:
    return max(SIZES.values())


def _cell(value: float, base: float) -> str:
    return f"{value:,.0f} µs ({value / base:.2f}×)"


def _timed(send: Send, payload: bytes) -> float:
    """Median µs of a hand-over, repeated for SECONDS."""
    times = []
    expected = touch(payload)
    end = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        arrived = send(payload)
        times.append(time.perf_counter() - start)
        if arrived != expected:
            raise RuntimeError("the bytes that arrived are not those that were sent")
    return median(times) * 1e6


def touch(data: bytes | bytearray | memoryview | mmap.mmap) -> int:
    """Touch every page of memory: the sum of one byte of each."""
    return sum(data[::_PAGE])


class _Way:
    """A child behind a socketpair. `shared`: bytes of memory that both keep mapped."""

    def __init__(
        self,
        echo: Callable[[socket.socket, str], None],
        send: Callable[[_Way, bytes], int],
        shared: int = 0,
    ) -> None:
        self.socket, theirs = socket.socketpair()
        self.memory = SharedMemory(create=True, size=shared) if shared else None
        name = self.memory.name if self.memory else ""
        self._child: BaseProcess = _CONTEXT.Process(target=echo, args=(theirs, name), daemon=True)
        self._child.start()
        theirs.close()
        self._send = send

    def send(self, payload: bytes) -> int:
        return self._send(self, payload)

    def answer(self) -> int:
        return int(_HEAD.unpack(_exactly(self.socket, bytearray(_HEAD.size)))[0])

    def close(self) -> None:
        self.socket.close()  # the child exits at the end of file
        self._child.join()
        if self.memory is not None:
            self.memory.close()
            self.memory.unlink()


def _exactly(source: socket.socket, into: bytearray) -> bytearray:
    view = memoryview(into)
    while view:
        count = source.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return into


def _lengths(source: socket.socket) -> Any:
    """The lengths that arrive until the other side closes."""
    try:
        while True:
            yield int(_HEAD.unpack(_exactly(source, bytearray(_HEAD.size)))[0])
    except (EOFError, ConnectionResetError):
        return


def _send_copy(way: _Way, payload: bytes) -> int:
    way.socket.sendmsg([_HEAD.pack(len(payload))])
    way.socket.sendall(payload)
    return way.answer()


def _echo_copy(peer: socket.socket, _: str) -> None:
    for length in _lengths(peer):
        peer.sendall(_HEAD.pack(touch(_exactly(peer, bytearray(length)))))


def _send_memfd(way: _Way, payload: bytes) -> int:
    descriptor = os.memfd_create("page", os.MFD_CLOEXEC)
    try:
        view = memoryview(payload)
        while view:
            view = view[os.write(descriptor, view) :]
        socket.send_fds(way.socket, [_HEAD.pack(len(payload))], [descriptor])
    finally:
        os.close(descriptor)
    return way.answer()


def _echo_memfd(peer: socket.socket, _: str) -> None:
    while True:
        head, (*descriptors,), _flags, _address = socket.recv_fds(peer, _HEAD.size, 1)
        if not descriptors:
            return
        with mmap.mmap(descriptors[0], _HEAD.unpack(head)[0], prot=mmap.PROT_READ) as memory:
            total = touch(memory)
        os.close(descriptors[0])
        peer.sendall(_HEAD.pack(total))


def _send_shared(way: _Way, payload: bytes) -> int:
    assert way.memory is not None
    assert way.memory.buf is not None
    way.memory.buf[: len(payload)] = payload
    way.socket.sendall(_HEAD.pack(len(payload)))
    return way.answer()


def _echo_shared(peer: socket.socket, name: str) -> None:
    memory = SharedMemory(name)
    assert memory.buf is not None
    for length in _lengths(peer):
        with memory.buf[:length] as view:
            total = touch(view)
        peer.sendall(_HEAD.pack(total))
    memory.close()


class _QueueWay:
    """Two queues, as programs use them with multiprocessing."""

    def __init__(self) -> None:
        self._there: Any = _CONTEXT.Queue()
        self._back: Any = _CONTEXT.Queue()
        arguments = (self._there, self._back)
        self._child = _CONTEXT.Process(target=_echo_queue, args=arguments, daemon=True)
        self._child.start()

    def send(self, payload: bytes) -> int:
        self._there.put(payload)
        return int(self._back.get())

    def close(self) -> None:
        self._there.put(None)
        self._child.join()


def _echo_queue(there: Any, back: Any) -> None:
    while (payload := there.get()) is not None:
        back.put(touch(payload))
