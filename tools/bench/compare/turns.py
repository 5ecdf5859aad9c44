"""What one server costs per request: its rate under many clients, its CPU time, its latency.

`serving` and `proxy` compare servers that do no OCR by these figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

from tools.bench.lib.cpu import cpu_seconds
from tools.bench.lib.load import Load, generate
from tools.bench.lib.proxy import ProxyServer
from tools.bench.lib.rounds import take_turns
from tools.bench.lib.servers import Server
from tools.bench.lib.worker import WorkerServer

AnyServer = Server | WorkerServer | ProxyServer


@dataclass(frozen=True)
class ServerTurn:
    """`cpu_ms`: milliseconds of CPU time per request, of all processes of the server together."""

    load: Load
    cpu_ms: float


@dataclass(frozen=True)
class ServerFigures:
    """By server, one value for each round: requests a second and CPU milliseconds per request with
    many clients, and the median latency in milliseconds with one client."""

    rates: dict[str, list[float]]
    cpu: dict[str, list[float]]
    p50: dict[str, list[float]]

    def above(self, base: str) -> dict[str, float]:
        """By server: milliseconds of latency more than `base`, the median over the rounds."""
        return {
            name: median(a - b for a, b in zip(values, self.p50[base], strict=True))
            for name, values in self.p50.items()
        }

    def rounds(self) -> dict[str, dict[str, list[float]]]:
        return {"perSecond": self.rates, "cpuMilliseconds": self.cpu, "p50Milliseconds": self.p50}


def measure_servers(
    servers: Mapping[str, AnyServer],
    request: bytes,
    *,
    clients: int,
    seconds: float,
    rounds: int,
    before_turn: Callable[[AnyServer], None] = lambda server: None,
) -> ServerFigures:
    """Let the servers take turns: first with many clients, then, half as long, with one."""

    def turn(server: AnyServer, clients: int, seconds: float) -> ServerTurn:
        before_turn(server)
        generate(server.port, [request], clients=clients, seconds=0.3)  # the warm-up
        assert server.process is not None
        before = cpu_seconds([server.process.pid])
        load = generate(server.port, [request], clients=clients, seconds=seconds)
        cpu = cpu_seconds([server.process.pid]) - before
        return ServerTurn(load, cpu * 1000 / len(load.records))

    def turns(clients: int, seconds: float) -> dict[str, list[ServerTurn]]:
        each = {name: partial(turn, server, clients, seconds) for name, server in servers.items()}
        return take_turns(each, rounds)

    many, one = turns(clients, seconds), turns(1, seconds / 2)
    return ServerFigures(
        rates={name: [turn.load.per_second for turn in taken] for name, taken in many.items()},
        cpu={name: [turn.cpu_ms for turn in taken] for name, taken in many.items()},
        p50={
            name: [median(turn.load.latencies) * 1000 for turn in taken]
            for name, taken in one.items()
        },
    )
