"""Pages per second of two instances: the worker, bare processes, LitServe, PaddleX's own server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from tools.bench.lib import direct
from tools.bench.lib.bare import BareOcr, bare_rate
from tools.bench.lib.cpu import cpu_seconds
from tools.bench.lib.load import generate
from tools.bench.lib.payload import json_request, pages_of, plain_request
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, ratio, say, take_turns
from tools.bench.lib.samples import SamplePage, mixed_set
from tools.bench.lib.servers import Process, Server
from tools.bench.lib.worker import WorkerServer

P = TypeVar("P", bound=Process)

INSTANCES = 2
CLIENTS = 8
BARE = "bare processes"
WORKER = "worker, POST /v1/ocr"
WORKER_JSON = "worker, POST /ocr"
METHOD = (
    f"{INSTANCES} OCR processes each (PaddleX: one pipeline, that is what it has), one CPU thread",
    "a process; the mixed set of tools/bench/lib/samples.py, rendered; all up at the same",
    f"time, one measured at a time, in turns. Servers: {CLIENTS} clients, closed loop,",
    "one load generator for all. Bare: each process reads the same files, decoding",
    "included, and its rate is taken",
    "over its own time. LitServe and PaddleX with their default settings; LitServe is frozen",
    "(SIGSTOP) while another one is measured, because its idle servers poll.",
    "Ratio: median of the rounds' ratios. CPU: of all processes of a contestant.",
)


def run(setup: Setup) -> Report:
    # Pages with many lines come first, so that no long page remains at the end.
    pages = sorted(mixed_set(), key=lambda page: -len(page.lines))
    with ExitStack() as stack:
        contest = _Contest(setup, pages, stack)
        turns = take_turns(contest.contestants, setup.rounds(5))
    rates = {name: [turn.rate for turn in taken] for name, taken in turns.items()}
    cpu = {name: [turn.cpu / contest.count for turn in taken] for name, taken in turns.items()}
    rows = tuple(
        (
            name,
            f"{median(values):.2f}",
            f"{ratio(values, rates[BARE]):.3f}",
            f"{median(cpu[name]):.3f}",
            str(contest.differing.get(name, 0)),
        )
        for name, values in rates.items()
    )
    return Report(
        part="throughput",
        title="pages per second of real OCR",
        method=(f"{setup.rounds(5)} rounds of {contest.count} pages.", *METHOD),
        columns=("", "pages/s", "of bare", "CPU s/page", "pages with other text"),
        rows=rows,
        goals=(
            Goal("worker, of bare processes", ratio(rates[WORKER], rates[BARE]), 0.97),
            Goal(
                "worker with JSON, of bare processes", ratio(rates[WORKER_JSON], rates[BARE]), 0.97
            ),
        ),
        rounds={"pagesPerSecond": rates, "cpuSecondsPerPage": cpu},
    )


@dataclass(frozen=True)
class OcrTurn:
    """`rate`: pages per second. `cpu`: CPU seconds of all its processes."""

    rate: float
    cpu: float


class _Contest:
    """The competing processes, started and warm, and how to measure each."""

    def __init__(self, setup: Setup, pages: list[SamplePage], stack: ExitStack) -> None:
        self._pages = pages
        self._repeat = 1 if setup.quick else 4
        self._stack = stack
        self.count = len(pages) * self._repeat
        self.differing: dict[str, int] = {}
        self.contestants: dict[str, Callable[[], OcrTurn]] = {}
        self._bare(setup.models)
        worker = self._up(WorkerServer(instances=INSTANCES, models=setup.models)).wait_ready()
        self._serve(WORKER, worker, plain_request)
        self._serve(WORKER_JSON, worker, json_request)
        models = ("--models", str(setup.models))
        lit = self._up(
            Server(
                "tools.bench.compare.peers.lit_ocr",
                *models,
                "--workers",
                str(INSTANCES),
                name="LitServe",
                environment=direct.ENVIRONMENT,
            )
        ).wait_ready()
        self._serve("LitServe", lit, json_request, freeze=True)
        paddlex = self._up(
            Server(
                "tools.bench.compare.peers.paddlex_serve",
                *models,
                name="PaddleX",
                environment=direct.ENVIRONMENT,
            )
        ).wait_ready()
        self._serve("PaddleX --serve", paddlex, json_request)

    def _up(self, process: P) -> P:
        say(f"starting {process.name}")
        self._stack.enter_context(process)
        return process

    def _bare(self, models: Path) -> None:
        processes = [self._up(BareOcr(models, name=f"bare {i}")) for i in range(INSTANCES)]
        files = []
        for page in self._pages:
            file = processes[0].folder / page.name
            file.write_bytes(page.data)
            files.append(file)
        for process in processes:
            process.finish()
            process.begin(files)  # the warm-up
        answers = [process.finish() for process in processes]
        self._expected: list[list[str]] = answers[0]["texts"]
        # Each process reads every page, so the CPU time is that of INSTANCES readings.
        self._add(BARE, processes, lambda: bare_rate(processes, files * self._repeat), INSTANCES)

    def _serve(
        self,
        name: str,
        server: Server | WorkerServer,
        request: Callable[[bytes], bytes],
        freeze: bool = False,
    ) -> None:
        requests = [request(page.data) for page in self._pages]
        bodies: dict[int, bytes] = {}
        generate(server.port, requests, clients=CLIENTS, bodies=bodies)  # the warm-up
        self.differing[name] = sum(
            pages_of(bodies[number]) != [expected] for number, expected in enumerate(self._expected)
        )

        def rate() -> float:
            server.resume()
            load = generate(server.port, requests * self._repeat, clients=CLIENTS)
            if freeze:
                server.pause()
            return load.per_second

        if freeze:
            server.pause()
        self._add(name, [server], rate)

    def _add(
        self,
        name: str,
        processes: Sequence[Process],
        rate: Callable[[], float],
        times: int = 1,
    ) -> None:
        """`times`: how often a turn reads every page."""
        pids = [process.process.pid for process in processes if process.process is not None]

        def turn() -> OcrTurn:
            before = cpu_seconds(pids)
            pages_per_second = rate()
            return OcrTurn(pages_per_second, (cpu_seconds(pids) - before) / times)

        self.contestants[name] = turn
