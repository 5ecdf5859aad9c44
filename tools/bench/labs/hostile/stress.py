"""The two large runs: many malformed requests, and faults under load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator

from tests.worker.attack import Attack
from tools.bench.labs.hostile.bystanders import Bystanders, run_clients
from tools.bench.labs.hostile.faults import FaultInjector, FaultSchedule, kinds
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import CheckedRequest, checked_requests
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target
from tools.bench.lib.cgroup import MemoryCgroup, memory_cgroup
from tools.bench.lib.servers import StartError

SEED = 20260417
CLIENTS, INSTANCES = 8, 3
# For the supervisor, the instances, and what one of them takes until the kernel kills it.
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
    """Inject `count` faults of all kinds in random order while clients send `pages` pages."""
    out = AttackResult("faults under load", held=f"{CLIENTS} clients")
    settings = {
        "instances": {"min": 1, "max": INSTANCES + 1},
        # So that a fault that hangs does not hold an instance for long.
        "admission": {"timeoutSeconds": 4},
    }
    with _cgroup(out) as group:
        names = kinds(cgroup=group is not None)
        with measured(out, instances=INSTANCES, settings=settings, cgroup=group, cooldown=2) as aim:
            run_under_faults(
                out,
                aim,
                itertools.islice(checked_requests(SEED + 1, sleep=0.01), pages),
                names,
                clients=CLIENTS,
                count=count,
                pages=pages,
                seed=SEED,
                most_missed=max(2, count // 20),
            )
            _check_recovered(out, aim)
    return out


def run_under_faults(
    out: AttackResult,
    aim: Target,
    source: Iterator[CheckedRequest],
    names: tuple[str, ...],
    *,
    clients: int,
    count: int,
    pages: int,
    seed: int,
    most_missed: int,
) -> None:
    """Let clients send the requests of `source` while `count` faults happen, evenly spread over so
    many pages. Not more than `most_missed` of the faults may find no process to happen to."""
    injector = FaultInjector(aim, random.Random(seed))
    schedule = FaultSchedule(
        injector, names, count=count, every=pages / count, sent=lambda: out.counts.sent
    )
    with schedule:
        asyncio.run(
            run_clients(
                aim.worker.port, source, out.counts, clients=clients, allowed=schedule.allows
            )
        )
    done, missed = injector.done, injector.missed
    out.faults = done.total()
    tried = out.faults + missed.total()
    out.expect(tried >= count - 5, f"only {tried} of {count} faults were tried")
    listed = ", ".join(f"{number} × {kind}" for kind, number in sorted(done.items()))
    out.notes.append(f"{len(done)} kinds: {listed}")
    if missed:
        out.notes.append(f"found no process to happen to: {dict(missed)}")
    out.expect(
        missed.total() <= most_missed,
        f"{missed.total()} of {count} faults did not happen: {dict(missed)}",
    )


def _check_recovered(out: AttackResult, aim: Target) -> None:
    """The worker must return to the state before the faults."""
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
            out.notes.append(f"not tried: the kernel's out-of-memory kill ({error})")
            group = None
        yield group
