"""Processes that are killed or stopped from outside."""

from __future__ import annotations

import os
import random
import signal
import time

from tests.fake_engine import order_png
from tests.worker.client import pids_of
from tools.bench.labs.hostile.bystanders import Bystanders
from tools.bench.labs.hostile.faults import FaultInjector
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target

STOPPED_SECONDS, LIMIT_SECONDS = 6.0, 5


def killed_from_outside(quick: bool) -> AttackResult:
    """SIGKILL from outside, with memory free: no page is refused for it."""
    out = AttackResult("D2 SIGKILL from outside", held="6 clients")
    count = 8 if quick else 86
    with measured(out, instances=3, settings={"instances": {"max": 3}}) as aim:
        faults = FaultInjector(aim, random.Random(7))
        source = checked_requests(7, sleep=0.05)
        with Bystanders(aim.worker.port, source, out.counts, clients=6, pause=0):
            for _ in range(count):
                faults.inject("SIGKILL from outside")
                time.sleep(0.1)
        out.faults = faults.done.total()
        out.faults += _kill_two_instances_on_one_page(out, aim)
        poisoned = aim.worker.counters()["poisoned"]
        out.expect(poisoned == 0, f"{poisoned} pages were refused as poison")
    return out


def _kill_two_instances_on_one_page(out: AttackResult, aim: Target) -> int:
    """Kill two instances on the same page: 503 is allowed, and the next try must be read."""
    worker = aim.worker
    worker.until_ready(3)
    gate = aim.folder / "gate"
    page = order_png(say="killed twice", gate=str(gate))
    future = worker.begin(page)
    killed: list[int] = []
    while len(killed) < 2:
        busy = [pid for pid in pids_of(worker.until_busy(), "busy") if pid not in killed]
        if busy:
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])
        time.sleep(0.02)
    gate.touch()
    answer = future.result()
    out.expect(answer.status in (200, 503), f"killed twice: {answer.status} {answer.body[:200]!r}")
    again = worker.post(page)
    out.expect(again.status == 200, f"the same bytes again: {again.status} {again.body[:200]!r}")
    return len(killed)


def stopped_supervisor(quick: bool) -> AttackResult:
    """Answers that arrived while the supervisor was stopped count before any timeout."""
    out = AttackResult("D3 the supervisor stopped", held="2 pages", faults=2 if quick else 5)
    settings = {"admission": {"timeoutSeconds": LIMIT_SECONDS}}
    with measured(out, instances=2, settings=settings) as aim:
        worker = aim.worker
        for turn in range(out.faults):
            gate = aim.folder / f"gate {turn}"
            # One answer is larger than a socket buffer, so it arrives in pieces.
            pages = [worker.begin(gate=str(gate), pad=pad) for pad in (0, 4 * MIB)]
            worker.until_busy(2)
            worker.signal(signal.SIGSTOP)
            try:
                gate.touch()
                time.sleep(STOPPED_SECONDS)
            finally:
                worker.signal(signal.SIGCONT)
            for page in pages:
                answer = page.result()
                out.expect(answer.status == 200, f"{answer.status} {answer.body[:200]!r}")
        counters = worker.counters()
        for what in ("timeouts", "deaths"):
            out.expect(not counters[what], f"{what} after the stop: {counters[what]}")
    return out
