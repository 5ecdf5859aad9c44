"""What a proxy costs: the worker with an engine that does nothing, directly and behind HAProxy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from statistics import median

from tools.bench.compare.serving import Turn
from tools.bench.lib.cpu import cpu_seconds
from tools.bench.lib.load_process import generate
from tools.bench.lib.payload import json_body, json_request
from tools.bench.lib.proxy import ProxyServer
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, checked, ratio, take_turns
from tools.bench.lib.samples import null_image_94k
from tools.bench.lib.worker import WorkerServer

MANY = 16
DIRECT = "worker, directly"
BUFFERS = ("1Mi", "4Mi", "16Mi")
DEFAULT = "proxy, buffer 4Mi"


def run(setup: Setup) -> Report:
    image = null_image_94k()
    request = json_request(image)
    seconds, rounds = (1.0 if setup.quick else 4.0), setup.rounds(5)
    with ExitStack() as stack:
        worker = stack.enter_context(WorkerServer(instances=2, engine={"name": "noop"}))
        worker.wait_ready()
        ways: dict[str, WorkerServer | ProxyServer] = {DIRECT: worker}
        for buffer in BUFFERS:
            name = f"proxy, buffer {buffer}"
            ways[name] = stack.enter_context(ProxyServer(worker.port, buffer=buffer, name=name))
            ways[name].wait_ready()
        many = take_turns(_turns(ways, request, MANY, seconds), rounds)
        one = take_turns(_turns(ways, request, 1, seconds / 2), rounds)
    rates = {name: [turn.result.per_second for turn in turns] for name, turns in many.items()}
    cpu = {name: [turn.cpu_ms for turn in turns] for name, turns in many.items()}
    p50 = {
        name: [median(turn.result.latencies) * 1000 for turn in turns]
        for name, turns in one.items()
    }
    above = {
        name: median(a - b for a, b in zip(values, p50[DIRECT], strict=True))
        for name, values in p50.items()
    }
    rows = tuple(
        (
            name,
            f"{median(rates[name]):.0f}",
            f"{ratio(rates[name], rates[DIRECT]):.2f}",
            f"{median(cpu[name]):.2f}",
            f"{median(p50[name]):.2f}",
            f"{above[name]:+.2f}",
        )
        for name in ways
    )
    return Report(
        part="proxy",
        title="the proxy",
        method=(
            f"POST /ocr with {len(json_body(image)):,} bytes of JSON, visualize false, to one",
            "worker with two instances that do nothing, directly and through HAProxy with the",
            f"operator's settings; {rounds} rounds in turns of {seconds:g} s with {MANY} clients,",
            f"then of {seconds / 2:g} s with one; closed loop, kept-alive connections, the load",
            "generator on the same cores. CPU: of the process that the clients talk to alone.",
            "Ratios and differences: medians over the rounds.",
        ),
        columns=(
            "",
            f"req/s at {MANY}",
            "of directly",
            "CPU ms/req",
            "p50 ms at 1",
            "ms above directly",
        ),
        rows=rows,
        goals=(Goal("proxy, ms above directly at one client", above[DEFAULT], 5, at_least=False),),
        rounds={"perSecond": rates, "cpuMilliseconds": cpu, "p50Milliseconds": p50},
    )


def _turns(
    ways: dict[str, WorkerServer | ProxyServer], request: bytes, clients: int, seconds: float
) -> dict[str, Callable[[], Turn]]:
    def measure(way: WorkerServer | ProxyServer) -> Turn:
        generate(way.port, [request], clients=clients, seconds=0.3)  # awake and warm
        assert way.process is not None
        before = cpu_seconds([way.process.pid])
        result = checked(generate(way.port, [request], clients=clients, seconds=seconds))
        cpu = cpu_seconds([way.process.pid]) - before
        return Turn(result, cpu * 1000 / len(result.latencies))

    return {name: partial(measure, way) for name, way in ways.items()}
