"""The control port: state and commands for the operator, probes, metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import ValidationError

from ocrpool.protocol import InstancesTarget
from ocrpool_worker.errors import BadRequest, RequestError
from ocrpool_worker.http import responses
from ocrpool_worker.http.csrf import is_cross_origin
from ocrpool_worker.http.metrics import WorkerMetrics
from ocrpool_worker.http.params import describe_errors
from ocrpool_worker.http.request_bodies import SlowBody
from ocrpool_worker.settings import HttpSettings
from ocrpool_worker.supervisor.supervisor import Supervisor

_log = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Forbidden(RequestError):
    """A web page of another origin must not control the worker."""

    status, reason = 403, "Forbidden"


class Ending(RequestError):
    """The worker is shutting down after a signal, which cannot be undone."""

    status, reason = 409, "Ending"


class Unauthorized(RequestError):
    """The control port requires a token, and the request has none or a wrong one."""

    status, reason = 401, "Unauthorized"


class ControlPort:
    """The handlers of the control port over one supervisor."""

    def __init__(
        self, supervisor: Supervisor, metrics: WorkerMetrics, settings: HttpSettings
    ) -> None:
        self._supervisor = supervisor
        self._metrics = metrics
        self._token_file = settings.token_file
        self._lame_duck = settings.lame_duck_seconds
        # No handler takes long. A request that does is waiting for its body.
        self._seconds = settings.header_seconds

    def application(self) -> web.Application:
        errors = responses.errors_as_json(
            "/v1/state, /v1/instances, /v1/drain, /metrics, /livez and /readyz"
        )
        app = web.Application(
            middlewares=[errors, self._no_pages, self._authorize, self._in_time],
            client_max_size=64 * 1024,
        )
        app.router.add_get("/v1/state", self.state)
        app.router.add_put("/v1/instances", self.put_instances)
        app.router.add_post("/v1/drain", self.drain)
        app.router.add_delete("/v1/drain", self.undrain)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        return app

    async def state(self, request: web.Request) -> web.Response:
        return self._state()

    async def put_instances(self, request: web.Request) -> web.Response:
        """Set the number of instances from `{"target": n}`, and return the state."""
        try:
            target = InstancesTarget.model_validate_json(await request.read())
            self._supervisor.set_target(target.target)
        except ValidationError as error:
            message, field = describe_errors(error)
            raise BadRequest(f'{message}; send {{"target": n}}', field=field) from None
        except ValueError as error:
            raise BadRequest(str(error), field="target") from None
        return self._state()

    async def drain(self, request: web.Request) -> web.Response:
        """Stop being ready at once, and refuse new requests after the lame-duck time. Returns the
        state."""
        again = self._supervisor.draining
        self._supervisor.drain(self._lame_duck)
        _log.warning(
            "drain asked for",
            extra={
                "peer": request.remote,
                "again": again,
                "lameDuckSeconds": self._lame_duck,
                "takeBack": "DELETE /v1/drain",
            },
        )
        return self._state()

    async def undrain(self, request: web.Request) -> web.Response:
        """Undo `drain` and accept requests again. Returns the state, or 409 after SIGTERM."""
        was = self._supervisor.draining
        if not self._supervisor.undrain():
            raise Ending("the worker is shutting down after a signal, which cannot be undone")
        if was:
            _log.warning("drain taken back", extra={"peer": request.remote})
        return self._state()

    async def metrics(self, request: web.Request) -> web.Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=self._metrics.text(), headers={"Content-Type": content_type})

    async def livez(self, request: web.Request) -> web.Response:
        """200 while the supervisor's event loop runs."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """200 while at least one instance is ready and requests are accepted, else 503."""
        if self._supervisor.ready:
            return web.Response(text="ok\n")
        problem = self._supervisor.problem()
        text = f"{problem.reason}: {problem.message}\n" if problem else "no instance is ready\n"
        return web.Response(status=503, text=text)

    def _state(self) -> web.Response:
        text = self._supervisor.state().model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json")

    @web.middleware
    async def _no_pages(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if is_cross_origin(request.method, request.headers):
            raise Forbidden(
                "this request was sent by a web page, and web pages must not control a worker; "
                "send it from a program, without the headers Origin and Sec-Fetch-Site"
            )
        return await handler(request)

    @web.middleware
    async def _in_time(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self._seconds):
                return await handler(request)
        except TimeoutError:
            raise SlowBody(
                f"the body did not arrive within {self._seconds:g} s (http.headerSeconds)"
            ) from None

    @web.middleware
    async def _authorize(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if self._token_file is not None and request.path.startswith("/v1/"):
            try:
                # Read at every request: a mounted Secret can change while the worker runs.
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
