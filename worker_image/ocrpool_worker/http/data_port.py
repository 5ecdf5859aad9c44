"""The data port: `POST /ocr`, compatible with PaddleX's OCR service, and `POST /v1/ocr`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web
from pydantic import ValidationError

from ocrpool_worker.admission import Kind, admit, check_scaling
from ocrpool_worker.errors import BadRequest, RequestError
from ocrpool_worker.http import responses
from ocrpool_worker.http.base64_text import decode_text
from ocrpool_worker.http.metrics import WorkerMetrics
from ocrpool_worker.http.params import (
    OcrRequest,
    Params,
    QueryParams,
    describe_errors,
)
from ocrpool_worker.http.request_bodies import RequestBodies, UnsupportedEncoding
from ocrpool_worker.http.request_parser import RequestParser, WrongRequest
from ocrpool_worker.http.response_sending import PendingResponses, PiecewiseResponse
from ocrpool_worker.http.url_fetcher import UrlFetcher, is_url
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor.requests import Form, PageAnswer, RequestSpec
from ocrpool_worker.supervisor.supervisor import Supervisor

_FILE_TYPES: dict[int, Kind] = {0: "pdf", 1: "image"}


class _HeldMemory:
    """The part of `bodyMemory` that one request holds. It is released when the block ends."""

    def __init__(self, bodies: RequestBodies) -> None:
        self._bodies = bodies
        self.size = 0

    def grow(self, more: int) -> None:
        """Hold `more` bytes; a negative number releases some. Raises QueueFull."""
        if more < 0:
            self.shrink(self.size + more)
            return
        self._bodies.hold(more)
        self.size += more

    def shrink(self, size: int) -> None:
        """Release all but `size` bytes."""
        if size < self.size:
            self._bodies.release(self.size - size)
            self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.shrink(0)


class DataPort:
    """The handlers of the data port over one supervisor."""

    def __init__(
        self, supervisor: Supervisor, metrics: WorkerMetrics, settings: WorkerSettings
    ) -> None:
        self._supervisor = supervisor
        self._metrics = metrics
        self._limits = settings.admission
        self._visualize = settings.http.visualize
        self._bodies = RequestBodies(settings.admission)
        self._pending = PendingResponses(settings.http.take_seconds, metrics.cut_off.inc)
        self._parser = RequestParser(settings.admission.timeout_seconds)
        http = settings.http
        self._fetcher = (
            UrlFetcher(settings.admission, http, self._bodies) if http.fetch_urls else None
        )

    def application(self) -> web.Application:
        errors = responses.errors_as_json("/ocr, /v1/ocr and /health")
        app = web.Application(middlewares=[self._measure, errors])
        app.router.add_post("/ocr", self.ocr)
        app.router.add_post("/v1/ocr", self.v1_ocr)
        app.router.add_get("/health", self.health)
        return app

    async def wait_until_sent(self) -> None:
        """Wait until every response has been handed to the kernel."""
        await self._pending.wait_until_sent()

    async def close(self) -> None:
        if self._fetcher is not None:
            await self._fetcher.close()

    async def ocr(self, request: web.Request) -> web.StreamResponse:
        """Handle `POST /ocr`. Errors have PaddleX's shape, with the `logId` of the request."""
        log_id = ""
        try:
            with self._supervisor.track_arrival(), _HeldMemory(self._bodies) as held:
                body = await self._bodies.read_body(request)
                held.size = len(body)
                asked, file = await self._parse(body, held)
                log_id = asked.log_id or ""
                expected = None if asked.file_type is None else _FILE_TYPES[asked.file_type]
                pictures = self._visualize if asked.visualize is None else asked.visualize
                data = await self._file_bytes(file)
                if isinstance(file, str) and is_url(file):
                    held.size += len(data)  # counted by the fetcher already
                del body, file
                held.shrink(len(data))
                kind, pages = await self._recognise(data, asked, "paddlex", expected, pictures)
        except WrongRequest as error:
            return responses.paddlex_error(error.log_id or str(uuid.uuid4()), 422, error.message)
        except RequestError as error:
            return responses.paddlex_error(
                log_id or str(uuid.uuid4()),
                error.status,
                error.message,
                retry_after=error.retry_after,
            )
        return responses.paddlex_response(log_id or str(uuid.uuid4()), kind, pages)

    async def v1_ocr(self, request: web.Request) -> web.StreamResponse:
        """Handle `POST /v1/ocr`: the body is the image or PDF, parameters are in the query."""
        with self._supervisor.track_arrival():
            return await self._v1_ocr(request)

    async def _v1_ocr(self, request: web.Request) -> web.StreamResponse:
        if request.content_type.startswith("multipart/"):
            raise UnsupportedEncoding(
                "send the file itself as the body, not as a form: curl --data-binary @FILE"
            )
        try:
            params = QueryParams.model_validate(dict(request.query))
        except ValidationError as error:
            message, field = describe_errors(error)
            raise BadRequest(message, field=field) from None
        body = await self._bodies.read_body(request)
        try:
            _, pages = await self._recognise(body, params, "lines", None, False)
        finally:
            self._bodies.release(len(body))
        return responses.lines_response(pages)

    async def health(self, request: web.Request) -> web.Response:
        """Handle PaddleX's health check. Unlike PaddleX's, it answers 503 while not ready."""
        log_id = str(uuid.uuid4())
        if self._supervisor.ready:
            text = {"logId": log_id, "errorCode": 0, "errorMsg": "Healthy"}
            return web.json_response(text)
        problem = self._supervisor.problem()
        message = f"{problem.reason}: {problem.message}" if problem else "no instance is ready"
        return responses.paddlex_error(log_id, 503, message)

    async def _recognise(
        self, data: Buffer, params: Params, form: Form, expected: Kind | None, pictures: bool
    ) -> tuple[Kind, list[PageAnswer]]:
        try:
            admitted = admit(data, self._limits, expected=expected)
            given = params.given()
            check_scaling(admitted.width, admitted.height, given, self._limits)
        except RequestError:
            self._supervisor.counters["refused"] += 1
            raise
        spec = RequestSpec(
            kind=admitted.kind,
            form=form,
            width=admitted.width,
            height=admitted.height,
            params=given,
            pictures=pictures,
        )
        pages = await self._supervisor.process(data, spec, arrived=True)
        kind = "image" if admitted.kind == "tiff" and len(pages) == 1 else admitted.kind
        return kind, pages

    async def _parse(
        self, body: bytearray, held: _HeldMemory
    ) -> tuple[OcrRequest, Buffer | str | RequestError]:
        asked = await self._parser.parse(body, held.grow)
        return asked.request, asked.file

    async def _file_bytes(self, file: Buffer | str | RequestError) -> Buffer:
        """The bytes of `file`, which is base64, a data URL, or a URL where URLs are allowed."""
        if isinstance(file, RequestError):
            raise file
        if not isinstance(file, str):
            return file
        if is_url(file):
            if self._fetcher is None:
                raise BadRequest(
                    "file is a URL, and this worker fetches no URLs (http.fetchUrls is false); "
                    "send the file as base64",
                    field="file",
                )
            return await self._fetcher.fetch(file)
        return decode_text(file)

    @web.middleware
    async def _measure(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        began = time.perf_counter()
        response = await handler(request)
        if self._supervisor.draining:
            # Clients that keep connections open must open the next one to another worker.
            response.force_close()
        resource = request.match_info.route.resource
        endpoint = resource.canonical if resource is not None else "other"
        self._metrics.observe_response(endpoint, response.status, time.perf_counter() - began)
        self._pending.watch(request.transport)
        if isinstance(response, PiecewiseResponse):
            response.track(self._pending, request)
        return response
