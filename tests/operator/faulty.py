"""A faulty connection: a proxy in front of the real API server.

All calls pass unchanged, with the real semantics, except for the faults that a test asks for: other
answers, answers that are lost after the write, watches that break in the middle of a line, and an
action directly before a call is passed on. kmock cannot be placed in front of another server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.operator.api import Api
from tests.threaded_server import ThreadedServer

_HOP = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


@dataclass
class Rule:
    """For the next `times` calls whose `METHOD path?query` matches `pattern`. `status`: answer that
    instead; `lost`: pass it on, and hang up instead of answering; `first`: what is done before;
    `delay`: seconds until it is passed on, unless the caller has hung up by then; `late`: seconds
    by which its answer is late."""

    pattern: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    first: Callable[[], object] | None = None
    delay: float = 0.0
    late: float = 0.0
    met: int = 0

    def matches(self, call: str) -> bool:
        return self.met < self.times and re.search(self.pattern, call) is not None


@dataclass(frozen=True)
class Passed:
    """One write. `at`: when all of it had arrived, in monotonic seconds."""

    at: float
    call: str
    body: bytes
    status: int


class FaultyWire(ThreadedServer):
    """`url`: the API server's address for the operator."""

    def __init__(self, api: Api) -> None:
        super().__init__(largest_body=2**26)
        self._api = api
        self._rules: list[Rule] = []
        self._cuts: set[asyncio.Event] = set()
        # Every call as `METHOD path?query`, in their order.
        self.calls: list[str] = []
        # The writes that reached the API server: when they arrived here, how it answered, the body.
        self.passed: list[Passed] = []

    def __exit__(self, *error: object) -> None:
        self.cut_watches()
        super().__exit__(*error)

    def rule(self, pattern: str, **what: Any) -> Rule:
        """Add a rule for calls. A newer rule takes precedence."""
        made = Rule(pattern, **what)
        self._rules.insert(0, made)
        return made

    def clear(self) -> None:
        self._rules.clear()

    def cut_watches(self) -> int:
        """Break every open watch in the middle of a line. Returns their number."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    async def _cut(self) -> int:
        count = len(self._cuts)
        for each in self._cuts:
            each.set()
        return count

    @asynccontextmanager
    async def _resources(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._session:
            yield

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {request.path_qs}"
        self.calls.append(call)
        rule = next((each for each in self._rules if each.matches(call)), None)
        if rule is not None:
            rule.met += 1
            if rule.first is not None:
                await asyncio.to_thread(rule.first)
            if rule.delay:
                # As an API server does: of who hangs up meanwhile nothing is done.
                await asyncio.sleep(rule.delay)
                if request.transport is None or request.transport.is_closing():
                    return web.Response(status=408)
            if rule.status is not None:
                said = {"kind": "Status", "message": "the connection fails", "code": rule.status}
                return web.json_response(said, status=rule.status, headers=rule.headers)
        given, at = await request.read(), time.monotonic()
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        headers["Accept-Encoding"] = "identity"
        async with self._session.request(
            request.method,
            URL(self._api.server + request.raw_path, encoded=True),
            data=given or None,  # no body: no content type either
            headers=headers,
            ssl=self._api.tls,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as upstream:
            kind = {"Content-Type": upstream.headers.get("Content-Type", "")}
            if "watch" in request.query and upstream.status == 200:
                return await self._stream(request, upstream, kind)
            body = await upstream.read()
            if request.method != "GET":
                self.passed.append(Passed(at, call, given, upstream.status))
        if rule is not None and rule.late:
            await asyncio.sleep(rule.late)
        if rule is not None and rule.lost:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=body, status=upstream.status, headers=kind)

    async def _stream(
        self, request: web.Request, upstream: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        cut = asyncio.Event()
        self._cuts.add(cut)
        cutting = asyncio.ensure_future(cut.wait())
        try:
            while True:
                chunk = asyncio.ensure_future(upstream.content.readany())
                await asyncio.wait({chunk, cutting}, return_when=asyncio.FIRST_COMPLETED)
                if cut.is_set():
                    chunk.cancel()
                    await answer.write(json.dumps({"type": "MODIFIED", "object": {}}).encode()[:20])
                    assert request.transport is not None
                    request.transport.abort()
                    return answer
                if not (data := chunk.result()):
                    return answer
                await answer.write(data)
        except (aiohttp.ClientError, ConnectionError):
            return answer
        finally:
            self._cuts.discard(cut)
            cutting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cutting
