"""A stand-in for the API server and a worker's control port, in a thread of its own.

It says yes to everything, keeps the one Lease as the real one does (resourceVersion, conflicts),
and notes every other write when the whole of it has arrived, and whether that was after another
operator had taken the Lease over. Real semantics: tests/operator.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

from aiohttp import web

from tests.threaded_server import ThreadedServer


class FakeApi(ThreadedServer):
    """Use as a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """Everything anew: there is no Lease, and nobody wrote."""
        self.lease: dict[str, Any] = {}
        self.taken = False
        self.writes: list[str] = []
        # Holders of the Lease and the writes, begun and answered, in their order, with the time.
        self.log: list[tuple[float, str]] = []
        # Calls with this in their method and path are answered when `let_go` is set.
        self.held = ""
        self.let_go = threading.Event()
        # Those that came after `take_over`.
        self.late: list[str] = []

    def take_over(self) -> None:
        """Another operator takes the Lease, after all that has been sent was read."""

        async def take() -> None:
            for _ in range(3):
                await asyncio.sleep(0.002)
            self.taken = True
            self._keep({"spec": {"holderIdentity": "another"}})

        asyncio.run_coroutine_threadsafe(take(), self._loop).result(30)

    def settle(self) -> None:
        """Wait until all that has been sent was read."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), self._loop).result(30)

    def _note(self, what: str) -> None:
        self.log.append((time.monotonic(), what))

    def _keep(self, body: dict[str, Any]) -> dict[str, Any]:
        version = int(self.lease.get("metadata", {}).get("resourceVersion", 0)) + 1
        self._note(f"held by {body['spec']['holderIdentity']}")
        self.lease = {**body, "metadata": {"name": "it", "resourceVersion": str(version)}}
        return self.lease

    async def _answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else {}
        call = f"{request.method} {request.path}"
        if "/leases" not in request.path and request.method != "GET":
            (self.late if self.taken else self.writes).append(call)
            self._note(call)
        if self.held and self.held in call:
            self._note(f"holding {call}")
            await asyncio.to_thread(self.let_go.wait, 60)
            self._note(f"answered {call}")
        if "/leases" in request.path:
            return self._lease(request, body)
        meta = {"uid": "u", "resourceVersion": "1", "name": "pages-0", "namespace": "default"}
        return web.json_response({**body, "metadata": {**meta, **body.get("metadata", {})}})

    def _lease(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        there = bool(self.lease)
        if request.method == "GET":
            return web.json_response(self.lease, status=200 if there else 404)
        if request.method == "POST":
            return web.json_response(
                {} if there else self._keep(body), status=409 if there else 201
            )
        same = there and (
            body["metadata"].get("resourceVersion") == self.lease["metadata"]["resourceVersion"]
        )
        return web.json_response(self._keep(body) if same else {}, status=200 if same else 409)
