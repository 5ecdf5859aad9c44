"""The write fence: after its deadline no write leaves this operator.

A check before a call is not enough. The call can wait for a connection, or the process can be
stopped, and then the write is sent when another operator is the leader. So writes use sockets that
check the deadline directly before the kernel takes the bytes. `end_process_in` covers a stop
between these two: the kernel ends the process.
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

# The exit status after `end_process_in`: the number of the signal.
ENDED_STATUS = int(signal.SIGALRM)


def boot_seconds() -> float:
    """Seconds since the machine started, including the time that it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """Lets writes leave until a time on `clock`, in monotonic seconds. At first it is shut."""

    def __init__(self, clock: Callable[[], float] = boot_seconds) -> None:
        self._clock = clock
        self._until = -math.inf
        self._open_writes = 0
        # Writes without an answer: nobody knows whether they took effect.
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def seconds_left(self) -> float:
        """Seconds for which writes may still leave; 0 if they may not."""
        return max(0.0, self._until - self._clock())

    def open(self, until: float = math.inf) -> None:
        """Let writes leave until that time."""
        self._until = until

    def shut(self) -> None:
        """Let no write leave from now on."""
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
        """Wait until all open writes are answered. Returns False if one was not, or not in time."""
        before = self._unanswered
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return self._unanswered == before

    def socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Make a socket for writes. It sends nothing once the fence is shut."""
        family, kind, protocol, _, _ = address
        return _FencedSocket(self, int(family), int(kind), protocol)


class FencedError(ConnectionAbortedError):
    """This operator is not the leader, or no longer."""

    def __init__(self) -> None:
        super().__init__("not sent: this operator is not the leader, or no longer")


class _FencedSocket(socket.socket):
    """Overrides every method that asyncio sends with. TLS is a layer above."""

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
    """Make a fence that is always open, for callers without a Lease."""
    fence = Fence()
    fence.open()
    return fence


def end_process_in(seconds: float) -> None:
    """Let the kernel end this process after so many seconds. A new call replaces the old one; 0
    cancels it.

    The kernel's timer continues while the process is stopped (SIGSTOP, a frozen cgroup), and the
    signal arrives before the next instruction. The handler is libc's `_exit`: a Python handler
    would run later, and without a handler process 1 of a container ignores the signal.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGALRM, ctypes.cast(libc._exit, ctypes.c_void_p))
    signal.setitimer(signal.ITIMER_REAL, seconds)
