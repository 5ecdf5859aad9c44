"""Responses to clients: pages as the instances wrote them, joined, and errors as JSON."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from ocrpool_worker.admission import Kind
from ocrpool_worker.errors import RequestError
from ocrpool_worker.http.response_sending import PiecewiseResponse
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.supervisor.requests import PageAnswer

_log = logging.getLogger(__name__)
_JSON = "application/json"


def lines_response(pages: Sequence[PageAnswer]) -> web.StreamResponse:
    """The response of `/v1/ocr`: `{"pages": [{width, height, lines}]}`. A page that could not be
    read has `error`."""
    return PiecewiseResponse([b'{"pages":[', *_separated(pages), b"]}"], _JSON)


def paddlex_response(log_id: str, kind: Kind, pages: Sequence[PageAnswer]) -> web.StreamResponse:
    """The response of `/ocr`: PaddleX's fields in PaddleX's order."""
    info = msgspec.json.encode(_data_info(kind, pages))
    return PiecewiseResponse(
        [
            b'{"logId":%s,"result":{"ocrResults":[' % msgspec.json.encode(log_id),
            *_separated(pages),
            b'],"dataInfo":%s},"errorCode":0,"errorMsg":"Success"}' % info,
        ],
        _JSON,
    )


def _separated(pages: Sequence[PageAnswer]) -> Iterator[Buffer]:
    for number, page in enumerate(pages):
        if number:
            yield b","
        yield page.json


def _data_info(kind: Kind, pages: Sequence[PageAnswer]) -> dict[str, object]:
    sizes = [{"width": page.width, "height": page.height} for page in pages]
    if kind == "image":
        return {**sizes[0], "type": "image"}
    return {"numPages": len(sizes), "pages": sizes, "type": kind}


def paddlex_error(
    log_id: str, status: int, message: str, *, retry_after: float | None = None
) -> web.Response:
    """An error in PaddleX's shape. `errorCode` is the HTTP status."""
    body = {"logId": log_id, "errorCode": status, "errorMsg": message}
    return web.json_response(body, status=status, headers=_retry(retry_after))


def error_response(failure: RequestError) -> web.Response:
    """An error of `/v1/*`: reason, message, and the field and limit concerned."""
    body: dict[str, object] = {"status": failure.status, "reason": failure.reason}
    body["message"] = failure.message
    if failure.field is not None:
        body["field"] = failure.field
    if failure.limit is not None:
        body["limit"] = failure.limit
    headers = _retry(failure.retry_after)
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 asks for it
    return web.json_response({"error": body}, status=failure.status, headers=headers)


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def errors_as_json(endpoints: str) -> Middleware:
    """A middleware that turns every exception of a handler into JSON, in the shape of the path.

    `endpoints`: the endpoints of this port, for the message of 404.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as failure:
            return error_response(failure)
        except web.HTTPMethodNotAllowed as failure:
            allowed = ", ".join(sorted(failure.allowed_methods))
            message = f"{request.path} does not support {request.method}; it supports {allowed}"
            return _of_status(request, 405, message, allowed)
        except web.HTTPNotFound:
            message = f"nothing is at {request.path}; this port has {endpoints}"
            return _of_status(request, 404, message, None)
        except web.HTTPException as failure:
            return _of_status(request, failure.status, failure.reason, None)
        except (web.RequestPayloadError, HttpProcessingError) as failure:
            why = " ".join(str(failure).split()) or type(failure).__name__
            return _of_status(request, 400, f"the body is not valid HTTP: {why}", None)
        except Exception:
            ident = uuid.uuid4().hex
            _log.exception("a handler failed", extra={"path": request.path, "id": ident})
            return _of_status(request, 500, f"internal error; the log has it as {ident}", None)

    return middleware


def _of_status(
    request: web.Request, status: int, message: str, allow: str | None
) -> web.StreamResponse:
    if request.path == "/ocr":
        response = paddlex_error(str(uuid.uuid4()), status, message)
    else:
        failure = RequestError(message)
        failure.status = status
        failure.reason = HTTPStatus(status).phrase.title().replace(" ", "")
        response = error_response(failure)
    if allow:
        response.headers["Allow"] = allow
    return response


def _retry(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(max(1, round(seconds)))}
