"""Leader election: of several operators only the one that holds the Lease acts.

Expiry is measured with this operator's own clock, from the moment at which it saw the Lease change.
So the clocks of different machines need not agree. The leader writes only for a part of the Lease's
duration, counted from the start of the call that renewed it. The rest of the duration is a margin
for writes that are still on their way to the API server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocrpool_operator.cluster.client import LEASES, ApiError, KubeClient
from ocrpool_operator.cluster.fence import Fence

_log = logging.getLogger(__name__)
_RELEASE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Where the Lease is, who this operator is, and how long a silent leader is waited for."""

    namespace: str
    name: str
    identity: str
    duration: float = 15.0

    @property
    def retry_period(self) -> float:
        """Seconds between renewals: two may fail."""
        return self.duration / 5

    @property
    def renew_deadline(self) -> float:
        """Seconds after a renewal during which the leader may write."""
        return self.duration * 0.6

    @property
    def exit_deadline(self) -> float:
        """Seconds after a renewal by which the leader has stopped, or the kernel ends it."""
        return self.duration * 0.8


def _no_alarm(seconds: float) -> None:
    return


class LeaderElector:
    """One operator's part in the election. `clock`: monotonic seconds, the same as the fence's.
    `alarm`: ends this process after so many seconds; 0 cancels it."""

    def __init__(
        self,
        client: KubeClient,
        name: LeaseSettings,
        clock: Callable[[], float],
        fence: Fence,
        alarm: Callable[[float], None] = _no_alarm,
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._fence = fence
        self._alarm = alarm
        # The version of another leader's Lease, and when it was first seen.
        self._seen: tuple[str, float] | None = None
        # The Lease as this operator wrote it last; empty if it must be read first.
        self._ours: dict[str, Any] = {}
        self._lost = False

    async def hold(self, leading: Callable[[bool], Awaitable[None]]) -> None:
        """Take part in the election until cancelled. `leading(True)` is awaited when this operator
        becomes the leader, `leading(False)` when it must stop. After a cancellation the Lease is
        released once all work has stopped."""
        while True:
            began = await self._attempt(self._name.duration)
            if began is not None and self._extend(began):
                await self._lead(leading)
            await asyncio.sleep(self._name.retry_period)

    async def _lead(self, leading: Callable[[bool], Awaitable[None]]) -> None:
        """Lead while the Lease is held. After a cancellation release it."""
        _log.info("leading")
        cancelled = settled = False
        renewing = asyncio.create_task(self._renew())
        try:
            await leading(True)
            # This waits for the deadline itself, so that no slow call can delay it.
            while not renewing.done() and (left := self._fence.seconds_left) > 0:
                await asyncio.wait({renewing}, timeout=left)
        except asyncio.CancelledError:
            cancelled = True
            renewing.cancel()
            left = self._fence.seconds_left
            self._fence.shut()
            settled = await self._fence.wait_until_answered(left)
            raise
        finally:
            self._fence.shut()
            renewing.cancel()
            await leading(False)
            await asyncio.gather(renewing, return_exceptions=True)
            self._alarm(0.0)
            if not cancelled:
                _log.warning(
                    "the Lease was lost, or not renewed within %g s; standing by",
                    self._name.renew_deadline,
                )
            elif settled:
                await self._release()
            else:
                _log.warning("a write was not answered; the Lease is not released and expires")

    async def _renew(self) -> None:
        """Renew before each deadline. Returns when the Lease is lost."""
        pause = self._name.retry_period
        while True:
            await asyncio.sleep(pause)
            # Half of the time left: after a failed attempt there is time for another.
            began = await self._attempt(
                max(self._fence.seconds_left / 2, self._name.retry_period / 10)
            )
            if self._lost or self._fence.seconds_left <= 0:
                # After a lapse this operator must stop before it can lead again.
                return
            if began is not None and not self._extend(began):
                return
            pause = self._name.retry_period / (3 if began is None else 1)

    def _extend(self, began: float) -> bool:
        """Extend the deadlines, counted from the start of the renewing call. Returns False if it is
        too late."""
        now = self._clock()
        if now >= began + self._name.renew_deadline:
            return False
        self._fence.open(began + self._name.renew_deadline)
        self._alarm(began + self._name.exit_deadline - now)
        return True

    async def _attempt(self, seconds: float) -> float | None:
        """Renew or take the Lease within so many seconds. Returns when the successful call started;
        None if another operator holds the Lease, or if the outcome is unknown."""
        try:
            async with asyncio.timeout(seconds):
                return await self._try()
        except TimeoutError:
            _log.warning("lease: no answer within %.1f s", seconds)
        except ApiError as error:
            if error.status != 409:
                _log.warning("lease: %s", error)
        return None

    async def _try(self) -> float | None:
        if self._ours:
            try:
                return await self._write(self._ours)
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
                self._ours = {}
        try:
            body = await self._client.get(LEASES, self._name.namespace, self._name.name)
        except ApiError as error:
            if error.status != 404:
                raise
            return await self._write({}) if self._is_free({}) else None
        holder = (body.get("spec") or {}).get("holderIdentity")
        self._lost = holder != self._name.identity
        if self._lost and not self._is_free(body):
            return None
        return await self._write(body)

    async def _write(self, before: dict[str, Any]) -> float:
        """Write this operator as the holder if the Lease is still `before`; empty: create it."""
        body = self._body(before, self._name.identity)
        began = self._clock()
        write = self._client.update if before else self._client.create
        self._ours = await write(LEASES, body)
        self._seen, self._lost = None, False
        return began

    def _is_free(self, body: dict[str, Any]) -> bool:
        """Whether no other operator can be acting. After a deletion (no body) the last leader acts
        until it notices; an operator that never saw a Lease assumes a new installation."""
        if body and not (body.get("spec") or {}).get("holderIdentity"):
            return True
        if not body and self._seen is None:
            return True
        version = body["metadata"]["resourceVersion"] if body else ""
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] >= self._name.duration

    async def _release(self) -> None:
        """Release the Lease, so that the next leader need not wait."""
        mine = self._name
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                body = await self._client.get(LEASES, mine.namespace, mine.name)
                if (body.get("spec") or {}).get("holderIdentity") == mine.identity:
                    await self._client.update(LEASES, self._body(body, ""))
        except (ApiError, TimeoutError) as error:
            _log.warning("lease not released: %s", error or "no answer")

    def _body(self, before: dict[str, Any], holder: str) -> dict[str, Any]:
        mine = self._name
        meta = {"name": mine.name, "namespace": mine.namespace}
        version = (before.get("metadata") or {}).get("resourceVersion")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**meta, "resourceVersion": version} if version else meta,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": max(1, int(mine.duration)),
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
