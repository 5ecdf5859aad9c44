"""The control port: state and steering for the operator, probes, metrics."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import ValidationError

from ocrpool_wire import InstancesTarget
from ocrpool_worker.errors import BadRequest, RequestError
from ocrpool_worker.http import replies
from ocrpool_worker.http.metrics import Metrics
from ocrpool_worker.http.params import errors_in_words
from ocrpool_worker.settings import HttpSettings
from ocrpool_worker.supervisor.pool import Pool


class Unauthorized(RequestError):
    """The control port asks for a token, and this is not it."""

    status, reason = 401, "Unauthorized"


class ControlPort:
    """The handlers of the control port over one pool."""

    def __init__(self, pool: Pool, metrics: Metrics, settings: HttpSettings) -> None:
        self._pool = pool
        self._metrics = metrics
        self._token_file = settings.token_file
        self._lame_duck = settings.lame_duck_seconds

    def application(self) -> web.Application:
        errors = replies.errors_as_json(
            "/v1/state, /v1/instances, /v1/drain, /metrics, /livez and /readyz"
        )
        app = web.Application(middlewares=[errors, self._authorize], client_max_size=64 * 1024)
        app.router.add_get("/v1/state", self.state)
        app.router.add_put("/v1/instances", self.put_instances)
        app.router.add_post("/v1/drain", self.drain)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        return app

    async def state(self, request: web.Request) -> web.Response:
        return self._state()

    async def put_instances(self, request: web.Request) -> web.Response:
        """`{"target": n}`: ask for another number of instances; answers the state."""
        try:
            wanted = InstancesTarget.model_validate_json(await request.read())
            self._pool.set_target(wanted.target)
        except ValidationError as error:
            message, field = errors_in_words(error)
            raise BadRequest(f'{message}; send {{"target": n}}', field=field) from None
        except ValueError as error:
            raise BadRequest(str(error), field="target") from None
        return self._state()

    async def drain(self, request: web.Request) -> web.Response:
        """Not ready from now on, and after the lame-duck time no new request is taken; answers
        the state."""
        self._pool.drain(self._lame_duck)
        return self._state()

    async def metrics(self, request: web.Request) -> web.Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=self._metrics.text(), headers={"Content-Type": content_type})

    async def livez(self, request: web.Request) -> web.Response:
        """The supervisor's loop turns."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """A warm instance is there, and requests are taken."""
        if self._pool.ready:
            return web.Response(text="ok\n")
        problem = self._pool.problem()
        text = f"{problem.reason}: {problem.message}\n" if problem else "no instance is ready\n"
        return web.Response(status=503, text=text)

    def _state(self) -> web.Response:
        text = self._pool.state().model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json")

    @web.middleware
    async def _authorize(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if self._token_file is not None and request.path.startswith("/v1/"):
            try:
                # Read at every request: a mounted Secret changes under a running worker.
                token = self._token_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise Unauthorized(f"the token file cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise Unauthorized("the token file is not UTF-8 text") from None
            given = request.headers.get("Authorization", "")
            if not token or not hmac.compare_digest(
                given.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()
            ):
                raise Unauthorized("send Authorization: Bearer TOKEN with the worker's token")
        return await handler(request)
