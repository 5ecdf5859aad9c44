"""Hot standby: of several operators one acts, and it holds a Lease.

Expiry is measured with our own clock from the moment at which we saw the Lease change, so clocks
of different machines need not agree.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocrpool_operator.kubernetes.client import LEASES, ApiError, Client

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Where the Lease is, who we are, and how long a silent holder is waited for."""

    namespace: str
    name: str
    identity: str
    duration: float = 15.0

    @property
    def pause(self) -> float:
        """Seconds between renewals: two may fail."""
        return self.duration / 5


class Lease:
    """One operator's hand on the Lease. `clock` is monotonic seconds."""

    def __init__(self, client: Client, name: LeaseName, clock: Callable[[], float]) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._seen: tuple[str, float] | None = None
        self._renewed = 0.0

    async def hold(self, leading: Callable[[bool], None]) -> None:
        """Until cancelled, tell `leading` whenever it changes whether we act."""
        acting = False
        try:
            while True:
                holds = await self._try()
                if holds:
                    self._renewed = self._clock()
                # Stop before anybody else can have begun.
                now_acting = holds or (
                    acting and self._clock() - self._renewed < self._name.duration * 0.6
                )
                if now_acting != acting:
                    acting = now_acting
                    _log.info("leading" if acting else "standing by")
                    leading(acting)
                await asyncio.sleep(self._name.pause)
        finally:
            if acting:
                await self._release()

    async def _try(self) -> bool:
        """Renew or take the Lease; whether it is ours now."""
        mine = self._name
        try:
            try:
                body = await self._client.get(LEASES, mine.namespace, mine.name)
            except ApiError as error:
                if error.status != 404:
                    raise
                await self._client.create(LEASES, self._body({}, mine.identity))
                return True
            spec = body.get("spec") or {}
            if spec.get("holderIdentity") != mine.identity and not self._is_free(body):
                return False
            await self._client.update(LEASES, self._body(body, mine.identity))
        except ApiError as error:
            if error.status != 409:
                _log.warning("lease: %s", error)
            return False
        return True

    def _is_free(self, body: dict[str, Any]) -> bool:
        if not (body.get("spec") or {}).get("holderIdentity"):
            return True
        version = body["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] >= self._name.duration

    async def _release(self) -> None:
        """So that the next one need not wait."""
        mine = self._name
        try:
            body = await self._client.get(LEASES, mine.namespace, mine.name)
            if (body.get("spec") or {}).get("holderIdentity") == mine.identity:
                await self._client.update(LEASES, self._body(body, ""))
        except ApiError as error:
            _log.warning("lease not given back: %s", error)

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
