"""Ends instances: after their work, or at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from ocrpool_worker.supervisor.active_clock import Clock
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.lifecycle import LifecycleState, Trigger
from ocrpool_worker.supervisor.managed_instance import ManagedInstance

_log = logging.getLogger(__name__)
# How long an instance without work may take to exit after it was asked to.
_EXIT_SECONDS = 5.0
# The same when the whole worker stops.
_CLOSE_SECONDS = 2.0


class InstanceStopper:
    """Asks instances to exit, and kills those that do not."""

    def __init__(self, counters: dict[str, float], *, clock: Clock, active_clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self._active_clock = active_clock

    def retire(self, instance: ManagedInstance, why: str) -> None:
        """Let it finish its work item, and exit."""
        if not instance.active:
            return
        _log.info("instance retires", extra={"instance": instance.ident, "why": why})
        instance.retire_reason = why
        instance.apply(Trigger.RETIRE, self._clock())
        if instance.state is LifecycleState.KILLED:
            instance.process.kill(why)
        else:
            instance.process.hang_up()
            self.expect_exit(instance)

    def kill(self, instance: ManagedInstance, why: str) -> None:
        """End it now: it hangs, or its device context cannot be trusted any more."""
        if instance.active and not instance.process.ended:  # otherwise its exit is counted
            self._counters["deaths"] += 1
        self._kill(instance, why)

    def kill_stopped(self, instances: Collection[ManagedInstance], limit: float) -> None:
        """End idle instances that are stopped (SIGSTOP) for `limit` seconds, which is what a page
        may take. A stopped busy instance meets the time limit of its page."""
        for instance in instances:
            since = instance.stopped_since
            idle = instance.state is LifecycleState.IDLE
            if idle and since is not None and self._active_clock() - since >= limit:
                why = f"it was stopped (SIGSTOP) for {limit:g} s (admission.timeoutSeconds)"
                self.kill(instance, why)

    def expect_exit(self, instance: ManagedInstance) -> None:
        """Kill a retired instance that has no work and does not exit in time."""
        if instance.item is None:
            why = f"it did not end within {_EXIT_SECONDS:g} s ({instance.retire_reason})"
            expire = lambda: self._kill(instance, why)  # noqa: E731
            instance.timers.append(Deadline(_EXIT_SECONDS, self._active_clock, expire))

    async def close(self, instances: Collection[ManagedInstance]) -> None:
        """End all of them. Those with work are killed. Returns when all have exited."""
        for instance in instances:
            if instance.item is not None:
                self._kill(instance, "the worker stops")
            else:
                self.retire(instance, "the worker stops")
        exits = [asyncio.ensure_future(instance.process.wait()) for instance in instances]
        if exits:
            _, late = await asyncio.wait(exits, timeout=_CLOSE_SECONDS)
            for instance in instances:
                if instance.state is not LifecycleState.EXITED:
                    self._kill(instance, "it did not end when asked to")
            if late:
                await asyncio.wait(late)

    def _kill(self, instance: ManagedInstance, why: str) -> None:
        instance.apply(Trigger.KILL, self._clock())
        instance.process.kill(why)
