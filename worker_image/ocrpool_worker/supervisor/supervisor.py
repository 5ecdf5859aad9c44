"""The pool: takes requests in, gives their pages to idle instances, answers each exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ocrpool.protocol import Problem, State
from ocrpool_worker.admission import check_scaling
from ocrpool_worker.devices import DeviceProbe, DeviceSnapshot
from ocrpool_worker.devices.watch import DeviceWatch
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
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.active_clock import ActiveClock
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.dispatcher import NOBODY, Dispatcher
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager, new_counters
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.memory_guard import MemoryGuard
from ocrpool_worker.supervisor.poison_cache import REMEMBERED_SECONDS, PoisonCache
from ocrpool_worker.supervisor.requests import (
    AcceptedRequest,
    Inspection,
    PageAnswer,
    RequestSpec,
    WorkItem,
)
from ocrpool_worker.supervisor.state_report import DeviceHealth, problem_of, state_of

_log = logging.getLogger(__name__)


class TrackedArrival:
    """A request that counts as arriving within the block."""

    __slots__ = ("_count",)

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *error: object) -> None:
        self._count(-1)


class Supervisor:
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
        self._watch = DeviceWatch(
            probe,
            clock=clock,
            interval=settings.memory.look_seconds,
            pids=lambda: [instance.process.pid for instance in self._manager.instances.values()],
        )
        # What condemns somebody for being late is measured with this one.
        self._active_clock = ActiveClock(clock)
        self._memory_guard = MemoryGuard(settings.memory.reserve)
        self._queue = FairQueue()
        self._poison_cache = PoisonCache()
        self._jobs: set[AcceptedRequest] = set()
        self._health = DeviceHealth(clock)
        # Since it drains: the moment from which new requests are refused.
        self._refuses_from: float | None = None
        self._ending = False
        self._arriving = 0
        self._changed = asyncio.Event()
        target = settings.instances.min if instances is None else instances
        self._dispatcher = Dispatcher(
            settings.admission,
            self._queue,
            self._health,
            self.counters,
            clock=clock,
            active_clock=self._active_clock,
            on_page=on_page,
            on_change=self._changed.set,
        )
        self._launcher = Launcher(settings, self._watch.identity.uuid)
        self._manager = InstanceManager(
            settings,
            self._launcher,
            self._dispatcher,
            self.counters,
            target=target,
            clock=clock,
            active_clock=self._active_clock,
            watch=self._watch,
        )
        self._dispatcher.serve(self._manager)

    # -- life ------------------------------------------------------------------------------

    async def verify_models(self) -> None:
        """Whether an instance could be launched, model files verified. Raises ModelError."""
        await self._launcher.prepare()

    def start(self) -> None:
        """Begin to watch the device and to boot instances. Returns at once."""
        self._active_clock.start()
        self._watch.start(self._on_look)
        self._manager.tend()

    async def wait_until_ready(self) -> None:
        """Wait for the first warm instance. Raises BootError when there will be none."""
        while not self._manager.ready:
            problem = self._manager.startup_backoff.problem
            if problem is not None:
                raise BootError(problem.reason, problem.message)
            if self._manager.target == 0:
                return
            self._changed.clear()
            await self._changed.wait()

    def drain(self, lame_duck: float = 0, *, ending: bool = False) -> None:
        """Not ready from now on; in `lame_duck` seconds, or when an earlier call said, no new
        request is taken. Those accepted are finished. `ending`: for good."""
        self._ending = self._ending or ending
        if self.ready:
            self._refuses_from = self._clock() + lame_duck
        elif self._refuses_from is None:
            # Nobody was sent here, so nobody has to hear that this ends.
            self._refuses_from = self._clock()

    def undrain(self) -> bool:
        """Take requests again. False, and nothing changes, where the worker is ending."""
        if not self._ending:
            self._refuses_from = None
        return not self._ending

    async def wait_until_drained(self) -> None:
        """Wait until new requests are refused and no accepted one is left."""
        assert self._refuses_from is not None
        await asyncio.sleep(max(0.0, self._refuses_from - self._clock()))
        while self._jobs or self._arriving:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """End everything now. Requests that are left are answered with Unavailable."""
        self._ending = True
        self._refuses_from = self._clock()
        for job in tuple(self._jobs):
            self._fail(job, Unavailable("the worker has stopped before this request was read"))
        await self._manager.close()
        await self._watch.stop()
        self._active_clock.stop()

    # -- steering and looking --------------------------------------------------------------

    def set_target(self, target: int) -> None:
        """Ask for another number of instances. Raises ValueError over `instances.max`."""
        most = self.settings.instances.max
        if not 0 <= target <= most:
            raise ValueError(f"target is {target}; it must be 0 to {most} (instances.max)")
        self._manager.set_target(target)

    @property
    def draining(self) -> bool:
        """It has been told to end. It may still take requests: see `drain`."""
        return self._refuses_from is not None

    @property
    def ready(self) -> bool:
        """At least one warm instance that is not stopped, not draining, and a device that
        works."""
        self._manager.note_stops()
        lost = self._watch.latest().problem
        return (
            bool(self._manager.ready)
            and not self.draining
            and not self._health.failing
            and not (lost is not None and lost.reason == "DeviceLost")
        )

    def problem(self) -> Problem | None:
        """Why the worker is not ready, or cannot have what it was asked for."""
        device = self._watch.latest().problem
        return problem_of(self._manager, self._health, device, draining=self.draining)

    def state(self) -> State:
        """All that there is to know of this worker, as the operator sees it."""
        return state_of(
            self.settings,
            self._manager,
            self._queue,
            self.counters,
            self._watch,
            now=self._clock(),
            ready=self.ready,
            draining=self.draining,
            problem=self.problem(),
        )

    # -- requests --------------------------------------------------------------------------

    def track_arrival(self) -> TrackedArrival:
        """Around a request from its head on: it is finished although the worker may begin to
        refuse others while its body is on its way. Raises what `check_capacity` does."""
        self.check_capacity()
        return TrackedArrival(self._count_arriving)

    def _count_arriving(self, change: int) -> None:
        self._arriving += change
        if not self._arriving:
            self._changed.set()

    @property
    def answer_bytes(self) -> int:
        """Memory of the answers that are being collected or sent."""
        return self._manager.answers.held

    def check_capacity(self, *, arrived: bool = False) -> None:
        """Raise what a new request, or one that has `arrived` before, would meet now: Unavailable
        or QueueFull."""
        refuses = self._refuses_from is not None and self._clock() >= self._refuses_from
        if refuses and not arrived:
            raise Unavailable(
                "the worker is draining; send the request to another one", retry_after=1
            )
        manager = self._manager
        manager.answers.check()
        if not manager.ready:
            problem = self.problem()
            if not manager.target:
                raise Unavailable(NOBODY)
            # Between two instances a request may wait; before the first, or after the last, not.
            if problem is not None and problem.reason not in ("Restarting", "Stopped"):
                raise Unavailable(f"{problem.reason}: {problem.message}", retry_after=5)
        limit = self.settings.admission.queue
        if len(self._queue) >= limit and not manager.instances.idle():
            self.counters["rejected"] += 1
            raise QueueFull(
                f"{len(self._queue)} requests wait, the limit is {limit} (admission.queue); come "
                "back later, or add workers",
                limit=limit,
                retry_after=self._retry_after(),
            )

    async def process(
        self, data: Buffer, order: RequestSpec, *, arrived: bool = False
    ) -> list[PageAnswer]:
        """Read one admitted request: its pages in order. `arrived`: inside of `track_arrival`.

        Raises a RequestError. When the caller is cancelled, what waits is dropped.
        """
        left = await self._poison_cache.remaining(data, order, self._clock())
        self.check_capacity(arrived=arrived)
        now = self._clock()
        if left:
            self.counters["refused"] += 1
            raise PoisonPage(
                "this request has ended two OCR processes before and is refused for another "
                f"{left:.0f} s; check the file, or send it smaller",
                field="file",
                retry_after=left,
            )
        job = AcceptedRequest(order, data, now, active_clock=self._active_clock())
        self.counters["requests"] += 1
        self._jobs.add(job)
        limit, since = self.settings.admission.timeout_seconds, lambda: job.progressed
        deadline = Deadline(limit, self._active_clock, lambda: self._expire(job), since=since)
        try:
            answers = await self._pages(job)
        except asyncio.CancelledError:
            self.counters["cancelled"] += 1
            raise
        except RequestError as error:
            self.counters["failed"] += 1
            # Here, for its own time and its page's may be over in the same moment.
            if isinstance(error, TimedOut):
                self.counters["timeouts"] += 1
            if isinstance(error, PoisonPage) and error.remember:
                digest = await self._poison_cache.add(data, order, self._clock())
                extra = {"digest": digest, "seconds": REMEMBERED_SECONDS}
                _log.warning("request refused from now on", extra=extra)
            raise
        else:
            self.counters["answered"] += 1
            return answers
        finally:
            deadline.cancel()
            self._queue.drop(job)
            self._dispatcher.give_up(job)
            job.close()
            self._jobs.discard(job)
            self._changed.set()

    async def _pages(self, job: AcceptedRequest) -> list[PageAnswer]:
        pages: list[int | None] = [None]
        if job.order.kind in ("pdf", "tiff"):
            count = await self._inspect(job)
            if job.order.kind == "tiff" and count == 1:
                job.order = replace(job.order, kind="image")  # as PaddleX takes it
            else:
                pages = list(range(count))
        works = [self._put(job, "read", page) for page in pages]
        try:
            if len(works) == 1:  # the usual case, and the one whose latency counts
                return _some_read([_page_answer(await works[0].done)])
            done = await asyncio.gather(*(work.done for work in works))
            return _some_read([_page_answer(answer) for answer in done])
        finally:
            for work in works:
                work.done.cancel()
            # An error keeps this frame, and a work its error: in a circle they would keep the
            # request's bytes and the answers of its other pages until somebody collects garbage.
            works.clear()

    async def _inspect(self, job: AcceptedRequest) -> int:
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
        for number, (width, height) in enumerate(found.sizes, 1):
            try:
                check_scaling(width, height, job.order.params, self.settings.admission)
            except TooLarge as error:
                if job.order.kind == "pdf" or found.count > 1:
                    error.message = f"page {number}: {error.message}"
                raise
        return found.count

    def _put(self, job: AcceptedRequest, op: Any, page: int | None) -> WorkItem:
        work = WorkItem(job, op, page, self._clock())
        self._queue.put(work)
        self._dispatcher.on_free()
        return work

    # -- endings ---------------------------------------------------------------------------

    def _expire(self, job: AcceptedRequest) -> None:
        limit = self.settings.admission.timeout_seconds
        place = "in the queue" if job.waiting else "on an OCR process"
        message = (
            f"no answer within {limit:g} s (admission.timeoutSeconds), the time went by {place}; "
            "send less at once, add workers, or raise the limit"
        )
        self._fail(job, TimedOut(message, limit=limit))

    def _fail(self, job: AcceptedRequest, error: RequestError) -> None:
        self._queue.drop(job)
        for work in job.open:
            if not work.done.done():
                work.done.set_exception(error)

    def _on_look(self, look: DeviceSnapshot) -> None:
        self._manager.see(look)
        if self._memory_guard.should_shrink(look.memory):
            self._manager.brake()

    def _retry_after(self) -> float:
        done = self.counters["pages"]
        mean = self.counters["page_seconds"] / done if done else 0.0
        return failure_rules.retry_after(
            waiting=self._queue.pages, page_seconds=mean, ready=self._manager.ready
        )


def _some_read(pages: list[PageAnswer]) -> list[PageAnswer]:
    """Raises the first page's error where no page could be read."""
    error = pages[0].error
    if error is not None and all(page.error for page in pages):
        raise error
    return pages


def _page_answer(result: PageAnswer | Inspection) -> PageAnswer:
    assert isinstance(result, PageAnswer)
    return result
