"""Requests and their pages while they wait and run, and the queue that keeps them fair."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ocrpool_worker.admission import Kind
from ocrpool_worker.errors import RequestError
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.supervisor.failure_rules import Failure

Form = Literal["lines", "paddlex"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Order:
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


class Job:
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

    def __init__(self, order: Order, body: Buffer, now: float, *, awake: float = 0.0) -> None:
        self.number = next(_numbers)
        self.order = order
        self.body = body
        self.accepted = now
        self.progressed = awake
        # Bytes of the pages that have been read.
        self.answered = 0
        self.waiting: deque[Work] = deque()
        self.open: list[Work] = []
        self.closed = False

    def close(self) -> None:
        """Nobody waits for it any more: drop what waits and let go of its bytes."""
        self.closed = True
        self.waiting.clear()
        self.open.clear()
        self.body = b""


class Work:
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
        self, job: Job, op: Literal["inspect", "read"], page: int | None, now: float
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
        self.tries: list[Failure] = []
        # Whether memory ran out on it.
        self.ran_out = False
        self.done: asyncio.Future[PageAnswer | Inspection] = (
            asyncio.get_running_loop().create_future()
        )


class FairQueue:
    """Requests take turns: each pull takes one page of the request at the head, which then goes
    to the end. So a long document fills all instances and still lets a single page through.

    Its depth counts requests, not pages.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def pages(self) -> int:
        """All that waits: pages, and documents whose pages are not counted yet."""
        return sum(len(job.waiting) for job in self._jobs)

    def put(self, work: Work) -> None:
        """At the end; a request that waits already keeps its turn."""
        if not work.job.waiting:
            self._jobs.append(work.job)
        work.job.waiting.append(work)

    def put_back(self, work: Work) -> None:
        """At the head: it has waited before."""
        if work.job.waiting:
            self._jobs.remove(work.job)
        work.job.waiting.appendleft(work)
        self._jobs.appendleft(work.job)

    def pull(self, instance: str, *, alone: bool) -> Work | None:
        """The next work for `instance`, or None. Work that failed there goes to another one,
        unless there is no other (`alone`)."""
        for job in self._jobs:
            for work in job.waiting:
                if alone or instance not in work.failures:
                    self._take(job, work)
                    return work
        return None

    def drop(self, job: Job) -> None:
        """Forget all that waits of a request."""
        if job.waiting:
            self._jobs.remove(job)
            job.waiting.clear()

    def oldest(self) -> float | None:
        """When the request that has waited longest was accepted."""
        return min((job.accepted for job in self._jobs), default=None)

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs))

    def _take(self, job: Job, work: Work) -> None:
        job.waiting.remove(work)
        self._jobs.remove(job)
        if job.waiting:
            self._jobs.append(job)
