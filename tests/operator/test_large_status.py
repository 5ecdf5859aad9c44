"""The real API server and etcd refuse a status that is too large; then it is shortened."""

from __future__ import annotations

import time

import pytest

from ocrpool.resource.status import PoolStatus, WorkerReport
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import POOLS, KubeClient
from ocrpool_operator.cluster.connection import api_client, load_configuration
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.parse import pool_from
from ocrpool_operator.reconcile import status_writer
from ocrpool_operator.reconcile.pool_object import PoolObjectWriter
from ocrpool_operator.reconcile.status_writer import StatusWriter
from tests.operator.harness import OperatorHarness, pool


@pytest.mark.asyncio
@pytest.mark.timeout(120)
@pytest.mark.parametrize("characters", [1500, 3500])
async def test_too_large_status_is_shortened_until_it_is_accepted(
    harness: OperatorHarness, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    """1.5 MB are too large for etcd, 3.5 MB for the API server."""
    monkeypatch.setenv("KUBECONFIG", str(harness.kubeconfig))
    monkeypatch.setattr(status_writer, "STATUS_BYTES", 2**22)
    harness.apply(pool(replicas=0))
    status = PoolStatus(
        replicas=1000,
        workers=tuple(
            WorkerReport(name=f"pages-{n}", phase="NotReady", problem=f"It: {n} {'x' * characters}")
            for n in range(1000)
        ),
    )
    async with api_client(await load_configuration()) as api:
        client = KubeClient(api)
        [body] = await client.list(POOLS, harness.namespace.name, "")
        read = pool_from(body)
        writer = StatusWriter(
            PoolObjectWriter(PoolCache(), client), EventRecorder(client, time.time)
        )
        await writer.write(read, status)
    found = harness.status()

    assert found["replicas"] == 1000
    assert 200 < len(found["workers"]) < 1000
    assert "too large" in harness.events("StatusTooLarge")[0]
