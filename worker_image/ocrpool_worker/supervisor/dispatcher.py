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
from ocrpool_worker.ipc.shared_buffer import Mailbox
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.exit_reason import Cause, Death
from ocrpool_worker.supervisor.fair_queue import (
    FairQueue,
    Inspection,
    Job,
    PageAnswer,
    Work,
    unread_page,
)
from ocrpool_worker.supervisor.instance_manager import Crew
from ocrpool_worker.supervisor.managed_instance import Member
from ocrpool_worker.supervisor.startup_backoff import Clock
from ocrpool_worker.supervisor.state_report import DeviceHealth

NOBODY = "the worker was asked for 0 instances"
# Bytes of a body that are written to an instance at once, a few milliseconds.
PUT_STEP = 4 << 20
_log = logging.getLogger(__name__)
# What the end of an instance is to the page that it was on.
_FAILURES: dict[Cause, failure_rules.Failure] = {"memory": "starved", "outside": "killed"}
# What an instance may say of a request that is wrong.
_REFUSED: dict[str, type[RequestError]] = {
    error.reason: error for error in (BadRequest, NotAnImage, TooLarge)
}


class Dispatch:
    """Between the queue and the crew; the crew tells it what happened."""

    def __init__(
        self,
        limits: AdmissionSettings,
        queue: FairQueue,
        health: DeviceHealth,
        counters: dict[str, float],
        *,
        clock: Clock,
        awake: Clock,
        on_page: Callable[[float, float], None],
        on_change: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._health = health
        self._counters = counters
        self._clock = clock
        self._awake = awake
        self._on_page = on_page
        self._on_change = on_change
        self._crew: Crew | None = None
        self._puts: set[asyncio.Future[None]] = set()

    def serve(self, crew: Crew) -> None:
        """Hand out to `crew` from now on."""
        self._crew = crew

    @property
    def crew(self) -> Crew:
        assert self._crew is not None
        return self._crew

    def on_free(self) -> None:
        """Hand out what waits to whoever is idle."""
        self._on_change()
        if not self.crew.target:
            self._turn_away()
        for member in self.crew.members.idle():
            if not len(self._queue):
                return
            work = self._queue.pull(member.ident, alone=self.crew.alone(member))
            if work is not None:
                self._hand(member, work)

    def _turn_away(self) -> None:
        """Nobody will come for what waits: it is told so now, and not when its time is over."""
        for job in self._queue:
            self._queue.drop(job)
            for work in tuple(job.open):
                _resolve(work, Unavailable(NOBODY))

    def _hand(self, member: Member, work: Work) -> None:
        job, order = work.job, work.job.order
        mailbox = member.process.mailbox
        assert mailbox is not None  # who is idle listens
        # An instance keeps the document of its last page open, in a copy of its own.
        copied = order.kind in ("pdf", "tiff") and member.holds == job.number
        if not copied and len(job.body) > PUT_STEP:
            # It counts as busy, and as not having begun: its death puts the page back.
            self.crew.hand(member, work)
            member.given += 1
            self._puts.add(task := asyncio.ensure_future(self._hand_large(member, work, mailbox)))
            task.add_done_callback(self._puts.discard)
            return
        if not copied:
            try:
                mailbox.put(job.body)
            except OSError as error:
                _resolve(work, _no_memory(error))
                return
            member.holds = job.number
        member.given += 1
        if not self._order(member, work, len(job.body)):
            self._queue.put_back(work)
            return
        self.crew.hand(member, work)

    async def _hand_large(self, member: Member, work: Work, mailbox: Mailbox) -> None:
        """Write the bytes in steps: those of a large body would hold up the loop for long."""
        body = memoryview(work.job.body)
        member.holds = 0
        try:
            for at in range(0, len(body), PUT_STEP):
                mailbox.put(body[at : at + PUT_STEP], at)
                await asyncio.sleep(0)
                if member.work is not work or member.process.mailbox is not mailbox:
                    return  # its end is reported, or was
        except OSError as error:
            _resolve(work, _no_memory(error))
            self.crew.discard(member, f"no memory for a request's bytes: {error}")
            return
        member.holds = work.job.number
        if not self._order(member, work, len(body)):
            # It dies, or was asked to end meanwhile: one that hangs has no other end.
            member.process.kill("it could not be given a request's bytes")

    def _order(self, member: Member, work: Work, size: int) -> bool:
        """Tell it what to do. False where it is dying; its death will be reported."""
        job, order = work.job, work.job.order
        heard = member.process.send(
            {
                "op": work.op,
                "number": member.given,
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
            work.begun = work.progressed = self._awake()
            limit = self._limits.timeout_seconds
            most = self._limits.page_limit - limit
            late = Deadline(
                limit,
                self._awake,
                lambda: self._page_late(member, work),
                since=lambda: min(work.progressed, work.begun + most),
            )
            member.timers.append(late)
        return heard

    def on_progress(self, work: Work) -> None:
        """Its instance says that it comes on: it and its request have time from now on."""
        work.progressed = work.job.progressed = self._awake()

    def give_up(self, job: Job) -> None:
        """Nobody waits for this request any more: who says of a page of it that it comes on, stops
        there."""
        for member in self.crew.members.values():
            if member.work is not None and member.work.job is job and member.process.mailbox:
                member.process.mailbox.give_up(member.given)

    def _page_late(self, member: Member, work: Work) -> None:
        if member.work is not work or member.process.ended:
            return  # its end will be reported, and is judged then
        limit, setting = self._limits.timeout_seconds, "admission.timeoutSeconds"
        most = self._limits.page_seconds
        if most > limit and work.progressed > work.begun + most - limit:
            limit, setting = most, "admission.pageSeconds"
        why = f"no answer within {limit:g} s ({setting})"
        message = _named(work, f"{why}; the OCR process that it was on is replaced")
        _resolve(work, TimedOut(message, limit=limit))
        self.crew.discard(member, why)

    def on_answer(self, member: Member, work: Work, frame: Frame) -> None:
        if member.process.mailbox is not None:
            member.process.mailbox.trim()
        head = frame.head
        op = head.get("op")
        if op == "fault":
            self._failed(member, work, head["fault"], str(head.get("message")))
            return
        work.job.progressed = self._awake()
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

    def _refused(self, work: Work, error: RequestError) -> None:
        """The request is wrong, or one page of its document, which does not cost the others. (In
        PaddleX's answer a page has no place for that.)"""
        of_page = isinstance(error, NotAnImage | TooLarge) and work.page is not None
        if of_page and work.job.order.form == "lines":
            self._counters["unread"] += 1
            _resolve(work, unread_page(error))
        else:
            _resolve(work, error)

    def _answered(self, work: Work, frame: Frame) -> None:
        """A page was read; its answer must still find room, by itself and with those before."""
        answers = self.crew.answers
        if frame.dropped:
            _resolve(work, answers.refusal(frame.dropped))
            return
        work.job.answered += len(frame.payload)
        if not answers.fits(work.job.answered):
            _resolve(work, answers.refusal(work.job.answered))
            return
        head = frame.head
        _resolve(work, PageAnswer(int(head["width"]), int(head["height"]), frame.payload))

    def on_lost(self, member: Member, work: Work, death: Death) -> None:
        if work.done.done() and death.cause == "worker":
            return  # it was killed for this page, whose client was told
        if member.process.taken == member.given or work.done.done():
            self._failed(member, work, _FAILURES.get(death.cause, "death"), death.why)
            return
        # It died before it began: the page had no part in it.
        if death.cause == "memory":
            self.crew.out_of_memory(member)
        self._counters["retried"] += 1
        self._queue.put_back(work)

    def _failed(
        self, member: Member, work: Work, failure: failure_rules.Failure, detail: str
    ) -> None:
        member.failed_in_a_row += 1
        verdict = failure_rules.after_failure(
            failure,
            before=work.tries,
            in_a_row=member.failed_in_a_row,
            detail=detail,
            ran_out_before=work.ran_out,
        )
        extra = {"instance": member.ident, "failure": failure, "why": detail}
        _log.warning("page failed", extra=extra)
        work.failures.append(member.ident)
        work.tries.append(failure)
        if failure == "device":
            self._counters["device_errors"] += 1
            self._health.note_error()
        if verdict.lower_ceiling:
            work.ran_out = True
            self.crew.out_of_memory(member)
        if verdict.fate == "retire":
            self.crew.retire(member, f"{failure}: {detail}")
        elif verdict.fate == "kill":
            self.crew.discard(member, f"{failure}: {detail}")
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


def _resolve(work: Work, result: PageAnswer | Inspection | RequestError) -> None:
    if work.done.done():
        return
    if isinstance(result, RequestError):
        work.done.set_exception(result)
    else:
        work.done.set_result(result)


def _no_memory(error: OSError) -> RequestError:
    return Unavailable(f"no memory for the request's bytes: {error}", retry_after=1)


def _named(work: Work, message: str) -> str:
    """Say which page of a document a message is about."""
    return message if work.page is None else f"page {work.page + 1}: {message}"
