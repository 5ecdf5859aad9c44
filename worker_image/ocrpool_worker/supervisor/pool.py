"""The pool: takes requests in, gives their pages to idle instances, answers each exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ocrpool_wire import Counters, Device, Instance, Instances, Problem, Queue, State
from ocrpool_worker.admission import check_scaling
from ocrpool_worker.devices import DeviceProbe
from ocrpool_worker.errors import (
    BootError,
    NotAnImage,
    PoisonPage,
    QueueFull,
    RequestError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.ipc.memory import Buffer, SharedBytes
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import rules
from ocrpool_worker.supervisor.crew import Crew, Member, new_counters
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.refusals import Refusals
from ocrpool_worker.supervisor.work import FairQueue, Inspection, Job, Order, PageAnswer, Work

_log = logging.getLogger(__name__)
_REFUSED: dict[str, type[RequestError]] = {error.reason: error for error in (NotAnImage, TooLarge)}


class Pool:
    """Several instances behind one queue. Lives in one event loop, from `start` to `close`."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        probe: DeviceProbe,
        instances: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_page: Callable[[float, float], None] = lambda waited, took: None,
    ) -> None:
        """`instances`: how many to start with (default `instances.min`). `on_page` is told the
        seconds that each page waited and took. Raises SettingsError."""
        self.settings = settings
        self.counters: dict[str, float] = new_counters()
        self._clock = clock
        self._probe = probe
        self._on_page = on_page
        self._queue = FairQueue()
        self._refusals = Refusals()
        self._jobs: set[Job] = set()
        self._device_errors: deque[float] = deque(maxlen=rules.DEVICE_ERRORS)
        self._draining = False
        self._changed = asyncio.Event()
        target = settings.instances.min if instances is None else instances
        self._crew = Crew(
            settings,
            Launcher(settings, instances=target),
            self,
            self.counters,
            target=target,
            clock=clock,
            room_for_one_more=self._room_for_one_more,
        )

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to boot instances. Returns at once."""
        self._crew.tend()

    async def first_ready(self) -> None:
        """Wait for the first warm instance. Raises BootError when there will be none."""
        while not self._crew.ready:
            problem = self._crew.problem
            if problem is not None:
                raise BootError(problem.reason, problem.message)
            if self._crew.target == 0:
                return
            self._changed.clear()
            await self._changed.wait()

    def drain(self) -> None:
        """Take no new request from now on; those accepted are finished."""
        self._draining = True

    async def drained(self) -> None:
        """Wait until no accepted request is left."""
        while self._jobs:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """End everything now. Requests that are left are answered with Unavailable."""
        self.drain()
        for job in tuple(self._jobs):
            self._fail(job, Unavailable("the worker has stopped before this request was read"))
        await self._crew.close()

    # -- steering and looking --------------------------------------------------------------

    def set_target(self, target: int) -> None:
        """Ask for another number of instances. Raises ValueError over `instances.max`."""
        most = self.settings.instances.max
        if not 0 <= target <= most:
            raise ValueError(f"target is {target}; it must be 0 to {most} (instances.max)")
        self._crew.set_target(target)

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def ready(self) -> bool:
        """At least one warm instance, not draining, and a device that works."""
        return bool(self._crew.ready) and not self._draining and not self._device_failing()

    def problem(self) -> Problem | None:
        """Why the worker is not ready, or cannot have what it was asked for."""
        if self._device_failing():
            message = (
                f"{rules.DEVICE_ERRORS} device errors within {rules.DEVICE_WINDOW:g} s; look at "
                "the device (dmesg, nvidia-smi), or move the worker to another one"
            )
            return Problem(reason="DeviceError", message=message)
        if self._crew.problem is not None:
            return self._crew.problem
        if self._draining:
            return Problem(reason="Draining", message="the worker takes no new requests")
        if not self._crew.ready and self._crew.target:
            reason = "Restarting" if self._crew.was_ready else "Starting"
            return Problem(reason=reason, message="no instance is warm yet")
        return None

    def state(self) -> State:
        """All that there is to know of this worker, as the operator sees it."""
        now, crew = self._clock(), self._crew
        oldest = self._queue.oldest()
        identity = self._probe.identity()
        each = tuple(
            Instance(
                id=member.ident,
                pid=member.process.pid,
                state=member.state,
                age_seconds=round(now - member.born, 3),
                busy_seconds=round(now - member.work_began, 3) if member.work else 0.0,
                requests=member.answered,
                memory=member.memory,
                peak=member.peak,
            )
            for member in crew.members.values()
        )
        return State(
            device=Device(
                kind=identity.kind,
                name=identity.name,
                uuid=identity.uuid,
                memory=self._probe.memory(),
            ),
            instances=Instances(
                target=crew.target,
                ready=crew.ready,
                booting=crew.booting,
                ceiling=crew.ceiling,
                each=each,
            ),
            footprint=crew.footprint,
            queue=Queue(
                depth=len(self._queue),
                capacity=self.settings.admission.queue,
                oldest_seconds=0.0 if oldest is None else round(now - oldest, 3),
            ),
            counters=Counters(**self.counters),  # type: ignore[arg-type]
            ready=self.ready,
            draining=self._draining,
            problem=self.problem(),
        )

    # -- requests --------------------------------------------------------------------------

    def check_room(self) -> None:
        """Raise what a new request would meet now: Unavailable or QueueFull."""
        if self._draining:
            raise Unavailable("the worker is draining; send the request to another one")
        crew = self._crew
        if not crew.ready:
            problem = self.problem()
            if not crew.target:
                raise Unavailable("the worker was asked for 0 instances")
            # Between two instances a request may wait; before the first, or after the last, not.
            if problem is not None and problem.reason != "Restarting":
                raise Unavailable(f"{problem.reason}: {problem.message}", retry_after=5)
        limit = self.settings.admission.queue
        if len(self._queue) >= limit and not crew.idle():
            self.counters["rejected"] += 1
            raise QueueFull(
                f"{len(self._queue)} requests wait, the limit is {limit} (admission.queue); come "
                "back later, or add workers",
                limit=limit,
                retry_after=self._retry_after(),
            )

    async def read(self, data: Buffer, order: Order) -> list[PageAnswer]:
        """Read one admitted request: its pages in order.

        Raises a RequestError. When the caller is cancelled, what waits is dropped.
        """
        self.check_room()
        now = self._clock()
        left = self._refusals.remaining(data, now)
        if left:
            self.counters["refused"] += 1
            raise PoisonPage(
                "this request has ended two OCR processes before and is refused for another "
                f"{left:.0f} s; check the file, or send it smaller",
                field="file",
                retry_after=left,
            )
        try:
            job = Job(order, SharedBytes(data), now)
        except OSError as error:
            raise Unavailable(
                f"no memory for the request's bytes: {error}", retry_after=1
            ) from None
        self.counters["requests"] += 1
        self._jobs.add(job)
        deadline = _Deadline(
            self.settings.admission.timeout_seconds, self._clock, job, self._expire
        )
        try:
            answers = await self._pages(job)
        except asyncio.CancelledError:
            self.counters["cancelled"] += 1
            raise
        except RequestError:
            self.counters["failed"] += 1
            raise
        else:
            self.counters["answered"] += 1
            return answers
        finally:
            deadline.cancel()
            self._queue.drop(job)
            job.close()
            self._jobs.discard(job)
            self._changed.set()

    async def _pages(self, job: Job) -> list[PageAnswer]:
        pages: list[int | None] = [None]
        if job.order.kind in ("pdf", "tiff"):
            count = await self._inspect(job)
            if job.order.kind == "tiff" and count == 1:
                job.order = replace(job.order, kind="image")  # as PaddleX takes it
            else:
                pages = list(range(count))
        works = [self._put(job, "read", page) for page in pages]
        try:
            await asyncio.gather(*(work.done for work in works))
        except BaseException:
            for work in works:
                work.done.cancel()
            raise
        return [_page_answer(work.done.result()) for work in works]

    async def _inspect(self, job: Job) -> int:
        """Count a document's pages and hold them against the limits. Raises TooLarge."""
        found = await self._put(job, "inspect", None).done
        assert isinstance(found, Inspection)
        most = self.settings.admission.max_pages
        if found.count > most:
            raise TooLarge(
                f"the document has {found.count} pages, the limit is {most} (admission.maxPages); "
                "split it or raise the limit",
                field="file",
                limit=most,
            )
        if found.count < 1:
            raise NotAnImage("the document has no pages", field="file")
        for width, height in found.sizes:
            check_scaling(width, height, job.order.params, self.settings.admission)
        return found.count

    def _put(self, job: Job, op: Any, page: int | None) -> Work:
        work = Work(job, op, page, self._clock())
        self._queue.put(work)
        self.on_free()
        return work

    # -- what the crew tells ---------------------------------------------------------------

    def on_free(self) -> None:
        """Hand out what waits to whoever is idle."""
        self._changed.set()
        for member in self._crew.idle():
            if not len(self._queue):
                return
            work = self._queue.pull(member.ident, alone=self._crew.alone(member))
            if work is not None:
                self._hand(member, work)

    def _hand(self, member: Member, work: Work) -> None:
        job, order = work.job, work.job.order
        work.waited = self._clock() - work.since
        self._crew.hand(member, work)
        member.process.send(
            {
                "op": work.op,
                "job": job.number,
                "kind": order.kind,
                "form": order.form,
                "page": work.page,
                "params": dict(order.params),
                "pictures": order.pictures,
                "size": job.body.size,
                "shape": order.shape,
                "width": order.width,
                "height": order.height,
                "maxPages": self.settings.admission.max_pages,
            },
            job.body.fileno(),
        )
        limit = self.settings.admission.timeout_seconds
        loop = asyncio.get_running_loop()
        member.timers.append(loop.call_later(limit, self._page_late, member, work))

    def _page_late(self, member: Member, work: Work) -> None:
        if member.work is not work:
            return
        limit = self.settings.admission.timeout_seconds
        why = f"no answer within {limit:g} s (admission.timeoutSeconds)"
        if not work.done.done():
            self.counters["timeouts"] += 1
        message = _named(work, f"{why}; the OCR process that it was on is replaced")
        self._resolve(work, TimedOut(message, limit=limit))
        member.process.kill(why)

    def on_answer(self, member: Member, work: Work, frame: Frame) -> None:
        head = frame.head
        op = head.get("op")
        if op == "fault":
            self._failed(member, work, head["fault"], str(head.get("message")))
            return
        work.job.progressed = self._clock()
        self._on_page(work.waited, float(head.get("seconds", 0.0)))
        if op == "done":
            answer = PageAnswer(int(head["width"]), int(head["height"]), frame.payload)
            self._resolve(work, answer)
        elif op == "inspected":
            sizes = tuple((int(width), int(height)) for width, height in head["sizes"])
            self._resolve(work, Inspection(int(head["count"]), sizes))
        else:
            kind = _REFUSED.get(str(head.get("reason")), RequestError)
            error = kind(str(head.get("message")), field=head.get("field"), limit=head.get("limit"))
            self._resolve(work, error)

    def on_lost(self, member: Member, work: Work, why: str) -> None:
        self._failed(member, work, "death", why)

    def _failed(self, member: Member, work: Work, failure: rules.Failure, detail: str) -> None:
        member.failed_in_a_row += 1
        verdict = rules.after_failure(
            failure,
            failed_before=len(work.failures),
            in_a_row=member.failed_in_a_row,
            detail=detail,
        )
        extra = {"instance": member.ident, "failure": failure, "why": detail}
        _log.warning("page failed", extra=extra)
        work.failures.append(member.ident)
        if failure == "memory":
            self.counters["out_of_memory"] += 1
        elif failure == "device":
            self.counters["device_errors"] += 1
            self._device_errors.append(self._clock())
        if verdict.lower_ceiling:
            self._crew.lower_ceiling()
        if verdict.fate == "retire":
            self._crew.retire(member, f"{failure}: {detail}")
        elif verdict.fate == "kill":
            member.process.kill(f"{failure}: {detail}")
        if work.done.done() or work.job.closed:
            return
        if verdict.error is None:
            self.counters["retried"] += 1
            self._queue.put_back(work)
            return
        if isinstance(verdict.error, PoisonPage):
            self.counters["poisoned"] += 1
        if verdict.remember:
            self._refusals.add(work.job.body.read(), self._clock())
        verdict.error.message = _named(work, verdict.error.message)
        self._resolve(work, verdict.error)

    # -- endings ---------------------------------------------------------------------------

    def _resolve(self, work: Work, result: PageAnswer | Inspection | RequestError) -> None:
        if work.done.done():
            return
        if isinstance(result, RequestError):
            work.done.set_exception(result)
        else:
            work.done.set_result(result)

    def _expire(self, job: Job) -> None:
        limit = self.settings.admission.timeout_seconds
        place = "in the queue" if job.waiting else "on an OCR process"
        self.counters["timeouts"] += 1
        message = (
            f"no answer within {limit:g} s (admission.timeoutSeconds), the time went by {place}; "
            "send less at once, add workers, or raise the limit"
        )
        self._fail(job, TimedOut(message, limit=limit))

    def _fail(self, job: Job, error: RequestError) -> None:
        self._queue.drop(job)
        for work in job.open:
            if not work.done.done():
                work.done.set_exception(error)

    def _device_failing(self) -> bool:
        if len(self._device_errors) < rules.DEVICE_ERRORS:
            return False
        return self._clock() - self._device_errors[0] < rules.DEVICE_WINDOW

    def _room_for_one_more(self, footprint: int) -> bool:
        memory = self._probe.memory()
        return memory is not None and memory.free - self.settings.memory.reserve >= footprint

    def _retry_after(self) -> float:
        done = self.counters["pages"]
        mean = self.counters["page_seconds"] / done if done else 0.0
        waiting = sum(len(job.waiting) for job in self._queue)
        return rules.retry_after(waiting=waiting, page_seconds=mean, ready=self._crew.ready)


class _Deadline:
    """Expires a request that made no progress for `limit` seconds: for a single page since it was
    accepted, for a document since its last page."""

    def __init__(
        self,
        limit: float,
        clock: Callable[[], float],
        job: Job,
        expire: Callable[[Job], None],
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._job = job
        self._expire = expire
        self._handle = asyncio.get_running_loop().call_later(limit, self._check)

    def _check(self) -> None:
        left = self._job.progressed + self._limit - self._clock()
        if left <= 0:
            self._expire(self._job)
        else:
            self._handle = asyncio.get_running_loop().call_later(left, self._check)

    def cancel(self) -> None:
        self._handle.cancel()


def _page_answer(result: PageAnswer | Inspection) -> PageAnswer:
    assert isinstance(result, PageAnswer)
    return result


def _named(work: Work, message: str) -> str:
    """Say which page of a document a message is about."""
    return message if work.page is None else f"page {work.page + 1}: {message}"
