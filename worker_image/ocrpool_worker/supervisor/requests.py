"""An accepted request, its work items, and their results."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ocrpool_worker.admission import Kind
from ocrpool_worker.errors import RequestError
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.supervisor.failure_rules import PageFailure

Form = Literal["lines", "paddlex"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """What a client asked for, after admission. `params` are in PaddleOCR's snake_case.

    `shape` is set where `kind` is `pixels`: the bytes are H×W×3 uint8 BGR.
    """

    kind: Kind | Literal["pixels"]
    form: Form = "lines"
    width: int = 0
    height: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = False
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """A page as an instance answered it. `json` goes to the client unchanged. `error`: why this
    page of a document cannot be read."""

    width: int
    height: int
    json: bytes | bytearray
    error: RequestError | None = None


def unread_page(error: RequestError) -> PageAnswer:
    """Takes the place of a page that cannot be read."""
    fields = {"reason": error.reason, "message": error.message}
    page = {"width": 0, "height": 0, "lines": [], "error": fields}
    return PageAnswer(0, 0, json.dumps(page, ensure_ascii=False).encode(), error)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an instance found in a document: the number of pages, and their sizes in pixels."""

    count: int
    sizes: tuple[tuple[int, int], ...]


class AcceptedRequest:
    """One request: its bytes, its work items, and when it last made progress (`progressed_at`, on
    the active clock)."""

    __slots__ = (
        "accepted_at",
        "answer_bytes",
        "body",
        "closed",
        "items",
        "number",
        "progressed_at",
        "spec",
        "waiting",
    )

    def __init__(
        self, spec: RequestSpec, body: Buffer, now: float, *, active_now: float = 0.0
    ) -> None:
        self.number = next(_numbers)
        self.spec = spec
        self.body = body
        self.accepted_at = now
        self.progressed_at = active_now
        # Of the pages that have been read.
        self.answer_bytes = 0
        self.waiting: deque[WorkItem] = deque()
        self.items: list[WorkItem] = []
        self.closed = False

    def close(self) -> None:
        """The client has its answer, or does not wait any more: drop the items and the bytes."""
        self.closed = True
        self.waiting.clear()
        self.items.clear()
        self.body = b""


class WorkItem:
    """One thing for one instance to do: inspect a document, or read a page (`page`: which one of a
    document). `begun_at` and `progressed_at` are on the active clock."""

    __slots__ = (
        "begun_at",
        "failed_on",
        "failures",
        "op",
        "page",
        "progressed_at",
        "queued_at",
        "ran_out_of_memory",
        "request",
        "result",
        "waited",
    )

    def __init__(
        self,
        request: AcceptedRequest,
        op: Literal["inspect", "read"],
        page: int | None,
        now: float,
    ) -> None:
        self.request = request
        self.op = op
        self.page = page
        self.queued_at = now
        self.waited = 0.0
        # When its command was sent to an instance, and when that last reported progress.
        self.begun_at = 0.0
        self.progressed_at = 0.0
        # The ids of the instances that failed on it, and how they did.
        self.failed_on: list[str] = []
        self.failures: list[PageFailure] = []
        self.ran_out_of_memory = False
        self.result: asyncio.Future[PageAnswer | Inspection] = (
            asyncio.get_running_loop().create_future()
        )
        request.items.append(self)

    def resolve(self, result: PageAnswer | Inspection | RequestError) -> None:
        """Set its result. Does nothing where it has one, or was cancelled."""
        if self.result.done():
            return
        if isinstance(result, RequestError):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)

    def name_page(self, message: str) -> str:
        """The message, with the page of the document that it is about."""
        return message if self.page is None else f"page {self.page + 1}: {message}"
