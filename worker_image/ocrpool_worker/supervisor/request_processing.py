"""Reads one accepted request: inspects a document, queues its pages, collects their results."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

from ocrpool_worker.admission import check_scaling
from ocrpool_worker.errors import NotAnImage, RequestError, TimedOut, TooLarge
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.supervisor.active_clock import Clock
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.dispatcher import Dispatcher
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.requests import (
    AcceptedRequest,
    Inspection,
    PageAnswer,
    RequestSpec,
    WorkItem,
)


class RequestProcessor:
    """`open_requests`: those that have no answer yet."""

    def __init__(
        self,
        limits: AdmissionSettings,
        queue: FairQueue,
        dispatcher: Dispatcher,
        *,
        clock: Clock,
        active_clock: Clock,
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._dispatcher = dispatcher
        self._clock = clock
        self._active_clock = active_clock
        self.open_requests: set[AcceptedRequest] = set()

    async def process(self, body: Buffer, spec: RequestSpec) -> list[PageAnswer]:
        """The answers to its pages, in order. Raises a RequestError. When the caller is cancelled,
        the request is dropped."""
        request = AcceptedRequest(spec, body, self._clock(), active_now=self._active_clock())
        self.open_requests.add(request)
        deadline = Deadline(
            self._limits.timeout_seconds,
            self._active_clock,
            lambda: self._on_timeout(request),
            since=lambda: request.progressed_at,
        )
        try:
            return await self._read_pages(request)
        finally:
            deadline.cancel()
            self._queue.drop(request)
            self._dispatcher.cancel(request)
            request.close()
            self.open_requests.discard(request)

    def fail_all(self, error: RequestError) -> None:
        """Answer all open requests with this error."""
        for request in tuple(self.open_requests):
            self._fail(request, error)

    async def _read_pages(self, request: AcceptedRequest) -> list[PageAnswer]:
        pages: list[int | None] = [None]
        if request.spec.kind in ("pdf", "tiff"):
            inspection = await self._enqueue(request, "inspect", None).result
            assert isinstance(inspection, Inspection)
            check_document(inspection, request.spec, self._limits)
            if request.spec.kind == "tiff" and inspection.count == 1:
                request.spec = replace(request.spec, kind="image")  # as PaddleX takes it
            else:
                pages = list(range(inspection.count))
        items = [self._enqueue(request, "read", page) for page in pages]
        try:
            if len(items) == 1:  # the usual case, and the one whose latency matters
                return _any_read([_page_answer(await items[0].result)])
            results = await asyncio.gather(*(item.result for item in items))
            return _any_read([_page_answer(result) for result in results])
        finally:
            for item in items:
                item.result.cancel()
            # An error refers to this frame, and an item to its error. Without these lines the cycle
            # would keep the request's bytes and other answers until the next garbage collection.
            items.clear()
            del item

    def _enqueue(
        self, request: AcceptedRequest, op: Literal["inspect", "read"], page: int | None
    ) -> WorkItem:
        item = WorkItem(request, op, page, self._clock())
        self._queue.put(item)
        self._dispatcher.dispatch()
        return item

    def _on_timeout(self, request: AcceptedRequest) -> None:
        limit = self._limits.timeout_seconds
        place = "in the queue" if request.waiting else "on an OCR process"
        message = (
            f"no answer within {limit:g} s (admission.timeoutSeconds), the time was spent {place}; "
            "send less at once, add workers, or raise the limit"
        )
        self._fail(request, TimedOut(message, limit=limit))

    def _fail(self, request: AcceptedRequest, error: RequestError) -> None:
        self._queue.drop(request)
        for item in request.items:
            item.resolve(error)


def check_document(inspection: Inspection, spec: RequestSpec, limits: AdmissionSettings) -> None:
    """Compare a document's pages with the limits. Raises TooLarge or NotAnImage."""
    count, most = inspection.count, limits.max_pages
    if count > most:
        raise TooLarge(
            f"the document has {count} pages, the limit is {most} (admission.maxPages); "
            "split it or raise the limit",
            field="file",
            limit=most,
        )
    if count < 1:
        raise NotAnImage("the document has no pages", field="file")
    for number, (width, height) in enumerate(inspection.sizes, 1):
        try:
            check_scaling(width, height, spec.params, limits)
        except TooLarge as error:
            if spec.kind == "pdf" or count > 1:
                error.message = f"page {number}: {error.message}"
            raise


def _any_read(pages: list[PageAnswer]) -> list[PageAnswer]:
    """The pages. Raises the first page's error where no page could be read."""
    error = pages[0].error
    if error is not None and all(page.error for page in pages):
        raise error
    return pages


def _page_answer(result: PageAnswer | Inspection) -> PageAnswer:
    assert isinstance(result, PageAnswer)
    return result
