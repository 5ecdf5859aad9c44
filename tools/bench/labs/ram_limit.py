"""Real PaddleOCR under a real memory limit: `ocrpool up` finds how many fit, one more is killed.

The same load runs twice, each time in a memory cgroup of the same limit: over `ocrpool up`, which
grows by itself, and over a worker that is given one instance more than that found, as somebody
would who guessed. Then both are shown side by side, by the kernel's own count of kills.
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
    """What came of one of the two. `killed` is the kernel's count, `deaths` and `failed_boots` the
    worker's; memory in bytes."""

    name: str
    instances: str = "–"
    answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    peak: int = 0
    killed: int = 0
    deaths: int = 0
    failed_boots: int = 0
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
    parser.add_argument("--seconds", type=float, default=600, help="of load, each (%(default)g)")
    parser.add_argument(
        "--scans",
        action="store_true",
        help="every second page is an A4 one, and all clients begin with it, so that peaks meet",
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
        print(f"ram_limit: {error}", file=sys.stderr)
        return 2
    print(found.markdown(), flush=True)
    quick = given.seconds < 600
    label = "-ram-limit-quick" if quick else "-ram-limit"
    print(f"written: {write(given.out, machine, [found], quick=quick, label=label)}")
    return int(not all(goal.met for goal in found.goals))


@dataclass(frozen=True)
class RamLimitPlan:
    """The same for both. Client n begins with page n × `stride`."""

    models: Path
    pages: Sequence[SamplePage]
    stride: int
    limit: int
    reserve: str
    seconds: float


def scans() -> tuple[SamplePage, ...]:
    return tuple(page for other in mixed_set() for page in (large_page(), other))


def measure(plan: RamLimitPlan) -> Report:
    fits = RamLimitResult("ocrpool up")
    with memory_cgroup("grown", plan.limit) as group:
        found = grown(fits, group, plan)
    fixed = RamLimitResult(f"fixed, {found + 1} instances", instances=str(found + 1))
    with memory_cgroup("fixed", plan.limit) as group:
        one_more(fixed, group, plan)
    return report(fits, fixed, plan)


def grown(out: RamLimitResult, group: MemoryCgroup, plan: RamLimitPlan) -> int:
    """`ocrpool up` under the limit. Returns the instances that it had at the end of the load."""
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
        load(out, lambda: pool.port, pool.state, plan)
        state = pool.state()
        held = min(state.instances.target, state.instances.ceiling)
        say(f"{out.name}: has {held}; {pool.decision}")
        out.instances = f"1 → {found}, at the end {held}"
        note(out, group, state)
        return held


def one_more(out: RamLimitResult, group: MemoryCgroup, plan: RamLimitPlan) -> None:
    """A worker with a fixed number of instances under the limit; nothing holds it back."""
    count = int(out.instances)
    settings = {"admission": ADMISSION, "engine": ENGINE, "memory": {"reserve": 0}}
    worker = WorkerServer(instances=count, models=plan.models, settings=settings, cgroup=group)
    with worker:
        worker.wait_listening()
        booted = wait_warm(worker, count, seconds=300)
        say(f"{out.name}: {booted} are warm")
        load(out, lambda: worker.port, worker.state, plan)
        try:
            note(out, group, worker.state())
        except OSError:  # the worker itself was killed
            out.peak, out.killed = group.peak, group.killed


def wait_warm(worker: WorkerServer, count: int, *, seconds: float) -> int:
    """Until all are warm or that time is over, for the kernel may have killed one. Returns how many
    are."""
    deadline = time.monotonic() + seconds
    ready = 0
    while ready < count and worker.alive and time.monotonic() < deadline:
        time.sleep(0.5)
        ready = worker.state().instances.ready
    return ready


def note(out: RamLimitResult, group: MemoryCgroup, state: State) -> None:
    out.peak, out.killed = group.peak, group.killed
    out.deaths, out.failed_boots = state.counters.deaths, state.counters.boot_failures
    out.footprint = state.footprint.bytes


def load(
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


def report(fits: RamLimitResult, fixed: RamLimitResult, plan: RamLimitPlan) -> Report:
    limit, outcomes = plan.limit, (fits, fixed)
    lines: tuple[tuple[str, Callable[[RamLimitResult], str]], ...] = (
        ("instances", lambda one: one.instances),
        ("processes that the kernel killed", lambda one: str(one.killed)),
        ("instances that died at work", lambda one: str(one.deaths)),
        ("boots that failed", lambda one: str(one.failed_boots)),
        ("pages read", lambda one: str(one.read)),
        ("requests without their text", lambda one: str(one.lost)),
        ("seconds of load", lambda one: f"{one.seconds:.0f}"),
        (f"most memory, of {format_bytes(limit)}", lambda one: format_bytes(one.peak)),
        ("footprint of an instance", lambda one: format_bytes(one.footprint)),
    )
    return Report(
        part="ram-limit",
        title=f"real PaddleOCR in a memory cgroup of {format_bytes(limit)}",
        method=(
            f"{CLIENTS} clients, closed loop,",
            "every second page an A4 one at 300 dpi, the others"
            if plan.stride == 2
            else "one after the other an A4 page at 300 dpi and the",
            "mixed set; PP-OCRv5 mobile, one CPU thread an instance; the same limit, admission and",
            f"pages for both, memory.reserve {plan.reserve} for `ocrpool up`, none for the fixed",
            "number. Kills: `oom_kill` of the cgroup.",
        ),
        columns=("", *(one.name for one in outcomes)),
        rows=tuple((name, *(shown(one) for one in outcomes)) for name, shown in lines),
        goals=(
            Goal("killed under ocrpool up", fits.killed, 0, at_least=False),
            Goal("requests lost under ocrpool up", fits.lost, 0, at_least=False),
            Goal("killed with one more", fixed.killed, 1),
        ),
        rounds={one.name: {"answers": dict(one.answers), "peak": one.peak} for one in outcomes},
    )


if __name__ == "__main__":
    sys.exit(main())
