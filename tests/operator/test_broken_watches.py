"""The cache follows although watches break. kmock plays the API server for kopf and our handlers.

Only the protocol is simulated here. test_protocol_faults.py uses a real API server.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kmock
import pytest
import yaml

from ocrpool_operator.cluster import watch
from ocrpool_operator.cluster.cache import PoolCache

KEY = ("default", "pages")
RESOURCES = (
    "ocrpool.dev/v1alpha1/ocrpools",
    "v1/pods",
    "v1/services",
    "v1/configmaps",
    "policy/v1/poddisruptionbudgets",
    "networking.k8s.io/v1/networkpolicies",
    "v1/namespaces",  # kopf waits until the server has this one
)


def a_pod(name: str, version: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "resourceVersion": str(version),
            "labels": {"ocrpool.dev/pool": "pages"},
        },
        "status": {"podIP": f"10.0.0.{version}"},
    }


class Script:
    """What each watch of the pods delivers before it breaks. The last watch stays open."""

    def __init__(self) -> None:
        self.turns = 0
        self.done = asyncio.Event()

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        self.turns += 1
        yield b""
        if self.turns == 1:  # ends in the middle of a line
            yield {"type": "ADDED", "object": a_pod("pages-0", 1)}
            yield b'{"type": "MODIFIED", "object": {"metad'
        elif self.turns == 2:  # the resource version has expired
            yield {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
        elif self.turns == 3:  # ends at once, without an event
            return
        elif self.turns == 4:  # an error that kopf does not know
            yield {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd"}}
        else:
            yield {"type": "MODIFIED", "object": a_pod("pages-0", 7)}
            yield {"type": "ADDED", "object": a_pod("pages-1", 8)}
            self.done.set()
            await asyncio.sleep(60)


# kopf leaves the connections of an abandoned watch to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.asyncio
@pytest.mark.timeout(60)
async def test_cache_follows_after_every_broken_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kmock.KubernetesEmulator() as server, kmock.Server(server):
        for resource in RESOURCES:
            server.resources[resource] = {
                "namespaced": True,
                "kind": resource.rpartition("/")[2],
                "verbs": ["list", "watch"],
            }
        script = Script()
        server[kmock.action.WATCH, kmock.resource("v1/pods")] << script
        config = {
            "clusters": [{"name": "kmock", "cluster": {"server": str(server.url).rstrip("/")}}],
            "users": [{"name": "kmock", "user": {"token": "none"}}],
            "contexts": [{"name": "kmock", "context": {"cluster": "kmock", "user": "kmock"}}],
            "current-context": "kmock",
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        cache, both, acted = PoolCache(), asyncio.Event(), list[int]()
        marked: set[tuple[str, str]] = set()

        def mark(key: tuple[str, str]) -> None:
            marked.add(key)
            if len(cache.pods(KEY)) == 2:
                both.set()

        settings = watch.settings()
        settings.watching.reconnect_backoff = 0.05
        settings.networking.error_backoffs = (0.05,) * 4

        async def act() -> None:
            acted.append(len(acted))
            await asyncio.Event().wait()

        following = asyncio.create_task(
            watch.run_watches(
                cache, mark, act, namespaces=["default"], with_settings=settings, pause=0.1
            )
        )
        await asyncio.wait_for(script.done.wait(), 30)
        await asyncio.wait_for(both.wait(), 10)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    gc.collect()
    # The rest of the operator was started again each time that kopf gave up.
    assert len(acted) >= 2
    assert {each.name: each.version for each in cache.pods(KEY)} == {"pages-0": 7, "pages-1": 8}
    assert marked == {KEY}
