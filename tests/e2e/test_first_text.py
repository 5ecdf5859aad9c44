"""From the command that installs ocrpool to the text of a real page, by both ways."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.samples import sample_page
from devcluster.testing import Cluster, Namespace
from tests.e2e import installs, pools
from tests.e2e.conftest import Told

pytestmark = pytest.mark.timeout(400)


def test_with_kubectl(node: Cluster, namespace: Namespace, tmp_path: Path, told: Told) -> None:
    page = sample_page()
    with installs.with_kubectl(node, tmp_path) as found:
        pool = pools.apply(namespace, pools.real_pool())
        # There is no Service yet: the operator's first work.
        pool.until("the operator has seen the pool", lambda body: "status" in body)
        texts = pools.first_text(pool.url(), page)
        seconds = time.monotonic() - found.began

    lacking = [line for line in page.lines if line not in texts]
    assert not lacking
    told(f"from kubectl apply -k to the text of a real page: {seconds:.1f} s")
