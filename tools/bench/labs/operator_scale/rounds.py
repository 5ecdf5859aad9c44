"""Full observe-plan-act rounds over all pools, in this process, without waiting in between."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import aiohttp

from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import BY_KIND, PODS, POOLS, KubeClient
from ocrpool_operator.cluster.connection import api_client, load_configuration
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.parse import pod_from, pool_from
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile import loop
from ocrpool_operator.reconcile.dependencies import Dependencies
from ocrpool_operator.reconcile.instance_scaling import InstanceScaling
from ocrpool_operator.reconcile.reconciler import Reconciler
from tools.bench.labs.operator_scale.pools import NAMESPACE


def full_rounds(kubeconfig: Path, count: int, interval: float) -> list[float]:
    """Seconds of each round, with the concurrency of the operator's loop. No operator may run."""
    os.environ["KUBECONFIG"] = str(kubeconfig)
    return asyncio.run(_full_rounds(count, interval))


async def _full_rounds(count: int, interval: float) -> list[float]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        api_client(await load_configuration()) as api,
    ):
        client = KubeClient(api)
        cache = await _filled_cache(client)
        events, workers, metrics = (
            EventRecorder(client, time.time),
            WorkerClient(session),
            OperatorMetrics(),
        )
        scaling = InstanceScaling(workers, events, metrics, interval=interval, clock=time.monotonic)
        parts = Dependencies(cache, client, workers, scaling, events, metrics, time.time)
        reconciler = Reconciler(parts, interval=interval)
        gate = asyncio.Semaphore(loop.MAX_CONCURRENT_ROUNDS)

        async def one(key: tuple[str, str]) -> None:
            async with gate:
                await reconciler.reconcile(key)

        found = []
        for _ in range(count + 1):
            began = time.monotonic()
            await asyncio.gather(*(one(key) for key in list(cache.pools)))
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.5)
    for pool in cache.pools.values():
        degraded = next(each for each in pool.status.conditions if each.type == "Degraded")
        assert degraded.status == "False", degraded
    # The first round opens every connection and lists everything, so it does not count.
    return found[1:]


async def _filled_cache(client: KubeClient) -> PoolCache:
    """A cache with what the operator's watches would have stored."""
    cache = PoolCache()
    for body in await client.list(POOLS, NAMESPACE, ""):
        cache.put_pool(pool_from(body))
    for body in await client.list(PODS, NAMESPACE, ""):
        cache.put_pod((NAMESPACE, body["metadata"]["labels"]["ocrpool.dev/pool"]), pod_from(body))
    for kind, resource in BY_KIND.items():
        for body in await client.list(resource, NAMESPACE, ""):
            cache.put_owned_object(kind, body)
    return cache
