"""An accepted request, its pages as work items, and the answers to them."""

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
    """What a client asked for, admitted. `params` in PaddleOCR's snake_case.

    `shape` is set for `pixels`, where the bytes are H×W×3 uint8 BGR; then `kind` is `pixels`.
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
    """A page as an instance answered it; `json` goes to the client as it is. `error`: why this
    page of a document cannot be read, whatever the others say."""

    width: int
    height: int
    json: bytes | bytearray
    error: RequestError | None = None


def unread_page(error: RequestError) -> PageAnswer:
    """In the place of a page that cannot be read."""
    told = {"reason": error.reason, "message": error.message}
    page = {"width": 0, "height": 0, "lines": [], "error": told}
    return PageAnswer(0, 0, json.dumps(page, ensure_ascii=False).encode(), error)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an instance found in a document: pages, and their sizes in pixels."""

    count: int
    sizes: tuple[tuple[int, int], ...]


class AcceptedRequest:
    """One accepted request: its bytes, its pages that wait, and when it last came on (the time of
    the clock that stands while this process does)."""

    __slots__ = (
        "accepted",
        "answered",
        "body",
        "closed",
        "number",
        "open",
        "order",
        "progressed",
        "waiting",
    )

    def __init__(
        self, order: RequestSpec, body: Buffer, now: float, *, active_clock: float = 0.0
    ) -> None:
        self.number = next(_numbers)
        self.order = order
        self.body = body
        self.accepted = now
        self.progressed = active_clock
        # Bytes of the pages that have been read.
        self.answered = 0
        self.waiting: deque[WorkItem] = deque()
        self.open: list[WorkItem] = []
        self.closed = False

    def close(self) -> None:
        """Nobody waits for it any more: drop what waits and let go of its bytes."""
        self.closed = True
        self.waiting.clear()
        self.open.clear()
        self.body = b""


class WorkItem:
    """One thing for one instance to do: inspect a document (`page` is None), or read a page."""

    __slots__ = (
        "begun",
        "done",
        "failures",
        "job",
        "op",
        "page",
        "progressed",
        "ran_out",
        "since",
        "tries",
        "waited",
    )

    def __init__(
        self, job: AcceptedRequest, op: Literal["inspect", "read"], page: int | None, now: float
    ) -> None:
        self.job = job
        self.op = op
        self.page = page
        self.since = now
        self.waited = 0.0
        # When an instance was told of it, and when it last came on there, on the clock that stands
        # while this process does.
        self.begun = 0.0
        self.progressed = 0.0
        job.open.append(self)
        # The instances that failed on it, by their ids, and how.
        self.failures: list[str] = []
        self.tries: list[PageFailure] = []
        # Whether memory ran out on it.
        self.ran_out = False
        self.done: asyncio.Future[PageAnswer | Inspection] = (
            asyncio.get_running_loop().create_future()
        )
