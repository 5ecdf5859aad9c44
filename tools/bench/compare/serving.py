"""The cost of serving without OCR: the noop engine and an image as base64 in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from statistics import median, quantiles

from tools.bench.compare.turns import AnyServer, measure_servers
from tools.bench.lib.other_build import checkout_of
from tools.bench.lib.payload import json_body, json_request
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, ratio
from tools.bench.lib.samples import null_image_94k
from tools.bench.lib.servers import Server
from tools.bench.lib.worker import WorkerServer

MANY = 64
AIOHTTP = "bare aiohttp"
FASTEST = "bare aiohttp, fastest parsers"
WORKER = "worker, noop engine"
BEFORE = "worker before, noop engine"
LITSERVE = "LitServe"
# A comparison with another build needs more rounds, because the difference is small.
ROUNDS, ROUNDS_BEFORE = 7, 9
# By file, because the names of engines come from the installed package. The second one is older.
ENGINES = {
    "engine/noop.py": "ocrpool_worker.engine.noop:NoopEngine",
    "engine/null.py": "ocrpool_worker.engine.null:NullEngine",
}


def run(setup: Setup) -> Report:
    image = null_image_94k()
    request = json_request(image)
    seconds = 1.0 if setup.quick else 4.0
    rounds = setup.rounds(ROUNDS_BEFORE if setup.before else ROUNDS)
    with ExitStack() as stack:
        servers = _servers(stack, setup.before)
        figures = measure_servers(
            servers,
            request,
            clients=MANY,
            seconds=seconds,
            rounds=rounds,
            before_turn=lambda server: _freeze_others(server, servers.values()),
        )
        fastest = servers[FASTEST].log_tail(1)
    rates, cpu, p50 = figures.rates, figures.cpu, figures.p50
    above = figures.above(AIOHTTP)
    rows = tuple(
        (
            name,
            f"{median(rates[name]):.0f}",
            f"{ratio(rates[name], rates[AIOHTTP]):.2f}",
            f"{ratio(rates[name], rates[LITSERVE]):.2f}",
            f"{median(cpu[name]):.2f}",
            f"{median(p50[name]):.2f}",
            f"{above[name]:+.2f}",
        )
        for name in servers
    )
    return Report(
        part="serving",
        title="the serving layer alone",
        method=(
            f"POST /ocr with {len(json_body(image)):,} bytes of JSON, visualize false;",
            f"{rounds} rounds in turns of {seconds:g} s with {MANY} clients, then",
            f"of {seconds / 2:g} s with one; closed loop, kept-alive connections, one load",
            "generator for all, on the same cores. Worker and LitServe: two processes that",
            "do nothing, LitServe with its default settings. The bare handlers: request.json(),",
            f"base64.b64decode, a JSON answer of like size; the fastest parsers were {fastest}.",
            "All others except the worker are frozen (SIGSTOP) while one is measured.",
            "Ratios and differences: medians over the rounds. CPU: of all processes of a server.",
        ),
        columns=(
            "",
            f"req/s at {MANY}",
            "of bare aiohttp",
            "of LitServe",
            "CPU ms/req",
            "p50 ms at 1",
            "ms above bare",
        ),
        rows=rows,
        goals=(
            Goal("worker, times LitServe", ratio(rates[WORKER], rates[LITSERVE]), 2),
            Goal("worker, of bare aiohttp", ratio(rates[WORKER], rates[AIOHTTP]), 0.7),
            Goal("worker, ms above bare aiohttp at one client", above[WORKER], 0.6, at_least=False),
            *_goals_before(rates, cpu, p50),
        ),
        rounds=figures.rounds(),
    )


def _goals_before(
    rates: dict[str, list[float]], cpu: dict[str, list[float]], p50: dict[str, list[float]]
) -> tuple[Goal, ...]:
    """The goals against the earlier build, where there is one."""
    if BEFORE not in rates:
        return ()
    pairs = [a / b for a, b in zip(rates[WORKER], rates[BEFORE], strict=True)]
    low, _, high = quantiles(pairs) if len(pairs) > 1 else (pairs[0],) * 3
    spread = f"quartiles {low:.2f} to {high:.2f}"
    return (
        Goal(f"req/s at {MANY}, times the build before ({spread})", median(pairs), 1.3),
        Goal("CPU of the build before, times the worker's", ratio(cpu[BEFORE], cpu[WORKER]), 1.3),
        Goal("p50 at one client, of the build before", ratio(p50[WORKER], p50[BEFORE]), 1.0, False),
    )


def _servers(stack: ExitStack, before: str | None) -> dict[str, AnyServer]:
    servers: dict[str, AnyServer] = {
        AIOHTTP: Server("tools.bench.compare.peers.bare_aiohttp", name=AIOHTTP),
        FASTEST: Server(
            "tools.bench.compare.peers.bare_aiohttp", "--parser", "fastest", name=FASTEST
        ),
        WORKER: WorkerServer(instances=2, engine={"name": "noop"}),
        LITSERVE: Server("tools.bench.compare.peers.lit_noop", "--workers", "2", name=LITSERVE),
    }
    if before is not None:
        code = checkout_of(before)
        package = code / "worker_image" / "ocrpool_worker"
        engine = next(name for file, name in ENGINES.items() if (package / file).exists())
        servers[BEFORE] = WorkerServer(instances=2, engine={"name": engine}, name=BEFORE, code=code)
    for server in servers.values():
        stack.enter_context(server)
        server.wait_ready()
    return servers


def _freeze_others(server: AnyServer, servers: Iterable[AnyServer]) -> None:
    """Let one server run, because LitServe's idle loops poll and cost all others. The worker is
    never frozen: it measures the time of its instances."""
    for other in servers:
        if other is not server and not isinstance(other, WorkerServer):
            other.pause()
    server.resume()
