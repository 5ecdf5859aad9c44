"""What an instance's exit counts as: its reason, its log line, its counters."""

from __future__ import annotations

import logging
import signal

from ocrpool_worker.devices.oom import OomKills
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.startup_backoff import StartupBackoff

_log = logging.getLogger(__name__)


class ExitReporter:
    """Reports exits of instances that were warm. StartupControl reports those of starting ones."""

    def __init__(self, backoff: StartupBackoff, counters: dict[str, float], *, now: float) -> None:
        self._backoff = backoff
        self._counters = counters
        self._oom_kills = OomKills(now)

    def on_time_passed(self, now: float) -> None:
        """Forget kills of the kernel that belong to no exit."""
        self._oom_kills.expire_unclaimed(now)

    def reason_of(self, instance: ManagedInstance, status: int) -> ExitReason:
        """`status`: as in `subprocess`."""
        process, problem = instance.process, instance.startup_problem
        by_sigkill = status == -signal.SIGKILL and process.killed_for is None
        return ExitReason.from_status(
            status,
            killed_for=process.killed_for,
            asked_for=instance.retire_reason,
            out_of_memory=by_sigkill and problem is None and self._oom_kills.claim(),
            last_output=process.last_output,
            reported=problem,
        )

    def report(
        self, instance: ManagedInstance, exit_reason: ExitReason, *, was_active: bool
    ) -> None:
        """Log and count it. `was_active`: no exit was expected."""
        extra = {"instance": instance.ident, "cause": exit_reason.cause, "why": exit_reason.why}
        expected = exit_reason.cause == "asked" or instance.process.killed_for is not None
        if expected and not was_active:
            _log.info("instance gone", extra=extra)
            return
        _log.warning("instance died", extra=extra | {"lastWords": exit_reason.last_output})
        self._counters["killed"] += exit_reason.cause == "outside"
        self._counters["deaths"] += 1
        if instance.answered == 0:
            self._backoff.record_exit_without_answer()
