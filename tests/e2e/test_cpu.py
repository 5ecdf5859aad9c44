"""PaddleOCR in a container with a memory limit: as many instances as fit into it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e import pools
from tests.e2e.pools import GIB, Object
from tools.bench.lib.samples import sample_page
from tools.devcluster.testing import Namespace

pytestmark = pytest.mark.timeout(400, func_only=True)
LIMIT = 3 * GIB


def _has_grown(body: Object) -> bool:
    workers = body.get("status", {}).get("workers", [])
    return any(
        each["instances"]["ready"] >= 2 and "hold, headroom" in each["decision"] for each in workers
    )


def test_instances_grow_by_headroom_under_the_containers_limit(
    restricted_namespace: Namespace,
) -> None:
    body = pools.real_pool(
        instances={"min": 1, "max": 8},
        template={"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": str(LIMIT)}}},
    )
    pool = pools.apply(restricted_namespace, body)

    grown = pool.until("as many instances as fit", _has_grown, seconds=240)

    (worker,) = grown["status"]["workers"]
    count = worker["instances"]["ready"]
    assert worker["memory"]["total"] == LIMIT
    assert count * worker["footprint"] <= LIMIT < (count + 2) * worker["footprint"]
    page = sample_page()
    with ThreadPoolExecutor(2 * count) as clients:
        found = list(
            clients.map(lambda _: pools.first_text(pool.url(), page), range(4 * count)),
        )
    for texts in found:
        assert pools.missing_lines(page, texts) == []
    (pod,) = pool.pods.values()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
