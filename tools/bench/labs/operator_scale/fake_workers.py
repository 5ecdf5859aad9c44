"""Fake workers: one server at the addresses that kwok gives the pods.

Each address is a worker of its own. It accepts `PUT /v1/instances`, has the new number at once, and
reports less free memory for it. It has six instances and no memory for a seventh, so the planner
computes something at every observation and holds. It reads no page.
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

from ocrpool.planner.simulated_state import simulated_device, simulated_instance, simulated_state
from ocrpool.protocol import Counters, State

PORT = 8081
GIB = 2**30
FOOTPRINT = GIB
INSTANCES = 6
# Other processes on the device take and give back this much all the time.
JITTER = 200 * 2**20
# 1.75 to 1.95 GiB are free beside the instances. The planner would shrink and grow for ever below
# 1.25 GiB (its limit for a reserve of 1 GiB), and it would add an instance from 2.35 GiB on.
TOTAL = INSTANCES * GIB + 7 * GIB // 4 + JITTER
# Longer than any client waits for an answer.
FOREVER_S = 3600.0


@dataclass(slots=True)
class _FakeWorkers:
    """The target of each address, and the addresses of lost machines."""

    targets: dict[str, int] = field(default_factory=dict)
    lost_addresses: set[str] = field(default_factory=set)


def addresses(block: IPv4Network) -> list[str]:
    """All addresses that kwok may assign: it does so in order, and reuses those of deleted pods."""
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
    """Stop answering at these addresses, as if their machines were lost."""
    request = urllib.request.Request(
        f"http://{at[0]}:{PORT}/fake-workers/lose", data=json.dumps(list(lost)).encode()
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def _serve(at: Sequence[str]) -> None:
    known = _FakeWorkers()

    def address(request: web.Request) -> str:
        assert request.transport is not None
        return str(request.transport.get_extra_info("sockname")[0])

    async def answer(request: web.Request) -> web.Response:
        if address(request) in known.lost_addresses:
            await asyncio.sleep(FOREVER_S)
        text = _state(known.targets.get(address(request), INSTANCES)).model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json")

    async def set_target(request: web.Request) -> web.Response:
        known.targets[address(request)] = (await request.json())["target"]
        return await answer(request)

    async def lose_addresses(request: web.Request) -> web.Response:
        known.lost_addresses.update(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/state", answer)
    app.router.add_put("/v1/instances", set_target)
    app.router.add_post("/v1/drain", answer)
    app.router.add_post("/fake-workers/lose", lose_addresses)
    web.run_app(app, host=list(at), port=PORT, print=lambda _: None, access_log=None)


def _state(target: int) -> State:
    """A busy worker with all its instances; its figures change with every call."""
    now = time.monotonic_ns()
    free = max(0, TOTAL - target * FOOTPRINT - now % JITTER)
    busy = simulated_instance(FOOTPRINT, "busy").model_copy(update={"requests": now % 10**6})
    return simulated_state(
        simulated_device(TOTAL, free),
        [busy] * target,
        footprint=FOOTPRINT,
        ceiling=256,
        queued=3,
        counters=Counters(requests=now % 10**9),
    )
