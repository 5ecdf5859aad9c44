"""Until when this operator may write: a deadline that every write meets where it leaves.

A check before a call is not enough: the call waits for a connection, the process is stopped, and
what was allowed a moment ago is sent when another operator acts. So writes have sockets of their
own, which look at the deadline right before the kernel takes the bytes. Against a stop between
these two, `end_process_in` has the kernel end the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import aiohttp

# Exit status of a process that was ended by `end_process_in`: the number of its signal.
ENDED_STATUS = int(signal.SIGALRM)


def boot_seconds() -> float:
    """Seconds since the machine started, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """Lets writes leave until a moment on `clock`, monotonic seconds. It begins shut."""

    def __init__(self, clock: Callable[[], float] = boot_seconds) -> None:
        self._clock = clock
        self._until = -math.inf
        self._open_writes = 0
        # Writes of which nobody knows what became of them.
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def seconds_left(self) -> float:
        """Seconds for which writes may still leave; 0 where they may not."""
        return max(0.0, self._until - self._clock())

    def open(self, until: float = math.inf) -> None:
        """Let writes leave until then."""
        self._until = until

    def shut(self) -> None:
        """Let none leave from now on."""
        self._until = -math.inf

    @contextlib.contextmanager
    def write(self) -> Iterator[float]:
        """Guard one write; yield the seconds that it may take. Raises FencedError if closed."""
        left = self.seconds_left
        if left <= 0:
            raise FencedError
        self._open_writes += 1
        self._idle.clear()
        try:
            yield left
        except BaseException:
            self._unanswered += 1
            raise
        finally:
            self._open_writes -= 1
            if not self._open_writes:
                self._idle.set()

    async def wait_until_answered(self, seconds: float) -> bool:
        """Wait until every write that has begun is answered; whether all were within that time."""
        before = self._unanswered
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return self._unanswered == before

    def socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for writes: it sends nothing once the fence is shut."""
        family, kind, protocol, _, _ = address
        return _FencedSocket(self, int(family), int(kind), protocol)


class FencedError(ConnectionAbortedError):
    """This operator does not lead, or not any more."""

    def __init__(self) -> None:
        super().__init__("not sent: this operator does not lead, or not any more")


class _FencedSocket(socket.socket):
    """All that asyncio sends by; TLS is above it."""

    def __init__(self, fence: Fence, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._fence = fence

    def send(self, data: Any, flags: int = 0, /) -> int:
        if self._fence.seconds_left <= 0:
            raise FencedError
        return super().send(data, flags)

    def sendmsg(self, buffers: Iterable[Any], *more: Any) -> int:
        if self._fence.seconds_left <= 0:
            raise FencedError
        return super().sendmsg(buffers, *more)


def never_fenced() -> Fence:
    """For whoever needs no Lease."""
    fence = Fence()
    fence.open()
    return fence


def end_process_in(seconds: float) -> None:
    """Have the kernel end this process in so many seconds, unless called again; 0: never.

    The kernel's timer runs on while the process is stopped (SIGSTOP, a frozen cgroup), and its
    signal comes before the next instruction. The handler is libc's own `_exit`: one in Python would
    run later, and without one process 1 of a container ignores the signal.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGALRM, ctypes.cast(libc._exit, ctypes.c_void_p))
    signal.setitimer(signal.ITIMER_REAL, seconds)
