"""Hands pages to idle instances, and turns what comes of it into results.

Every work that was handed out ends here exactly once: with its answer, an error, or back in the
queue. What follows from a failure is decided in `rules`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ocrpool_worker.errors import (
    BadRequest,
    NotAnImage,
    PoisonPage,
    RequestError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.ipc.shared_buffer import SharedBuffer
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.exit_reason import ExitCause, ExitReason
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.requests import (
    AcceptedRequest,
    Inspection,
    PageAnswer,
    WorkItem,
    unread_page,
)
from ocrpool_worker.supervisor.startup_backoff import Clock
from ocrpool_worker.supervisor.state_report import DeviceHealth

NOBODY = "the worker was asked for 0 instances"
# Bytes of a body that are written to an instance at once, a few milliseconds.
PUT_STEP = 4 << 20
_log = logging.getLogger(__name__)
# What the end of an instance is to the page that it was on.
_FAILURES: dict[ExitCause, failure_rules.PageFailure] = {"memory": "starved", "outside": "killed"}
# What an instance may say of a request that is wrong.
_REFUSED: dict[str, type[RequestError]] = {
    error.reason: error for error in (BadRequest, NotAnImage, TooLarge)
}


class Dispatcher:
    """Between the queue and the manager; the manager tells it what happened."""

    def __init__(
        self,
        limits: AdmissionSettings,
        queue: FairQueue,
        health: DeviceHealth,
        counters: dict[str, float],
        *,
        clock: Clock,
        active_clock: Clock,
        on_page: Callable[[float, float], None],
        on_change: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._health = health
        self._counters = counters
        self._clock = clock
        self._active_clock = active_clock
        self._on_page = on_page
        self._on_change = on_change
        self._manager: InstanceManager | None = None
        self._puts: set[asyncio.Future[None]] = set()

    def serve(self, manager: InstanceManager) -> None:
        """Hand out to `manager` from now on."""
        self._manager = manager

    @property
    def manager(self) -> InstanceManager:
        assert self._manager is not None
        return self._manager

    def on_free(self) -> None:
        """Hand out what waits to whoever is idle."""
        self._on_change()
        if not self.manager.target:
            self._turn_away()
        for instance in self.manager.instances.idle():
            if not len(self._queue):
                return
            work = self._queue.pull(instance.ident, alone=self.manager.alone(instance))
            if work is not None:
                self._hand(instance, work)

    def _turn_away(self) -> None:
        """Nobody will come for what waits: it is told so now, and not when its time is over."""
        for job in self._queue:
            self._queue.drop(job)
            for work in tuple(job.open):
                _resolve(work, Unavailable(NOBODY))

    def _hand(self, instance: ManagedInstance, work: WorkItem) -> None:
        job, order = work.job, work.job.order
        shared_buffer = instance.process.shared_buffer
        assert shared_buffer is not None  # who is idle listens
        # An instance keeps the document of its last page open, in a copy of its own.
        copied = order.kind in ("pdf", "tiff") and instance.holds == job.number
        if not copied and len(job.body) > PUT_STEP:
            # It counts as busy, and as not having begun: its death puts the page back.
            self.manager.hand(instance, work)
            instance.given += 1
            self._puts.add(
                task := asyncio.ensure_future(self._hand_large(instance, work, shared_buffer))
            )
            task.add_done_callback(self._puts.discard)
            return
        if not copied:
            try:
                shared_buffer.put(job.body)
            except OSError as error:
                _resolve(work, _no_memory(error))
                return
            instance.holds = job.number
        instance.given += 1
        if not self._order(instance, work, len(job.body)):
            self._queue.put_back(work)
            return
        self.manager.hand(instance, work)

    async def _hand_large(
        self, instance: ManagedInstance, work: WorkItem, shared_buffer: SharedBuffer
    ) -> None:
        """Write the bytes in steps: those of a large body would hold up the loop for long."""
        body = memoryview(work.job.body)
        instance.holds = 0
        try:
            for at in range(0, len(body), PUT_STEP):
                shared_buffer.put(body[at : at + PUT_STEP], at)
                await asyncio.sleep(0)
                if instance.work is not work or instance.process.shared_buffer is not shared_buffer:
                    return  # its end is reported, or was
        except OSError as error:
            _resolve(work, _no_memory(error))
            self.manager.discard(instance, f"no memory for a request's bytes: {error}")
            return
        instance.holds = work.job.number
        if not self._order(instance, work, len(body)):
            # It dies, or was asked to end meanwhile: one that hangs has no other end.
            instance.process.kill("it could not be given a request's bytes")

    def _order(self, instance: ManagedInstance, work: WorkItem, size: int) -> bool:
        """Tell it what to do. False where it is dying; its death will be reported."""
        job, order = work.job, work.job.order
        heard = instance.process.send(
            {
                "op": work.op,
                "number": instance.given,
                "job": job.number,
                "kind": order.kind,
                "form": order.form,
                "page": work.page,
                "params": dict(order.params),
                "pictures": order.pictures,
                "size": size,
                "shape": order.shape,
                "width": order.width,
                "height": order.height,
                "maxPages": self._limits.max_pages,
            }
        )
        if heard:
            work.waited = self._clock() - work.since
            work.begun = work.progressed = self._active_clock()
            limit = self._limits.timeout_seconds
            most = self._limits.page_limit - limit
            late = Deadline(
                limit,
                self._active_clock,
                lambda: self._page_late(instance, work),
                since=lambda: min(work.progressed, work.begun + most),
            )
            instance.timers.append(late)
        return heard

    def on_progress(self, work: WorkItem) -> None:
        """Its instance says that it comes on: it and its request have time from now on."""
        work.progressed = work.job.progressed = self._active_clock()

    def give_up(self, job: AcceptedRequest) -> None:
        """Nobody waits for this request any more: who says of a page of it that it comes on, stops
        there."""
        for instance in self.manager.instances.values():
            if (
                instance.work is not None
                and instance.work.job is job
                and instance.process.shared_buffer
            ):
                instance.process.shared_buffer.give_up(instance.given)

    def _page_late(self, instance: ManagedInstance, work: WorkItem) -> None:
        if instance.work is not work or instance.process.ended:
            return  # its end will be reported, and is judged then
        limit, setting = self._limits.timeout_seconds, "admission.timeoutSeconds"
        most = self._limits.page_seconds
        if most > limit and work.progressed > work.begun + most - limit:
            limit, setting = most, "admission.pageSeconds"
        why = f"no answer within {limit:g} s ({setting})"
        message = _named(work, f"{why}; the OCR process that it was on is replaced")
        _resolve(work, TimedOut(message, limit=limit))
        self.manager.discard(instance, why)

    def on_answer(self, instance: ManagedInstance, work: WorkItem, frame: Frame) -> None:
        if instance.process.shared_buffer is not None:
            instance.process.shared_buffer.trim()
        head = frame.head
        op = head.get("op")
        if op == "fault":
            self._failed(instance, work, head["fault"], str(head.get("message")))
            return
        work.job.progressed = self._active_clock()
        self._on_page(work.waited, float(head.get("seconds", 0.0)))
        if op == "done":
            self._answered(work, frame)
        elif op == "inspected":
            sizes = tuple((int(width), int(height)) for width, height in head["sizes"])
            _resolve(work, Inspection(int(head["count"]), sizes))
        else:
            kind = _REFUSED.get(str(head.get("reason")), RequestError)
            error = kind(str(head.get("message")), field=head.get("field"), limit=head.get("limit"))
            self._refused(work, error)

    def _refused(self, work: WorkItem, error: RequestError) -> None:
        """The request is wrong, or one page of its document, which does not cost the others. (In
        PaddleX's answer a page has no place for that.)"""
        of_page = isinstance(error, NotAnImage | TooLarge) and work.page is not None
        if of_page and work.job.order.form == "lines":
            self._counters["unread"] += 1
            _resolve(work, unread_page(error))
        else:
            _resolve(work, error)

    def _answered(self, work: WorkItem, frame: Frame) -> None:
        """A page was read; its answer must still find room, by itself and with those before."""
        answers = self.manager.answers
        if frame.dropped:
            _resolve(work, answers.refusal(frame.dropped))
            return
        work.job.answered += len(frame.payload)
        if not answers.fits(work.job.answered):
            _resolve(work, answers.refusal(work.job.answered))
            return
        head = frame.head
        _resolve(work, PageAnswer(int(head["width"]), int(head["height"]), frame.payload))

    def on_lost(self, instance: ManagedInstance, work: WorkItem, exit_reason: ExitReason) -> None:
        if work.done.done() and exit_reason.cause == "worker":
            return  # it was killed for this page, whose client was told
        if instance.process.taken == instance.given or work.done.done():
            self._failed(instance, work, _FAILURES.get(exit_reason.cause, "death"), exit_reason.why)
            return
        # It died before it began: the page had no part in it.
        if exit_reason.cause == "memory":
            self.manager.out_of_memory(instance)
        self._counters["retried"] += 1
        self._queue.put_back(work)

    def _failed(
        self,
        instance: ManagedInstance,
        work: WorkItem,
        failure: failure_rules.PageFailure,
        detail: str,
    ) -> None:
        instance.failed_in_a_row += 1
        verdict = failure_rules.after_failure(
            failure,
            before=work.tries,
            in_a_row=instance.failed_in_a_row,
            detail=detail,
            ran_out_before=work.ran_out,
        )
        extra = {"instance": instance.ident, "failure": failure, "why": detail}
        _log.warning("page failed", extra=extra)
        work.failures.append(instance.ident)
        work.tries.append(failure)
        if failure == "device":
            self._counters["device_errors"] += 1
            self._health.note_error()
        if verdict.lower_ceiling:
            work.ran_out = True
            self.manager.out_of_memory(instance)
        if verdict.fate == "retire":
            self.manager.retire(instance, f"{failure}: {detail}")
        elif verdict.fate == "kill":
            self.manager.discard(instance, f"{failure}: {detail}")
        if work.done.done() or work.job.closed:
            return
        if verdict.error is None:
            self._counters["retried"] += 1
            self._queue.put_back(work)
            return
        if isinstance(verdict.error, PoisonPage):
            self._counters["poisoned"] += 1
            verdict.error.remember = verdict.remember
        verdict.error.message = _named(work, verdict.error.message)
        _resolve(work, verdict.error)


def _resolve(work: WorkItem, result: PageAnswer | Inspection | RequestError) -> None:
    if work.done.done():
        return
    if isinstance(result, RequestError):
        work.done.set_exception(result)
    else:
        work.done.set_result(result)


def _no_memory(error: OSError) -> RequestError:
    return Unavailable(f"no memory for the request's bytes: {error}", retry_after=1)


def _named(work: WorkItem, message: str) -> str:
    """Say which page of a document a message is about."""
    return message if work.page is None else f"page {work.page + 1}: {message}"
