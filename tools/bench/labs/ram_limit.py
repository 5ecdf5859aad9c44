"""`make bench-ram`: real PaddleOCR under a real memory limit.

The same load runs twice, each time in a memory cgroup with the same limit: first with `ocrpool
up`, which finds how many instances fit, then with a worker that has a fixed number of one instance
more. The report shows both, with the kernel's own count of out-of-memory kills.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrpool.protocol import State
from ocrpool.protocol.quantity import format_bytes, parse_bytes
from tools.bench.lib.cgroup import MemoryCgroup, memory_cgroup
from tools.bench.lib.load import Load
from tools.bench.lib.local_pool import LocalPool
from tools.bench.lib.machine import this_machine
from tools.bench.lib.payload import plain_request
from tools.bench.lib.report import Goal, Report, write
from tools.bench.lib.rounds import say
from tools.bench.lib.samples import SamplePage, large_page, mixed_set
from tools.bench.lib.servers import ROOT, StartError
from tools.bench.lib.worker import WorkerServer

CLIENTS = 4
MOST = 4
# A4 at 300 dpi has 8.7 million pixels.
ADMISSION = {"maxMegapixels": 9, "timeoutSeconds": 600, "queue": 64}
ENGINE = {"name": "paddleocr", "options": {"cpu_threads": 1}}


@dataclass
class RamLimitResult:
    """The result of one of the two runs. The kernel counts `killed`, the worker `exits` and
    `failed_starts`. Memory is in bytes."""

    name: str
    instances: str = "–"
    answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    peak: int = 0
    killed: int = 0
    exits: int = 0
    failed_starts: int = 0
    footprint: int = 0

    @property
    def read(self) -> int:
        return self.answers["200"]

    @property
    def lost(self) -> int:
        return self.answers.total() - self.read


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-ram", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the staged models")
    parser.add_argument("--limit", type=parse_bytes, default="6Gi", help="memory (%(default)s)")
    parser.add_argument("--reserve", default="512Mi", help="memory.reserve (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=600, help="of load in each run (%(default)g)"
    )
    parser.add_argument(
        "--scans",
        action="store_true",
        help="every second page is A4 and all clients begin with it, so that memory peaks coincide",
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tools" / "bench" / "results", help="folder"
    )
    given = parser.parse_args()
    machine = this_machine()
    print(machine, end="\n\n", flush=True)
    try:
        plan = RamLimitPlan(
            given.models.resolve(),
            scans() if given.scans else (large_page(), *mixed_set()),
            2 if given.scans else 3,
            given.limit,
            given.reserve,
            given.seconds,
        )
        found = measure(plan)
    except StartError as error:
        print(f"bench-ram: {error}", file=sys.stderr)
        return 2
    print(found.markdown(), flush=True)
    quick = given.seconds < 600
    label = "-ram-limit-quick" if quick else "-ram-limit"
    print(f"written: {write(given.out, machine, [found], quick=quick, label=label)}")
    return int(not all(goal.met for goal in found.goals))


@dataclass(frozen=True)
class RamLimitPlan:
    """The conditions of both runs. Client n begins with page n × `stride`."""

    models: Path
    pages: Sequence[SamplePage]
    stride: int
    limit: int
    reserve: str
    seconds: float


def scans() -> tuple[SamplePage, ...]:
    return tuple(page for other in mixed_set() for page in (large_page(), other))


def measure(plan: RamLimitPlan) -> Report:
    local = RamLimitResult("ocrpool up")
    with memory_cgroup("grown", plan.limit) as group:
        found = run_local_pool(local, group, plan)
    fixed = RamLimitResult(f"fixed, {found + 1} instances", instances=str(found + 1))
    with memory_cgroup("fixed", plan.limit) as group:
        run_fixed_count(fixed, group, plan)
    return report(local, fixed, plan)


def run_local_pool(out: RamLimitResult, group: MemoryCgroup, plan: RamLimitPlan) -> int:
    """Run `ocrpool up` under the limit. Returns its instances at the end of the run_load."""
    spec: dict[str, Any] = {
        "instances": {"min": 1, "max": MOST},
        "memory": {"reserve": plan.reserve},
        "engine": ENGINE,
        "admission": ADMISSION,
    }
    with LocalPool(spec, models=plan.models, cgroup=group) as pool:
        pool.wait_settled()
        found = pool.state().instances.ready
        say(f"{out.name}: grew to {found}; {pool.decision}")
        if found == MOST:
            raise StartError(f"{MOST} instances fit; give a lower --limit")
        run_load(out, lambda: pool.port, pool.state, plan)
        state = pool.state()
        held = min(state.instances.target, state.instances.ceiling)
        say(f"{out.name}: has {held}; {pool.decision}")
        out.instances = f"1 → {found}, at the end {held}"
        record_counts(out, group, state)
        return held


def run_fixed_count(out: RamLimitResult, group: MemoryCgroup, plan: RamLimitPlan) -> None:
    """Run a worker with a fixed number of instances under the limit, without any memory guard."""
    count = int(out.instances)
    settings = {"admission": ADMISSION, "engine": ENGINE, "memory": {"reserve": 0}}
    worker = WorkerServer(instances=count, models=plan.models, settings=settings, cgroup=group)
    with worker:
        worker.wait_listening()
        warm = wait_warm(worker, count, seconds=300)
        say(f"{out.name}: {warm} are warm")
        run_load(out, lambda: worker.port, worker.state, plan)
        try:
            record_counts(out, group, worker.state())
        except OSError:  # the worker itself was killed
            out.peak, out.killed = group.peak, group.killed


def wait_warm(worker: WorkerServer, count: int, *, seconds: float) -> int:
    """Wait until all instances are warm, or for `seconds`, because the kernel may have killed one.
    Returns how many are warm."""
    deadline = time.monotonic() + seconds
    ready = 0
    while ready < count and worker.alive and time.monotonic() < deadline:
        time.sleep(0.5)
        ready = worker.state().instances.ready
    return ready


def record_counts(out: RamLimitResult, group: MemoryCgroup, state: State) -> None:
    out.peak, out.killed = group.peak, group.killed
    out.exits, out.failed_starts = state.counters.deaths, state.counters.boot_failures
    out.footprint = state.footprint.bytes


def run_load(
    out: RamLimitResult,
    port: Callable[[], int],
    state: Callable[[], State],
    plan: RamLimitPlan,
) -> None:
    """Let clients send the pages over and over, each page on a connection of its own."""
    clients = Load(
        lambda: ("127.0.0.1", port()),
        [plain_request(page.data) for page in plan.pages],
        clients=CLIENTS,
        stride=plan.stride,
        keep_alive=False,
        timeout=700,
        pause=1.0,
    )
    with clients:
        while clients.seconds < plan.seconds:
            time.sleep(min(10.0, plan.seconds / 4))
            ready: int | str = "no"
            with contextlib.suppress(OSError):
                ready = state().instances.ready
            statuses = dict(clients.statuses)
            say(f"{out.name}: {clients.seconds:.0f} s, {ready} instances, {statuses}")
    out.answers, out.seconds = clients.statuses, clients.seconds


def report(local: RamLimitResult, fixed: RamLimitResult, plan: RamLimitPlan) -> Report:
    limit, outcomes = plan.limit, (local, fixed)
    lines: tuple[tuple[str, Callable[[RamLimitResult], str]], ...] = (
        ("instances", lambda one: one.instances),
        ("processes that the kernel killed", lambda one: str(one.killed)),
        ("instances that exited at work", lambda one: str(one.exits)),
        ("starts that failed", lambda one: str(one.failed_starts)),
        ("pages read", lambda one: str(one.read)),
        ("requests without an answer", lambda one: str(one.lost)),
        ("seconds of load", lambda one: f"{one.seconds:.0f}"),
        (f"most memory, of {format_bytes(limit)}", lambda one: format_bytes(one.peak)),
        ("footprint of an instance", lambda one: format_bytes(one.footprint)),
    )
    return Report(
        part="ram-limit",
        title=f"real PaddleOCR in a memory cgroup of {format_bytes(limit)}",
        method=(
            f"{CLIENTS} clients, closed loop,",
            "every second page is A4 at 300 dpi, the others are the"
            if plan.stride == 2
            else "an A4 page at 300 dpi, then the",
            "mixed set; PP-OCRv5 mobile, one CPU thread an instance; the same limit, admission and",
            f"pages for both, memory.reserve {plan.reserve} for `ocrpool up`, none for the fixed",
            "number. Kills: `oom_kill` of the cgroup.",
        ),
        columns=("", *(one.name for one in outcomes)),
        rows=tuple((name, *(shown(one) for one in outcomes)) for name, shown in lines),
        goals=(
            Goal("killed under ocrpool up", local.killed, 0, at_least=False),
            Goal("requests lost under ocrpool up", local.lost, 0, at_least=False),
            Goal("killed with one more", fixed.killed, 1),
        ),
        rounds={one.name: {"answers": dict(one.answers), "peak": one.peak} for one in outcomes},
    )


if __name__ == "__main__":
    sys.exit(main())
