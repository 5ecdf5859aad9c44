"""The queue of accepted requests, which takes turns between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ocrpool_worker.supervisor.requests import AcceptedRequest, WorkItem


class FairQueue:
    """Each pull takes one work item of the first request, which then goes to the end. So a long
    document keeps all instances busy, and a single page does not wait for the whole document.

    Its length counts requests, not pages.
    """

    def __init__(self) -> None:
        self._requests: deque[AcceptedRequest] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def pages(self) -> int:
        """All waiting items: pages, and documents whose pages are not counted yet."""
        return sum(len(request.waiting) for request in self._requests)

    def put(self, item: WorkItem) -> None:
        """Add at the end. A request that waits already keeps its place."""
        if not item.request.waiting:
            self._requests.append(item.request)
        item.request.waiting.append(item)

    def put_back(self, item: WorkItem) -> None:
        """Add at the front: it has waited before."""
        if item.request.waiting:
            self._requests.remove(item.request)
        item.request.waiting.appendleft(item)
        self._requests.appendleft(item.request)

    def pull(self, instance: str, *, alone: bool) -> WorkItem | None:
        """Take the next item for an instance. An item that failed there waits for another
        instance, unless there is none (`alone`)."""
        for request in self._requests:
            for item in request.waiting:
                if alone or instance not in item.failed_on:
                    self._take(request, item)
                    return item
        return None

    def drop(self, request: AcceptedRequest) -> None:
        """Remove all waiting items of a request."""
        if request.waiting:
            self._requests.remove(request)
            request.waiting.clear()

    def oldest(self) -> float | None:
        """When the request that has waited longest was accepted."""
        return min((request.accepted_at for request in self._requests), default=None)

    def __iter__(self) -> Iterator[AcceptedRequest]:
        """The waiting requests. The queue may change meanwhile."""
        return iter(tuple(self._requests))

    def _take(self, request: AcceptedRequest, item: WorkItem) -> None:
        request.waiting.remove(item)
        self._requests.remove(request)
        if request.waiting:
            self._requests.append(request)
