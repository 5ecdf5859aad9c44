"""Turns what an instance did with a work item into a result, or puts the item back.

Every item that was handed out ends here exactly once. `failure_rules` decides what follows from a
failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ocrpool_worker.errors import BadRequest, NotAnImage, PoisonPage, RequestError, TooLarge
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.device_health import DeviceHealth
from ocrpool_worker.supervisor.exit_reason import ExitCause, ExitReason
from ocrpool_worker.supervisor.failure_rules import PageFailure
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.requests import Inspection, PageAnswer, WorkItem, unread_page

_log = logging.getLogger(__name__)
# What an instance's exit is to the page that it was reading.
_FAILURES: dict[ExitCause, PageFailure] = {"memory": "starved", "outside": "killed"}
# The errors that an instance may report of a request.
_REFUSALS: dict[str, type[RequestError]] = {
    error.reason: error for error in (BadRequest, NotAnImage, TooLarge)
}


class PageResults:
    """`on_page` gets the seconds that each page waited and took."""

    def __init__(
        self,
        queue: FairQueue,
        health: DeviceHealth,
        counters: dict[str, float],
        *,
        on_page: Callable[[float, float], None],
    ) -> None:
        self._queue = queue
        self._health = health
        self._counters = counters
        self._on_page = on_page

    def on_answer(
        self, manager: InstanceManager, instance: ManagedInstance, item: WorkItem, frame: Frame
    ) -> None:
        """An instance answered: with a result, a refusal, or a fault of its engine."""
        head = frame.head
        op = head.get("op")
        if op == "fault":
            self._on_failure(manager, instance, item, head["fault"], str(head.get("message")))
            return
        self._on_page(item.waited, float(head.get("seconds", 0.0)))
        if op == "done":
            self._on_page_read(manager, item, frame)
        elif op == "inspected":
            sizes = tuple((int(width), int(height)) for width, height in head["sizes"])
            item.resolve(Inspection(int(head["count"]), sizes))
        else:
            kind = _REFUSALS.get(str(head.get("reason")), RequestError)
            error = kind(str(head.get("message")), field=head.get("field"), limit=head.get("limit"))
            self._on_refusal(item, error)

    def _on_refusal(self, item: WorkItem, error: RequestError) -> None:
        """The request is wrong. Where only one page of a document is, the other pages are still
        read; PaddleX's answer has no place for such a page."""
        of_page = isinstance(error, NotAnImage | TooLarge) and item.page is not None
        if of_page and item.request.spec.form == "lines":
            self._counters["unread"] += 1
            item.resolve(unread_page(error))
        else:
            item.resolve(error)

    def _on_page_read(self, manager: InstanceManager, item: WorkItem, frame: Frame) -> None:
        """A page was read. Its answer must fit the budget, alone and with the request's others."""
        budget, request = manager.answer_budget, item.request
        if frame.dropped:
            item.resolve(budget.error_for(frame.dropped))
            return
        request.answer_bytes += len(frame.payload)
        if not budget.fits_one_request(request.answer_bytes):
            item.resolve(budget.error_for(request.answer_bytes))
            return
        head = frame.head
        item.resolve(PageAnswer(int(head["width"]), int(head["height"]), frame.payload))

    def on_exit(
        self,
        manager: InstanceManager,
        instance: ManagedInstance,
        item: WorkItem,
        exit_reason: ExitReason,
    ) -> None:
        """An instance exited while it had the item."""
        if item.result.done() and exit_reason.cause == "worker":
            return  # it was killed for this page, and the client has an error
        begun = instance.process.last_taken == instance.command_number
        if begun or item.result.done():
            failure = _FAILURES.get(exit_reason.cause, "exit")
            self._on_failure(manager, instance, item, failure, exit_reason.why)
            return
        # It exited before it began the item: the page is not the cause.
        if exit_reason.cause == "memory":
            manager.on_out_of_memory(instance)
        self._counters["retried"] += 1
        self._queue.put_back(item)

    def _on_failure(
        self,
        manager: InstanceManager,
        instance: ManagedInstance,
        item: WorkItem,
        failure: PageFailure,
        detail: str,
    ) -> None:
        instance.failed_in_a_row += 1
        verdict = failure_rules.after_failure(
            failure,
            before=item.failures,
            in_a_row=instance.failed_in_a_row,
            detail=detail,
            ran_out_before=item.ran_out_of_memory,
        )
        extra = {"instance": instance.ident, "failure": failure, "why": detail}
        _log.warning("page failed", extra=extra)
        item.failed_on.append(instance.ident)
        item.failures.append(failure)
        if failure == "device":
            self._counters["device_errors"] += 1
            self._health.record_error()
        if verdict.lower_ceiling:
            item.ran_out_of_memory = True
            manager.on_out_of_memory(instance)
        if verdict.action == "retire":
            manager.retire(instance, f"{failure}: {detail}")
        elif verdict.action == "kill":
            manager.kill(instance, f"{failure}: {detail}")
        if item.result.done() or item.request.closed:
            return
        if verdict.error is None:
            self._counters["retried"] += 1
            self._queue.put_back(item)
            return
        if isinstance(verdict.error, PoisonPage):
            self._counters["poisoned"] += 1
            verdict.error.remember = verdict.remember
        verdict.error.message = item.name_page(verdict.error.message)
        item.resolve(verdict.error)
