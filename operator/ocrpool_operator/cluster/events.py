"""Kubernetes Events: a line for people when something changes, never because time passes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.resource.names import GROUP, KIND, MANAGER, VERSION
from ocrpool.resource.status import Condition, PoolStatus
from ocrpool_operator.cluster.client import EVENTS, ApiError, KubeClient

_log = logging.getLogger(__name__)
_LONGEST = 1000


class EventRecorder:
    """Posts Events about pools. An Event that cannot be posted is logged and nothing else."""

    def __init__(self, client: KubeClient, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now

    async def post(
        self, pool: ObservedPool, reason: str, message: str, *, warning: bool = False
    ) -> None:
        moment = self._now()
        stamp = format_timestamp(moment)
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{pool.name}.{int(moment * 1e6):x}",
                "namespace": pool.namespace,
            },
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": pool.namespace,
                "name": pool.name,
                "uid": pool.uid,
            },
            "reason": reason,
            "message": message[:_LONGEST],
            "type": "Warning" if warning else "Normal",
            "source": {"component": MANAGER},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        where = f"{pool.namespace}/{pool.name}"
        _log.info(message, extra={"pool": where, "reason": reason})
        try:
            await self._client.create(EVENTS, body)
        except ApiError as error:
            _log.warning("event not posted: %s", error, extra={"pool": where})

    async def post_transitions(self, pool: ObservedPool, after: PoolStatus) -> None:
        """Post an Event for every condition whose status or reason changed."""
        old = {each.type: each for each in pool.status.conditions}
        for new in after.conditions:
            before = old.get(new.type)
            if before is None and new.status == "False":
                continue
            if before is None or (before.status, before.reason) != (new.status, new.reason):
                await self.post(pool, new.reason, _sentence(new), warning=_is_bad(new))


def _sentence(condition: Condition) -> str:
    verb = "is" if condition.status == "True" else "is not"
    return f"{verb} {condition.type}: {condition.message}"


def _is_bad(condition: Condition) -> bool:
    return condition.type == "Degraded" and condition.status == "True"
