"""Keeps what a pool has besides its pods as it should be: Service, ConfigMap, front, and so on."""

from __future__ import annotations

import math

from ocrpool_operator.api.names import selector_of
from ocrpool_operator.kubernetes.client import BY_KIND, ApiError, Client
from ocrpool_operator.kubernetes.covers import covers
from ocrpool_operator.kubernetes.meta import Object
from ocrpool_operator.kubernetes.objects import Ingress, companions
from ocrpool_operator.kubernetes.refusals import Refusals
from ocrpool_operator.kubernetes.store import Key, Store
from ocrpool_operator.kubernetes.troubles import trouble_of
from ocrpool_operator.planner.observed import Pool, Trouble

# One whose deletion a broken watch has swallowed is noticed after this long at the latest.
RESYNC_SECONDS = 300.0


class Companions:
    """Applies what is missing or was changed, and nothing else."""

    def __init__(
        self,
        store: Store,
        client: Client,
        refusals: Refusals,
        *,
        domain: str,
        ingress: Ingress = None,
    ) -> None:
        self._store = store
        self._client = client
        self._refusals = refusals
        self._domain = domain
        self._ingress = ingress
        self._listed: dict[Key, float] = {}

    async def ensure(self, pool: Pool, now: float, *, evict: bool) -> list[Trouble]:
        """Answers what the API server refused for good. Raises ApiError where it is away. `now`:
        monotonic seconds; `evict`: the pool can do without one of its workers."""
        if pool.key not in self._listed and not pool.status.observed_generation:
            self._listed[pool.key] = now  # of a pool that is new there is nothing to be missed
        if now - self._listed.get(pool.key, -math.inf) >= RESYNC_SECONDS:
            await self._list(pool)
            self._listed[pool.key] = now
        # With no pod of the front ready, straight to the workers is better than nowhere.
        fronted = pool.spec.front is not None and any(
            pod.ready and pod.ending is None for pod in self._store.front_pods(pool.key)
        )
        troubles: list[Trouble] = []
        for wanted in self._wanted(pool, fronted=fronted, evict=evict):
            kind, name = wanted["kind"], wanted["metadata"]["name"]
            what = f"{kind} {name}"
            if covers(self._store.companion(kind, pool.namespace, name), wanted_part(wanted)):
                self._refusals.done(pool, what)
                continue
            refused = self._refusals.pending(pool, what)
            if refused is not None:
                troubles.append(refused)
                continue
            try:
                body = await self._client.apply(BY_KIND[kind], wanted)
            except ApiError as error:
                trouble = trouble_of(error)
                self._refusals.note(pool, what, trouble)
                troubles.append(trouble)
                continue
            self._refusals.done(pool, what)
            self._store.put_companion(kind, body)
        # Last: the Service must have left a front that was switched off before that is taken away.
        return troubles or await self._prune(pool)

    def _wanted(
        self, pool: Pool, *, fronted: bool = False, evict: bool = True
    ) -> tuple[Object, ...]:
        return companions(pool, self._ingress, fronted=fronted, evict=evict, domain=self._domain)

    async def _prune(self, pool: Pool) -> list[Trouble]:
        """Delete what was made for this pool and is not asked for any more."""
        troubles = []
        wanted = {(each["kind"], each["metadata"]["name"]) for each in self._wanted(pool)}
        for kind, resource in BY_KIND.items():
            for body in self._store.companions_of(pool.key, kind):
                meta = body["metadata"]
                owners = {owner.get("uid") for owner in meta.get("ownerReferences") or ()}
                if (kind, meta["name"]) in wanted or pool.uid not in owners:
                    continue
                try:
                    await self._client.delete(
                        resource, pool.namespace, meta["name"], uid=meta["uid"]
                    )
                except ApiError as error:
                    if error.status not in (404, 409):
                        troubles.append(trouble_of(error))
                        continue
                self._store.drop_companion(kind, pool.namespace, meta["name"])
        return troubles

    async def _list(self, pool: Pool) -> None:
        for kind, resource in BY_KIND.items():
            try:
                bodies = await self._client.list(resource, pool.namespace, selector_of(pool.name))
            except ApiError as error:
                trouble_of(error)
                continue
            names = {held["metadata"]["name"] for held in self._store.companions_of(pool.key, kind)}
            for wanted in self._wanted(pool):
                if wanted["kind"] == kind:
                    names.add(wanted["metadata"]["name"])
            for name in names:
                self._store.drop_companion(kind, pool.namespace, name)
            for body in bodies:
                self._store.put_companion(kind, body)


def wanted_part(wanted: dict[str, object]) -> dict[str, object]:
    """What is compared: all but the type, which a list does not repeat."""
    return {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
