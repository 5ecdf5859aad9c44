"""The cost of a proxy: a worker with the noop engine, called directly and through HAProxy."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from tools.bench.compare.turns import AnyServer, measure_servers
from tools.bench.lib.payload import json_body, json_request
from tools.bench.lib.proxy import ProxyServer
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, ratio
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
        ways: dict[str, AnyServer] = {DIRECT: worker}
        for buffer in BUFFERS:
            name = f"proxy, buffer {buffer}"
            proxy = stack.enter_context(ProxyServer(worker.port, buffer=buffer, name=name))
            ways[name] = proxy.wait_ready()
        figures = measure_servers(ways, request, clients=MANY, seconds=seconds, rounds=rounds)
    rates, cpu, p50 = figures.rates, figures.cpu, figures.p50
    above = figures.above(DIRECT)
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
        rounds=figures.rounds(),
    )
