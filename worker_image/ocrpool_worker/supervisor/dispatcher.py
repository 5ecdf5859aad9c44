"""Hands work items to idle instances."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ocrpool_worker.errors import RequestError, TimedOut, Unavailable
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.ipc.shared_buffer import SharedBuffer
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.supervisor.active_clock import Clock
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.page_results import PageResults
from ocrpool_worker.supervisor.requests import AcceptedRequest, WorkItem

NO_INSTANCES = "the worker was asked for 0 instances"
# Bytes of a body that are written at once: a few milliseconds.
WRITE_STEP = 4 << 20


class Dispatcher:
    """Takes pages from the queue and gives them to idle instances. Implements InstanceEvents."""

    def __init__(
        self,
        limits: AdmissionSettings,
        queue: FairQueue,
        results: PageResults,
        *,
        clock: Clock,
        active_clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._results = results
        self._clock = clock
        self._active_clock = active_clock
        self._on_change = on_change
        self._manager: InstanceManager | None = None
        self._writes: set[asyncio.Future[None]] = set()

    def attach(self, manager: InstanceManager) -> None:
        """Hand work to the instances of `manager` from now on."""
        self._manager = manager

    @property
    def manager(self) -> InstanceManager:
        assert self._manager is not None
        return self._manager

    def dispatch(self) -> None:
        """Hand waiting items to idle instances."""
        self._on_change()
        manager = self.manager
        if not manager.target:
            self._refuse_waiting()
        for instance in manager.instances.idle():
            if not len(self._queue):
                return
            item = self._queue.pull(instance.ident, alone=manager.is_alone(instance))
            if item is not None:
                self._hand_out(instance, item)

    def _refuse_waiting(self) -> None:
        """There will be no instance: answer the waiting requests now, not when they time out."""
        for request in self._queue:
            self._queue.drop(request)
            for item in tuple(request.items):
                item.resolve(Unavailable(NO_INSTANCES))

    def _hand_out(self, instance: ManagedInstance, item: WorkItem) -> None:
        request = item.request
        buffer = instance.process.shared_buffer
        assert buffer is not None  # an idle instance is connected
        # An instance keeps the document of its last page open, in a copy of its own.
        has_document = (
            request.spec.kind in ("pdf", "tiff") and instance.buffered_request == request.number
        )
        if not has_document and len(request.body) > WRITE_STEP:
            # Meanwhile the instance is busy and has not begun: if it exits, the item is put back.
            self.manager.assign(instance, item)
            instance.command_number += 1
            self._writes.add(task := asyncio.ensure_future(self._write(instance, item, buffer)))
            task.add_done_callback(self._writes.discard)
            return
        if not has_document:
            try:
                buffer.write(request.body)
            except OSError as error:
                item.resolve(_no_memory(error))
                return
            instance.buffered_request = request.number
        instance.command_number += 1
        if not self._send_command(instance, item, len(request.body)):
            self._queue.put_back(item)
            return
        self.manager.assign(instance, item)

    async def _write(self, instance: ManagedInstance, item: WorkItem, buffer: SharedBuffer) -> None:
        """Write a large body in steps, which do not block the event loop; then send the command."""
        body = memoryview(item.request.body)
        instance.buffered_request = 0

        def has_exited() -> bool:  # its exit is reported to `on_exit`
            return instance.item is not item or instance.process.shared_buffer is not buffer

        try:
            for at in range(0, len(body), WRITE_STEP):
                if has_exited():
                    return
                buffer.write(body[at : at + WRITE_STEP], at)
                await asyncio.sleep(0)
            if has_exited():
                return
        except OSError as error:
            item.resolve(_no_memory(error))
            self.manager.kill(instance, f"no memory for a request's bytes: {error}")
            return
        instance.buffered_request = item.request.number
        if not self._send_command(instance, item, len(body)):
            # It exits, or was asked to exit meanwhile. One that hangs would never exit.
            instance.process.kill("it could not be given a request's bytes")

    def _send_command(self, instance: ManagedInstance, item: WorkItem, size: int) -> bool:
        """Send the command. Returns False if the instance is exiting; its exit will be reported."""
        request, spec = item.request, item.request.spec
        sent = instance.process.send(
            {
                "op": item.op,
                "number": instance.command_number,
                "request": request.number,
                "kind": spec.kind,
                "form": spec.form,
                "page": item.page,
                "params": dict(spec.params),
                "pictures": spec.pictures,
                "size": size,
                "shape": spec.shape,
                "width": spec.width,
                "height": spec.height,
                "maxPages": self._limits.max_pages,
            }
        )
        if sent:
            item.waited = self._clock() - item.queued_at
            item.begun_at = item.progressed_at = self._active_clock()
            limit = self._limits.timeout_seconds
            last_start = self._limits.page_limit - limit
            deadline = Deadline(
                limit,
                self._active_clock,
                lambda: self._on_page_timeout(instance, item),
                since=lambda: min(item.progressed_at, item.begun_at + last_start),
            )
            instance.timers.append(deadline)
        return sent

    def cancel(self, request: AcceptedRequest) -> None:
        """No client waits for this request any more. Instances that read a page of it stop when
        they next report progress."""
        for instance in self.manager.instances.values():
            buffer = instance.process.shared_buffer
            if instance.item is not None and instance.item.request is request and buffer:
                buffer.cancel(instance.command_number)

    def _on_page_timeout(self, instance: ManagedInstance, item: WorkItem) -> None:
        if instance.item is not item or instance.process.ended:
            return  # its exit will be reported, and `on_exit` decides
        limit, setting = self._limits.timeout_seconds, "admission.timeoutSeconds"
        most = self._limits.page_seconds
        if most > limit and item.progressed_at > item.begun_at + most - limit:
            limit, setting = most, "admission.pageSeconds"
        why = f"no answer within {limit:g} s ({setting})"
        message = item.name_page(f"{why}; the OCR process that was reading it is being replaced")
        item.resolve(TimedOut(message, limit=limit))
        self.manager.kill(instance, why)

    # -- events of the instances -----------------------------------------------------------

    def on_progress(self, item: WorkItem) -> None:
        """Give the item, and its request, the full time limit from now on."""
        item.progressed_at = item.request.progressed_at = self._active_clock()

    def on_answer(self, instance: ManagedInstance, item: WorkItem, frame: Frame) -> None:
        if instance.process.shared_buffer is not None:
            instance.process.shared_buffer.shrink()
        if frame.head.get("op") != "fault":
            item.request.progressed_at = self._active_clock()
        self._results.on_answer(self.manager, instance, item, frame)

    def on_exit(self, instance: ManagedInstance, item: WorkItem, exit_reason: ExitReason) -> None:
        self._results.on_exit(self.manager, instance, item, exit_reason)


def _no_memory(error: OSError) -> RequestError:
    return Unavailable(f"no memory for the request's bytes: {error}", retry_after=1)
