"""An aiohttp server in a thread of its own, for tests whose own loop must not serve it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web


class ThreadedServer:
    """Use as a context manager. `url`: where it listens. Subclasses answer in `_answer`."""

    def __init__(self, *, largest_body: int = 2**20) -> None:
        self._largest_body = largest_body
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._up = threading.Event()
        self._end = asyncio.Event()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    @asynccontextmanager
    async def _resources(self) -> AsyncIterator[None]:
        """What the server needs until its last connection is closed."""
        yield

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        # Closed connections are taken down by the loop's next turns; without them their sockets
        # would be left to the garbage collector, which tells it in the middle of another test.
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=self._largest_body)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with self._resources():
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            self._up.set()
            await self._end.wait()
            await runner.cleanup()
