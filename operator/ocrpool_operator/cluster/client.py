"""The few calls to the API server that the operator makes, on plain dicts.

The transport, TLS, credentials and their refresh are the official client's (`kubernetes.aio`). Its
typed models are not used: they cost memory, and they drop fields that they do not know. This module
adds what the official client lacks: the write fence, one hook around every call for metrics and
tests, deadlines, and errors that say which call failed and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from ocrpool.resource.names import GROUP, MANAGER, PLURAL, VERSION
from ocrpool_operator.cluster.fence import Fence, FencedError, never_fenced

Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the path of its address names it."""

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
    """One call, with the verbs and resources of RBAC."""

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
    """A call failed. `status` is 0 if the API server did not answer."""

    def __init__(self, call: ApiCall, status: int, reason: str, message: str) -> None:
        super().__init__(f"{call}: {message}")
        self.call = call
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = 0.0


# Awaited with ("before", call) and, if the call succeeded, with ("after", call).
Hook = Callable[[str, ApiCall], Awaitable[None]]


async def _no_hook(moment: str, call: ApiCall) -> None:
    return


class KubeClient:
    """Calls with one set of credentials. The caller closes the API clients.

    All writes except those of the Lease pass `fence`. They use `writes`, an API client whose
    sockets check the fence; without it they share one client with the reads.
    """

    def __init__(
        self,
        reads: ApiClient,
        *,
        hook: Hook = _no_hook,
        fence: Fence | None = None,
        writes: ApiClient | None = None,
    ) -> None:
        self._reads = reads
        self._hook = hook
        self._fence = fence or never_fenced()
        self._writes = writes or reads

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return await self._do(ApiCall("get", resource, namespace, name), "GET")

    async def list(
        self, resource: Resource, namespace: str, selector: str, *, name: str = ""
    ) -> list[Object]:
        """All objects that match, from the API server and not from a cache."""
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
        """Replace an object. With metadata.resourceVersion, fail if it has changed since."""
        meta = body["metadata"]
        call = ApiCall("update", resource, meta["namespace"], meta["name"])
        return await self._do(call, "PUT", body=body, params={"fieldManager": MANAGER})

    async def apply(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Server-side apply, with one field manager for the whole operator."""
        meta = body["metadata"]
        call = ApiCall("patch", resource, meta["namespace"], meta["name"], subresource)
        params = {"fieldManager": MANAGER, "force": "true"}
        return await self._do(call, "PATCH", body=body, params=params, content_type=APPLY)

    async def merge(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """JSON merge patch: replaces whole lists, including the items of other field managers."""
        meta = body["metadata"]
        call = ApiCall("patch", resource, meta["namespace"], meta["name"], subresource)
        params = {"fieldManager": MANAGER}
        return await self._do(call, "PATCH", body=body, params=params, content_type=MERGE)

    async def patch(
        self, resource: Resource, namespace: str, name: str, steps: Sequence[Object]
    ) -> Object:
        """JSON Patch (RFC 6902). A step that sets the resourceVersion makes it fail with `Conflict`
        if the object has changed since."""
        call = ApiCall("patch", resource, namespace, name)
        params = {"fieldManager": MANAGER}
        return await self._do(call, "PATCH", body=steps, params=params, content_type=JSON_PATCH)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, now: bool = False
    ) -> None:
        """Delete the object with that uid. `now`: do not wait for its node."""
        body: Object = {"preconditions": {"uid": uid}}
        if now:
            body["gracePeriodSeconds"] = 0
        await self._do(ApiCall("delete", resource, namespace, name), "DELETE", body=body)

    async def api_resources(self, group: str, version: str) -> set[str]:
        """The plural names of the resources that the server has in this group and version."""
        call = ApiCall("get", Resource(group, version, ""), "")
        found = await self._send(call, "GET", f"/apis/{group}/{version}")
        return {each["name"] for each in found.get("resources") or ()}

    @contextlib.contextmanager
    def _route(self, call: ApiCall) -> Iterator[tuple[ApiClient, float]]:
        """The API client for a call and the seconds that the call may take. Raises FencedError."""
        if not call.writes or call.resource is LEASES:
            yield self._reads, TIMEOUT_SECONDS
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
        await self._hook("before", call)
        found = await self._send(
            call, method, "/".join(parts), body=body, params=params, content_type=content_type
        )
        await self._hook("after", call)
        return found

    async def _send(
        self,
        call: ApiCall,
        method: str,
        path: str,
        *,
        body: Object | Sequence[Object] | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        try:
            with self._route(call) as (api, seconds):
                # One limit for all of it: a token may have to be renewed first.
                async with asyncio.timeout(seconds):
                    request = await api.param_serialize(
                        method,
                        path,
                        query_params=list((params or {}).items()),
                        header_params={"Content-Type": content_type},
                        body=body,
                        auth_settings=["BearerToken"],
                    )
                    timeout = aiohttp.ClientTimeout(total=seconds)
                    response = await api.call_api(*request, _request_timeout=timeout)
                    text = await response.read()
        except FencedError as error:
            raise ApiError(call, 0, "NotLeading", str(error)) from None
        except ConfigException as error:
            raise ApiError(call, 0, "NoCredentials", f"no credentials: {error}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise ApiError(call, 0, "Unreachable", f"no answer: {words}") from None
        if response.status >= 400:
            raise _refusal(call, response.status, text, response.headers.get("Retry-After", ""))
        try:
            found = json.loads(text)
        except ValueError:
            message = "the answer is not JSON"
            raise ApiError(call, response.status, "BadAnswer", message) from None
        return found if isinstance(found, dict) else {}


def _refusal(call: ApiCall, status: int, text: bytes, retry_after: str) -> ApiError:
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
