"""What the instance manager reports to the dispatcher."""

from __future__ import annotations

from typing import Protocol

from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.requests import WorkItem


class InstanceEvents(Protocol):
    """The dispatcher, as the manager sees it."""

    def dispatch(self) -> None:
        """The instances have changed: one may be idle."""

    def on_progress(self, item: WorkItem) -> None:
        """An instance made progress on its work item."""

    def on_answer(self, instance: ManagedInstance, item: WorkItem, frame: Frame) -> None:
        """An instance finished its work item, or failed on it. It has no work item any more."""

    def on_exit(self, instance: ManagedInstance, item: WorkItem, exit_reason: ExitReason) -> None:
        """An instance exited while it had this work item."""
