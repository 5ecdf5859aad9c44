"""The large runs: malformed requests without end, and faults under load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator

from tests.worker.attack import Attack
from tools.bench.labs.hostile.bystanders import Bystanders, play
from tools.bench.labs.hostile.faults import FaultInjector, FaultSchedule, kinds
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target
from tools.bench.lib.cgroup import MemoryCgroup, memory_cgroup
from tools.bench.lib.servers import StartError

SEED = 20260417
CLIENTS, INSTANCES = 8, 3
# Room for the supervisor, the instances and what one of them takes until it is killed.
CGROUP_BYTES = 1500 * MIB


def malformed(count: int) -> AttackResult:
    """Send `count` malformed requests while regular clients send pages."""
    out = AttackResult("malformed requests", held="24 connections", bad=count)
    with measured(out, instances=2, settings={"admission": {"timeoutSeconds": 30}}) as aim:
        attack = Attack(aim.worker, seed=SEED, count=count)
        with Bystanders(aim.worker.port, checked_requests(SEED), out.counts):
            asyncio.run(attack.run())
        for failure in attack.failures[:3]:
            out.problems.append(failure)
        out.notes.append(f"answers to them: {dict(sorted(attack.statuses.items()))}")
    return out


def faults(count: int, pages: int) -> AttackResult:
    """So many faults of all kinds, at random, while so many pages are read."""
    out = AttackResult("faults under load", held=f"{CLIENTS} clients")
    settings = {
        "instances": {"min": 1, "max": INSTANCES + 1},
        # What hangs shall not hold an instance for long.
        "admission": {"timeoutSeconds": 4},
    }
    with _cgroup(out) as group:
        names = kinds(cgroup=group is not None)
        with measured(out, instances=INSTANCES, settings=settings, cgroup=group, cooldown=2) as aim:
            _play(out, aim, names, count, pages)
            _converges(out, aim)
    return out


def _play(out: AttackResult, aim: Target, names: tuple[str, ...], count: int, pages: int) -> None:
    source = itertools.islice(checked_requests(SEED + 1, sleep=0.01), pages)
    known = FaultInjector(aim, random.Random(SEED))
    schedule = FaultSchedule(
        known, names, count=count, every=pages / count, sent=lambda: out.counts.sent
    )
    with schedule:
        asyncio.run(
            play(
                aim.worker.port,
                source,
                out.counts,
                clients=CLIENTS,
                until=lambda: False,
                allowed=schedule.allows,
            )
        )
    out.faults = known.done.total()
    tried = out.faults + known.missed.total()
    out.expect(tried >= count - 5, f"only {tried} of {count} faults were tried")
    listed = ", ".join(f"{number} × {kind}" for kind, number in sorted(known.done.items()))
    out.notes.append(f"{len(known.done)} kinds: {listed}")
    if known.missed:
        out.notes.append(f"found nobody to happen to: {dict(known.missed)}")
    out.expect(
        known.missed.total() <= max(2, count // 20),
        f"{known.missed.total()} of {count} faults did not happen: {dict(known.missed)}",
    )


def _converges(out: AttackResult, aim: Target) -> None:
    """After all that, the worker is as it was."""
    worker = aim.worker
    worker.set_target(INSTANCES)
    try:
        worker.until_ready(INSTANCES)
    except AssertionError as error:
        out.problems.append(f"it did not come back: {error}")
        return
    counters = worker.counters()
    ended = counters["answered"] + counters["failed"] + counters["cancelled"]
    out.expect(
        counters["requests"] == ended, f"requests that never ended in the counters: {counters}"
    )
    depth = worker.state()["queue"]["depth"]
    out.expect(depth == 0, f"{depth} requests are left in the queue")


@contextlib.contextmanager
def _cgroup(out: AttackResult) -> Iterator[MemoryCgroup | None]:
    with contextlib.ExitStack() as stack:
        try:
            group = stack.enter_context(memory_cgroup("hostile", CGROUP_BYTES))
        except StartError as error:
            out.notes.append(f"not tried: the kernel killing for want of memory ({error})")
            group = None
        yield group
