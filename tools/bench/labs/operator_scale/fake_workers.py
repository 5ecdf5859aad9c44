"""Stand-ins for the workers: one server at the addresses that kwok gives the pods.

Each address is a worker of its own: it takes `PUT /v1/instances`, has at once what it was
asked for, and reports less free memory for it. It has six instances and room for no seventh, so
the planner has something to compute at every look, and holds. It reads no page.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from aiohttp import web

from ocrpool.protocol import Counters, Device, Footprint, Instance, Instances, Memory, Queue, State

PORT = 8081
GIB = 2**30
FOOTPRINT = GIB
INSTANCES = 6
# Strangers on the device take and give back this much all the time.
JITTER = 200 * 2**20
# Beyond the instances 1.75 to 1.95 GiB: more than the 1.25 that the planner keeps of a reserve of 1
# GiB, or it would shrink and grow for ever; less than the 2.35 at which it asks for another one.
TOTAL = INSTANCES * GIB + 7 * GIB // 4 + JITTER
# Longer than anybody waits for an answer.
FOREVER_S = 3600.0


@dataclass(slots=True)
class _Workers:
    """What was asked of each address, and those whose machine is lost."""

    targets: dict[str, int] = field(default_factory=dict)
    dark: set[str] = field(default_factory=set)


def addresses(block: IPv4Network) -> list[str]:
    """All that kwok may hand out: it does so in order, and those of pods that are gone again."""
    return [str(each) for each in block]


@contextmanager
def serving(at: Sequence[str]) -> Iterator[None]:
    """The server, in a process of its own."""
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(at,), daemon=True)
    server.start()
    try:
        yield
    finally:
        server.terminate()
        server.join()


def lose(at: Sequence[str], lost: Sequence[str]) -> None:
    """From now on nothing answers at these addresses, as where a machine is gone."""
    request = urllib.request.Request(
        f"http://{at[0]}:{PORT}/stand-in/lose", data=json.dumps(list(lost)).encode()
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def _serve(at: Sequence[str]) -> None:
    known = _Workers()

    def address(request: web.Request) -> str:
        assert request.transport is not None
        return str(request.transport.get_extra_info("sockname")[0])

    async def answer(request: web.Request) -> web.Response:
        if address(request) in known.dark:
            await asyncio.sleep(FOREVER_S)
        text = _state(known.targets.get(address(request), INSTANCES)).model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json")

    async def set_target(request: web.Request) -> web.Response:
        known.targets[address(request)] = (await request.json())["target"]
        return await answer(request)

    async def go_dark(request: web.Request) -> web.Response:
        known.dark.update(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/state", answer)
    app.router.add_put("/v1/instances", set_target)
    app.router.add_post("/v1/drain", answer)
    app.router.add_post("/stand-in/lose", go_dark)
    web.run_app(app, host=list(at), port=PORT, print=lambda _: None, access_log=None)


def _state(target: int) -> State:
    """A busy worker with all its instances, and figures that jitter."""
    now = time.monotonic_ns()
    free = max(0, TOTAL - target * FOOTPRINT - now % JITTER)
    each = tuple(
        Instance(
            id=f"i{number}",
            pid=100 + number,
            state="busy",
            age_seconds=time.monotonic(),
            busy_seconds=0.1,
            requests=now % 10**6,
            memory=FOOTPRINT,
            peak=FOOTPRINT,
        )
        for number in range(target)
    )
    return State(
        device=Device(
            kind="gpu",
            name="stand-in",
            uuid="GPU-0",
            memory=Memory(total=TOTAL, used=TOTAL - free, free=free),
        ),
        instances=Instances(target=target, ready=target, booting=0, ceiling=256, each=each),
        footprint=Footprint(bytes=FOOTPRINT, source="rss"),
        queue=Queue(depth=3, capacity=64, oldest_seconds=0.5),
        counters=Counters(requests=now % 10**9),
        ready=True,
        draining=False,
    )
