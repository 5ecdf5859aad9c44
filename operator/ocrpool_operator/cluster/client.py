"""The few calls to the API server that the operator makes, over aiohttp.

Not the official client: it cannot be installed beside PaddleX (they pin different PyYAMLs), and of
its hundreds of modules this needs one request. Credentials are kopf's, so that both have the same.
Every call passes one place: there it is counted, and tests look on, fail it, or end the process.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from ocrpool.resource.names import GROUP, MANAGER, PLURAL, VERSION
from ocrpool_operator.cluster.fence import Fence, FencedError, never_fenced

Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TIMEOUT_SECONDS = 15.0
LARGE_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as its address says it."""

    group: str
    version: str
    plural: str

    @property
    def root(self) -> str:
        where = f"/apis/{self.group}" if self.group else "/api"
        return f"{where}/{self.version}"


POOLS = Resource(GROUP, VERSION, PLURAL)
PODS = Resource("", "v1", "pods")
SERVICES = Resource("", "v1", "services")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
EVENTS = Resource("", "v1", "events")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
BY_KIND = {
    "ConfigMap": CONFIG_MAPS,
    "Service": SERVICES,
    "PodDisruptionBudget": BUDGETS,
    "Deployment": DEPLOYMENTS,
    "NetworkPolicy": POLICIES,
}


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call, in the words of RBAC."""

    verb: str
    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""

    @property
    def writes(self) -> bool:
        return self.verb not in ("get", "list")

    @property
    def kind(self) -> str:
        """The resource with its subresource, as RBAC writes it."""
        return "/".join(part for part in (self.resource.plural, self.subresource) if part)

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} {self.namespace}/{self.name}".rstrip("/")


class ApiError(Exception):
    """The API server did not do it. `status` 0: it did not answer."""

    def __init__(self, call: ApiCall, status: int, reason: str, message: str) -> None:
        super().__init__(f"{call}: {message}")
        self.call = call
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = 0.0


# Looks on: awaited with ("before", call) and, when it was done, with ("after", call).
Hook = Callable[[str, ApiCall], Awaitable[None]]


async def _no_hook(moment: str, call: ApiCall) -> None:
    return


class KubeClient:
    """Calls with one set of credentials. The sessions are closed by whoever made them.

    All writes but the Lease's pass `fence`, and `writes`, a session whose sockets are the fence's
    own; without it they share one session with the reads.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        *,
        hook: Hook = _no_hook,
        fence: Fence | None = None,
        writes: aiohttp.ClientSession | None = None,
    ) -> None:
        self._session = session
        self._server = server.rstrip("/")
        self._hook = hook
        self._fence = fence or never_fenced()
        self._writes = writes or session

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return await self._do(ApiCall("get", resource, namespace, name), "GET")

    async def list(
        self, resource: Resource, namespace: str, selector: str, *, name: str = ""
    ) -> list[Object]:
        """All objects that match, as they are now and not as some cache remembers them."""
        call = ApiCall("list", resource, namespace)
        params = {"labelSelector": selector}
        if name:
            params["fieldSelector"] = f"metadata.name={name}"
        found = await self._do(call, "GET", params=params)
        return list(found.get("items") or ())

    async def create(self, resource: Resource, body: Object) -> Object:
        meta = body["metadata"]
        call = ApiCall("create", resource, meta["namespace"], meta.get("name", ""))
        return await self._do(call, "POST", body=body, params={"fieldManager": MANAGER})

    async def update(self, resource: Resource, body: Object) -> Object:
        """Replace; with metadata.resourceVersion only what was read is replaced."""
        meta = body["metadata"]
        call = ApiCall("update", resource, meta["namespace"], meta["name"])
        return await self._do(call, "PUT", body=body, params={"fieldManager": MANAGER})

    async def apply(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Server-side apply by our one field manager."""
        meta = body["metadata"]
        call = ApiCall("patch", resource, meta["namespace"], meta["name"], subresource)
        params = {"fieldManager": MANAGER, "force": "true"}
        return await self._do(call, "PATCH", body=body, params=params, content_type=APPLY)

    async def merge(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """JSON merge patch: lists become what is said, whoever owned what was in them."""
        meta = body["metadata"]
        call = ApiCall("patch", resource, meta["namespace"], meta["name"], subresource)
        params = {"fieldManager": MANAGER}
        return await self._do(call, "PATCH", body=body, params=params, content_type=MERGE)

    async def patch(
        self, resource: Resource, namespace: str, name: str, steps: Sequence[Object]
    ) -> Object:
        """JSON Patch (RFC 6902). A step that sets the resourceVersion makes it one that fails with
        `Conflict` where the object is another one by now."""
        call = ApiCall("patch", resource, namespace, name)
        params = {"fieldManager": MANAGER}
        return await self._do(call, "PATCH", body=steps, params=params, content_type=JSON_PATCH)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, now: bool = False
    ) -> None:
        """Delete the very object with that uid; `now`: without waiting for its node."""
        body: Object = {"preconditions": {"uid": uid}}
        if now:
            body["gracePeriodSeconds"] = 0
        await self._do(ApiCall("delete", resource, namespace, name), "DELETE", body=body)

    @contextlib.contextmanager
    def _way_of(self, call: ApiCall) -> Iterator[tuple[aiohttp.ClientSession, float]]:
        """The session for a call and the seconds that it may take. Raises FencedError."""
        if not call.writes or call.resource is LEASES:
            yield self._session, TIMEOUT_SECONDS
            return
        with self._fence.write() as left:
            yield self._writes, min(TIMEOUT_SECONDS, left)

    async def _do(
        self,
        call: ApiCall,
        method: str,
        *,
        body: Object | Sequence[Object] | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        parts = [call.resource.root, "namespaces", call.namespace, call.resource.plural]
        if call.name and method != "POST":
            parts.append(call.name)
        if call.subresource:
            parts.append(call.subresource)
        url = self._server + "/".join(parts)
        data = None if body is None else _data(json.dumps(body).encode())
        await self._hook("before", call)
        try:
            with self._way_of(call) as (session, seconds):
                async with session.request(
                    method,
                    url,
                    params=params,
                    data=data,
                    headers={"Content-Type": content_type},
                    timeout=aiohttp.ClientTimeout(total=seconds),
                ) as response:
                    text = await response.text()
                    status, headers = response.status, response.headers
        except FencedError as error:
            raise ApiError(call, 0, "NotLeading", str(error)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise ApiError(call, 0, "Unreachable", f"no answer: {words}") from None
        if status >= 400:
            raise _refusal(call, status, text, headers.get("Retry-After", ""))
        await self._hook("after", call)
        try:
            found = json.loads(text)
        except ValueError:
            raise ApiError(call, status, "BadAnswer", "the answer is not JSON") from None
        return found if isinstance(found, dict) else {}


def _data(text: bytes) -> bytes | io.BytesIO:
    """What is large goes in pieces, or it would stop the event loop."""
    return text if len(text) < LARGE_BYTES else io.BytesIO(text)


def _refusal(call: ApiCall, status: int, text: str, retry_after: str) -> ApiError:
    try:
        said = json.loads(text)
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    message = str(said.get("message") or f"HTTP {status}")
    error = ApiError(call, status, str(said.get("reason") or f"Http{status}"), message)
    if retry_after.isdigit():
        error.retry_after = float(retry_after)
    return error
