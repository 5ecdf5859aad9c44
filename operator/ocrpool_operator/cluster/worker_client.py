"""The client of the workers' control ports: their state, their number of instances, draining."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import aiohttp
from pydantic import ValidationError

from ocrpool.planner.observed import ObservedPod, WorkerObservation
from ocrpool.protocol import State
from ocrpool.resource.names import CONTROL_PORT
from ocrpool_operator.cluster.fence import Fence, FencedError, never_fenced

# A healthy worker answers in milliseconds. Longer counts as no answer.
TIMEOUT_SECONDS = 3.0
MOST_AT_ONCE = 64
MOST_REMEMBERED = 10_000
MOST_BYTES = 4 * 2**20


class WorkerClient:
    """Calls to the control ports of all workers. The caller closes the sessions.

    Calls that change a worker pass `fence` and use `writes`, a session whose sockets check the
    fence."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        timeout: float = TIMEOUT_SECONDS,
        fence: Fence | None = None,
        writes: aiohttp.ClientSession | None = None,
    ) -> None:
        self._session = session
        self._seconds = timeout
        self._fence = fence or never_fenced()
        self._writes = writes or session
        self._misses: dict[str, int] = {}
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)

    async def fetch_states(
        self, pods: Iterable[ObservedPod], token: str
    ) -> dict[str, WorkerObservation]:
        """Fetch the state of every pod that has an address, by uid of the pod. Never raises."""
        asked = [pod for pod in pods if pod.ip and not pod.finished]
        looks = await asyncio.gather(*(self._call("GET", pod, "state", token) for pod in asked))
        return {pod.uid: self._counted(pod, look) for pod, look in zip(asked, looks, strict=True)}

    def _counted(self, pod: ObservedPod, look: WorkerObservation) -> WorkerObservation:
        """With the number of failed looks in a row."""
        if look.state is not None:
            self._misses.pop(pod.uid, None)
            return look
        if len(self._misses) >= MOST_REMEMBERED:
            # Nobody tells this client when a pod is gone, so all counts are dropped.
            self._misses.clear()
        self._misses[pod.uid] = self._misses.get(pod.uid, 0) + 1
        return replace(look, failures_in_a_row=self._misses[pod.uid])

    async def set_target(self, pod: ObservedPod, token: str, target: int) -> WorkerObservation:
        """Ask a worker to run this number of instances."""
        return await self._call("PUT", pod, "instances", token, body={"target": target})

    async def drain(self, pod: ObservedPod, token: str) -> WorkerObservation:
        """Ask a worker to accept no new requests."""
        return await self._call("POST", pod, "drain", token)

    @contextlib.contextmanager
    def _route(self, method: str) -> Iterator[tuple[aiohttp.ClientSession, float]]:
        """The session for a call and the seconds that the call may take. Raises FencedError."""
        if method == "GET":
            yield self._session, self._seconds
            return
        with self._fence.write() as left:
            yield self._writes, min(self._seconds, left)

    async def _call(
        self,
        method: str,
        pod: ObservedPod,
        path: str,
        token: str,
        body: dict[str, int] | None = None,
    ) -> WorkerObservation:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        url = f"http://{host}:{CONTROL_PORT}/v1/{path}"
        try:
            async with self._gate:
                with self._route(method) as (session, seconds):
                    async with session.request(
                        method,
                        url,
                        json=body,
                        headers={"Authorization": f"Bearer {token}"},
                        timeout=aiohttp.ClientTimeout(total=seconds),
                        allow_redirects=False,
                    ) as response:
                        text = await response.content.read(MOST_BYTES)
                        while not response.content.at_eof() and len(text) < MOST_BYTES:
                            text += await response.content.read(MOST_BYTES)
                        status = response.status
        except FencedError as error:
            return WorkerObservation(error=str(error))
        except TimeoutError:
            return WorkerObservation(
                error=f"its control port does not answer within {self._seconds:g} s"
            )
        except (aiohttp.ClientError, OSError) as error:
            return WorkerObservation(
                error=f"its control port cannot be reached ({type(error).__name__})"
            )
        if status == 401:
            return WorkerObservation(
                error="it refuses the operator's token (401): the Secret and the pod differ"
            )
        if status != 200:
            return WorkerObservation(
                error=f"its control port answers {status} to {method} /v1/{path}"
            )
        try:
            return WorkerObservation(state=State.model_validate_json(text))
        except ValidationError:
            return WorkerObservation(
                error="its control port answers something that is not a worker's state"
            )
