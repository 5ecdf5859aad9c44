"""The queue of accepted requests, which takes turns between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ocrpool_worker.supervisor.requests import AcceptedRequest, WorkItem


class FairQueue:
    """Requests take turns: each pull takes one page of the request at the head, which then goes
    to the end. So a long document fills all instances and still lets a single page through.

    Its depth counts requests, not pages.
    """

    def __init__(self) -> None:
        self._jobs: deque[AcceptedRequest] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def pages(self) -> int:
        """All that waits: pages, and documents whose pages are not counted yet."""
        return sum(len(job.waiting) for job in self._jobs)

    def put(self, work: WorkItem) -> None:
        """At the end; a request that waits already keeps its turn."""
        if not work.job.waiting:
            self._jobs.append(work.job)
        work.job.waiting.append(work)

    def put_back(self, work: WorkItem) -> None:
        """At the head: it has waited before."""
        if work.job.waiting:
            self._jobs.remove(work.job)
        work.job.waiting.appendleft(work)
        self._jobs.appendleft(work.job)

    def pull(self, instance: str, *, alone: bool) -> WorkItem | None:
        """The next work for `instance`, or None. Work that failed there goes to another one,
        unless there is no other (`alone`)."""
        for job in self._jobs:
            for work in job.waiting:
                if alone or instance not in work.failures:
                    self._take(job, work)
                    return work
        return None

    def drop(self, job: AcceptedRequest) -> None:
        """Forget all that waits of a request."""
        if job.waiting:
            self._jobs.remove(job)
            job.waiting.clear()

    def oldest(self) -> float | None:
        """When the request that has waited longest was accepted."""
        return min((job.accepted for job in self._jobs), default=None)

    def __iter__(self) -> Iterator[AcceptedRequest]:
        return iter(tuple(self._jobs))

    def _take(self, job: AcceptedRequest, work: WorkItem) -> None:
        job.waiting.remove(work)
        self._jobs.remove(job)
        if job.waiting:
            self._jobs.append(job)
