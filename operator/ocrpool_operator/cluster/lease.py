"""Hot standby: of several operators one acts, and it holds a Lease.

Expiry is measured with our own clock from the moment at which we saw the Lease change, so clocks
of different machines need not agree. Whoever acts does so for a part of that time after the call
that renewed the Lease was begun; the rest is for what is still on its way to the API server.
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
    """Where the Lease is, who we are, and how long a silent holder is waited for."""

    namespace: str
    name: str
    identity: str
    duration: float = 15.0

    @property
    def pause(self) -> float:
        """Seconds between renewals: two may fail."""
        return self.duration / 5

    @property
    def acting(self) -> float:
        """Seconds for which a renewal lets us write."""
        return self.duration * 0.6

    @property
    def living(self) -> float:
        """Seconds after a renewal by which we have stopped acting, or the kernel ends us."""
        return self.duration * 0.8


def _leave_it(seconds: float) -> None:
    return


class LeaderElector:
    """One operator's hand on the Lease. `clock` is monotonic seconds, the fence's own. `alarm`:
    has this process ended in so many seconds; 0: not any more."""

    def __init__(
        self,
        client: KubeClient,
        name: LeaseSettings,
        clock: Callable[[], float],
        fence: Fence,
        alarm: Callable[[float], None] = _leave_it,
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._fence = fence
        self._alarm = alarm
        # The version that another one's Lease had when we last looked, and since when it has it.
        self._seen: tuple[str, float] | None = None
        # The Lease as we wrote it last; empty where it must be read before.
        self._ours: dict[str, Any] = {}
        self._lost = False

    async def hold(self, leading: Callable[[bool], Awaitable[None]]) -> None:
        """Until cancelled: take the Lease, and have `leading` told (and awaited) when we begin and
        when we have to stop. It is given back when all that was begun has stopped."""
        while True:
            began = await self._attempt(self._name.duration)
            if began is not None and self._extend(began):
                await self._lead(leading)
            await asyncio.sleep(self._name.pause)

    async def _lead(self, leading: Callable[[bool], Awaitable[None]]) -> None:
        """While the Lease is ours. Cancelled, it gives it back."""
        _log.info("leading")
        told = settled = False
        renewing = asyncio.create_task(self._renew())
        try:
            await leading(True)
            # The deadline is watched apart from the calls: none of them can make it late.
            while not renewing.done() and (left := self._fence.seconds_left) > 0:
                await asyncio.wait({renewing}, timeout=left)
        except asyncio.CancelledError:
            told = True
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
            if not told:
                _log.warning(
                    "the Lease was lost, or not renewed within %g s; standing by", self._name.acting
                )
            elif settled:
                await self._release()
            else:
                _log.warning("a write was not answered: the Lease is left to run out")

    async def _renew(self) -> None:
        """Renew while that keeps us in time; returns where the Lease is lost."""
        pause = self._name.pause
        while True:
            await asyncio.sleep(pause)
            # Half of what is left: one that fails leaves time for another.
            began = await self._attempt(max(self._fence.seconds_left / 2, self._name.pause / 10))
            if self._lost or self._fence.seconds_left <= 0:
                # What has lapsed is not taken up again without having stopped.
                return
            if began is not None and not self._extend(began):
                return
            pause = self._name.pause / (3 if began is None else 1)

    def _extend(self, began: float) -> bool:
        """Write for a while from the moment at which the call that renewed was begun."""
        now = self._clock()
        if now >= began + self._name.acting:
            return False
        self._fence.open(began + self._name.acting)
        self._alarm(began + self._name.living - now)
        return True

    async def _attempt(self, seconds: float) -> float | None:
        """Renew or take the Lease within so many seconds. Answers when the call that did it was
        begun; None where it is not ours, or nobody can say."""
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
        """Ours from now on, if it still is as it was `before`; with nothing before, it is made."""
        body = self._body(before, self._name.identity)
        began = self._clock()
        write = self._client.update if before else self._client.create
        self._ours = await write(LEASES, body)
        self._seen, self._lost = None, False
        return began

    def _is_free(self, body: dict[str, Any]) -> bool:
        """Whether nobody can be acting. One that was deleted (no body) had a holder that acts on
        until it notices; whoever never saw one takes it for a new installation."""
        if body and not (body.get("spec") or {}).get("holderIdentity"):
            return True
        if not body and self._seen is None:
            return True
        version = body["metadata"]["resourceVersion"] if body else ""
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] >= self._name.duration

    async def _release(self) -> None:
        """So that the next one need not wait."""
        mine = self._name
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                body = await self._client.get(LEASES, mine.namespace, mine.name)
                if (body.get("spec") or {}).get("holderIdentity") == mine.identity:
                    await self._client.update(LEASES, self._body(body, ""))
        except (ApiError, TimeoutError) as error:
            _log.warning("lease not given back: %s", error or "no answer")

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
