"""Faults from outside and inside of the worker, in random order, while it reads pages."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.fake_engine import order_png
from tests.worker.calls import call
from tests.worker.malformed import http
from tools.bench.labs.hostile import engine
from tools.bench.labs.hostile.target import Target
from tools.bench.lib.rounds import say

# Seconds that a fault may wait for a process to happen to.
_WAIT_SECONDS = 30.0
# Seconds that a temporary fault lasts, at least and at most.
_SHORT = (0.05, 0.5)
_REPORT_EVERY = 100

Dice = random.Random


@dataclass
class FaultInjector:
    """Injects faults into a worker. `done`: kind → how often; `missed`: no process was there."""

    target: Target
    dice: Dice
    done: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def inject(self, kind: str) -> None:
        """Inject one fault of a kind, and count it."""
        outside = OUTSIDE.get(kind)
        happened = outside(self) if outside is not None else self._inside(kind)
        (self.done if happened else self.missed)[kind] += 1

    def _inside(self, kind: str) -> bool:
        """Put a fault into the engine's folder. Withdraw it where no instance takes it."""
        file = self.target.faults / f"{self.done.total() + self.missed.total():06}.{kind}"
        file.touch()
        # An instance must start to take it.
        if kind.startswith("boot") and not self._signal_one(signal.SIGKILL):
            file.unlink()
            return False
        return not _wait_until(lambda: not file.exists()) or not _withdraw(file)

    def _signal_one(self, number: signal.Signals) -> int:
        """Signal an instance that has answered before. Returns its pid, 0 where there is none."""

        def find_pids() -> list[int]:
            each = self.target.worker.state()["instances"]["each"]
            found = [one["pid"] for one in each if one["requests"] and one["pid"]]
            busy = [one["pid"] for one in each if one["state"] == "busy" and one["requests"]]
            return busy or found

        candidates: list[int] = []

        def found() -> bool:
            candidates[:] = find_pids()
            return bool(candidates)

        if not _wait_until(found):
            return 0
        pid = self.dice.choice(candidates)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return pid
        return 0

    def kill(self) -> bool:
        return bool(self._signal_one(signal.SIGKILL))

    def pause_instance(self) -> bool:
        """Stop an instance, and continue it before its time limit."""
        pid = self._signal_one(signal.SIGSTOP)
        time.sleep(self.dice.uniform(*_SHORT))
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGCONT)
        return bool(pid)

    def pause_supervisor(self) -> bool:
        worker = self.target.worker
        worker.signal(signal.SIGSTOP)
        try:
            time.sleep(self.dice.uniform(*_SHORT))
        finally:
            worker.signal(signal.SIGCONT)
        return True

    def full_disk(self) -> bool:
        """Let no file of the supervisor grow: neither its log nor the file of a large body."""
        with self.target.limited(resource.RLIMIT_FSIZE, 0):
            self._signal_one(signal.SIGKILL)  # an event to log
            time.sleep(self.dice.uniform(*_SHORT))
        return True

    def no_descriptors(self) -> bool:
        """Leave no free descriptor while clients connect and an instance has to be replaced."""
        with self.target.limited(resource.RLIMIT_NOFILE, self.target.descriptors):
            self._signal_one(signal.SIGKILL)
            with contextlib.ExitStack() as stack:
                for _ in range(8):
                    with contextlib.suppress(OSError):
                        at = ("127.0.0.1", self.target.worker.port)
                        stack.enter_context(socket.create_connection(at, timeout=1))
                time.sleep(self.dice.uniform(*_SHORT))
        return True

    def clock(self) -> bool:
        """Move the wall clock a day ahead, or back."""
        self.target.worker.signal(signal.SIGUSR2)
        return True

    def resize(self) -> bool:
        most = self.target.settings.instances.max
        body = f'{{"target": {self.dice.randint(max(1, most - 2), most)}}}'
        port = self.target.worker.control_port
        return call(port, "PUT", "/v1/instances", body).status == 200

    def gone_client(self) -> bool:
        """Close a connection in the middle of a request, or while its page is read."""
        sent = http("/v1/ocr", order_png(say=f"gone {self.dice.random()}", sleep=0.1))
        at = ("127.0.0.1", self.target.worker.port)
        with contextlib.suppress(OSError), socket.create_connection(at, timeout=5) as sock:
            sock.sendall(sent[: self.dice.choice([len(sent) // 2, len(sent)])])
            time.sleep(0.05)
        return True


def _wait_until(met: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if met():
                return True
        time.sleep(0.02)
    return False


def _withdraw(file: os.PathLike[str]) -> bool:
    """Remove the file of a fault. Returns whether it was still there."""
    try:
        os.unlink(file)
    except FileNotFoundError:
        return False
    return True


OUTSIDE: dict[str, Callable[[FaultInjector], bool]] = {
    "SIGKILL from outside": FaultInjector.kill,
    "instance stopped for a while": FaultInjector.pause_instance,
    "supervisor stopped": FaultInjector.pause_supervisor,
    "full disk": FaultInjector.full_disk,
    "descriptor shortage": FaultInjector.no_descriptors,
    "clock jump": FaultInjector.clock,
    "resize": FaultInjector.resize,
    "client gone": FaultInjector.gone_client,
}


def kinds(*, cgroup: bool, inside: bool = True) -> tuple[str, ...]:
    """All kinds that are possible: an out-of-memory kill needs a cgroup. `inside`: with those that
    only the test engine has."""
    ours = [one for one in engine.KINDS if inside and (cgroup or one != "memory-oom-kill")]
    return (*OUTSIDE, *ours)


class FaultSchedule:
    """Injects `count` faults in a thread, one for every `every` requests that clients have sent.
    Used as a context manager; raises the error of its thread."""

    def __init__(
        self,
        faults: FaultInjector,
        names: tuple[str, ...],
        *,
        count: int,
        every: float,
        sent: Callable[[], int],
    ) -> None:
        self.faults = faults
        self._error: BaseException | None = None
        self._over = threading.Event()
        self._begun = 0
        self._every = every
        self._sent = sent

        def run() -> None:
            try:
                for kind in _evenly(names, count, faults.dice):
                    while sent() < every * self._begun and not self._over.wait(0.01):
                        pass
                    if self._over.is_set():
                        return
                    self._begun += 1
                    faults.inject(kind)
                    if self._begun % _REPORT_EVERY == 0:
                        say(f"{self._begun} of {count} faults, {sent()} pages sent")
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)

    def allows(self) -> bool:
        """Whether clients may send: they get at most a few faults ahead."""
        return self._sent() < self._every * (self._begun + 4) or not self._thread.is_alive()

    def __enter__(self) -> FaultSchedule:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * _WAIT_SECONDS)
        if self._error is not None:
            raise self._error


def _evenly(names: tuple[str, ...], count: int, dice: Dice) -> Iterator[str]:
    """`count` names in random order, all about equally often."""
    order: list[str] = []
    for _ in range(count):
        if not order:
            order = list(names)
            dice.shuffle(order)
        yield order.pop()
