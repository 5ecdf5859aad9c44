"""`ocrpool-operator smoke-test`: create a small pool, send it a picture, and delete it again.

`helm test` runs it. It does what a user does, with a user's rights only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import aiohttp

from ocrpool.resource.names import DATA_PORT, GROUP, KIND, VERSION
from ocrpool_operator.cluster.client import POOLS, ApiError, KubeClient, Object
from ocrpool_operator.cluster.connection import api_client, load_configuration

PAUSE_SECONDS = 1.0
# Time limit of one page on a busy CPU.
POST_SECONDS = 60.0
# The label of pools that a smoke test created and may delete.
LABEL = f"{GROUP}/smoke-test"
# Its text is `OCR POOL 2026`.
PICTURE = "page.png"


class SmokeTestError(Exception):
    """The smoke test failed; the message says why."""


@dataclass(frozen=True)
class SmokeTest:
    """The options. `url`: where the pool answers. `expect`: words that the text must contain."""

    namespace: str
    name: str
    spec: dict[str, Any]
    expect: str = ""
    url: str = ""
    seconds: float = 300.0

    @property
    def address(self) -> str:
        return self.url or f"http://{self.name}.{self.namespace}.svc:{DATA_PORT}"


async def run_smoke_test(test: SmokeTest, say: Callable[[str], None]) -> None:
    """Run the test. Raises SmokeTestError, LoginError. The pool is deleted in any case."""
    configuration = await load_configuration()
    deadline = time.monotonic() + test.seconds
    async with api_client(configuration) as api:
        client = KubeClient(api)
        try:
            await _delete_pool(client, test, deadline)
            await client.create(POOLS, _body(test))
            say(f"created OcrPool {test.namespace}/{test.name}")
            try:
                say(await _until_ready(client, test, deadline))
                say(await _read_picture(test, deadline))
            finally:
                await _delete_pool(client, test, time.monotonic() + test.seconds)
                say("deleted it again")
        except ApiError as error:
            raise SmokeTestError(str(error)) from None


def _body(test: SmokeTest) -> Object:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": test.name, "namespace": test.namespace, "labels": {LABEL: "true"}},
        "spec": test.spec,
    }


async def _until_ready(client: KubeClient, test: SmokeTest, deadline: float) -> str:
    while True:
        body = await client.get(POOLS, test.namespace, test.name)
        status = body.get("status") or {}
        found = {each["type"]: each for each in status.get("conditions") or ()}
        ready = found.get("Ready", {})
        if ready.get("status") == "True":
            return f"ready: {ready['message']}"
        if time.monotonic() > deadline:
            reason = ready.get("message") or "its status is empty: does the operator run?"
            raise SmokeTestError(f"not ready within {test.seconds:g} s: {reason}")
        await asyncio.sleep(PAUSE_SECONDS)


async def _read_picture(test: SmokeTest, deadline: float) -> str:
    """Post the picture until it is read: a Service needs a moment to learn of its pods."""
    page = resources.files(__package__).joinpath(PICTURE).read_bytes()
    url = f"{test.address}/v1/ocr"
    async with aiohttp.ClientSession(trust_env=False) as session:
        answer = await _post(session, url, page)
        while isinstance(answer, str):
            if time.monotonic() > deadline:
                raise SmokeTestError(f"{url} did not answer in time: {answer}")
            await asyncio.sleep(PAUSE_SECONDS)
            answer = await _post(session, url, page)
    lines = [line["text"] for each in answer["pages"] for line in each["lines"]]
    if test.expect not in " ".join(lines):
        raise SmokeTestError(f"read {lines}, which does not contain {test.expect!r}")
    return f"read {lines}"


async def _post(session: aiohttp.ClientSession, url: str, page: bytes) -> dict[str, Any] | str:
    """The response, or why there is none that can be used."""
    try:
        timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
        async with session.post(url, data=page, timeout=timeout) as response:
            text = await response.text()
            if response.status == 200:
                found: dict[str, Any] = json.loads(text)
                return found
            return f"HTTP {response.status}: {text[:300]}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return str(error) or type(error).__name__


async def _delete_pool(client: KubeClient, test: SmokeTest, deadline: float) -> None:
    """Delete the pool of this or of an earlier run, and wait until it is gone."""
    while True:
        try:
            body = await client.get(POOLS, test.namespace, test.name)
            meta = body["metadata"]
            if LABEL not in (meta.get("labels") or {}):
                raise SmokeTestError(
                    f"OcrPool {test.namespace}/{test.name} exists, and no smoke test made it; "
                    "it is left alone: choose another --name"
                )
            if "deletionTimestamp" not in meta:
                await client.delete(POOLS, test.namespace, test.name, uid=meta["uid"])
        except ApiError as error:
            if error.status == 404:
                return
            if error.status != 409:
                raise
        if time.monotonic() > deadline:
            raise SmokeTestError(
                f"OcrPool {test.namespace}/{test.name} does not disappear after its deletion; "
                "check that the operator runs"
            )
        await asyncio.sleep(PAUSE_SECONDS)
