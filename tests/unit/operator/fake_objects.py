"""A fake API server for tests of one round: it keeps objects, records writes, and refuses some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ocrpool_operator.cluster.client import BY_KIND, PODS, ApiCall, ApiError, KubeClient, Resource

Body = dict[str, Any]
_KINDS: dict[Resource, str] = {resource: kind for kind, resource in BY_KIND.items()} | {PODS: "Pod"}


class FakeObjects:
    """The calls of KubeClient that reconciling makes. Real semantics: tests/operator."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Body] = {}
        # "verb kind name" of every call that writes.
        self.writes: list[str] = []
        # The HTTP status with which a write is refused.
        self.refused: dict[str, int] = {}

    @property
    def client(self) -> KubeClient:
        return cast(KubeClient, self)

    async def list(
        self, resource: Resource, namespace: str, selector: str, *, name: str = ""
    ) -> Sequence[Body]:
        found = self.objects.get((_KINDS[resource], name))
        return [] if found is None else [found]

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> Body:
        name = body["metadata"]["name"]
        self._write("create", resource, name)
        if (body["kind"], name) in self.objects:
            raise _error("create", resource, name, 409, "AlreadyExists")
        meta = {"uid": f"uid of {name}", "resourceVersion": "1", **body["metadata"]}
        self.objects[body["kind"], name] = made = {**body, "metadata": meta}
        return made

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, now: bool = False
    ) -> None:
        self._write("delete", resource, name)
        if self.objects.pop((_KINDS[resource], name), None) is None:
            raise _error("delete", resource, name, 404, "NotFound")

    def _write(self, verb: str, resource: Resource, name: str) -> None:
        call = f"{verb} {_KINDS[resource]} {name}"
        self.writes.append(call)
        if call in self.refused:
            status = self.refused[call]
            raise _error(verb, resource, name, status, "Conflict" if status == 409 else "Forbidden")


def _error(verb: str, resource: Resource, name: str, status: int, reason: str) -> ApiError:
    return ApiError(ApiCall(verb, resource, "default", name), status, reason, "refused")
