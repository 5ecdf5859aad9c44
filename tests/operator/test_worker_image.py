"""A new operator brings the image of its release. Pools without an image get it, one by one."""

from __future__ import annotations

import pytest

from tests.operator.api import Object
from tests.operator.harness import OperatorHarness, pool, watching

pytestmark = pytest.mark.timeout(300)
ROUNDS = 'ocrpool_operator_rounds_total{result="ok"}'


def images(harness: OperatorHarness) -> dict[str, str]:
    return {name: pod["spec"]["containers"][0]["image"] for name, pod in harness.pods().items()}


def one_serves(pods: dict[str, Object]) -> None:
    ready = [
        condition["status"]
        for name, pod in pods.items()
        for condition in pod["status"].get("conditions", ())
        if name.startswith("pages-") and condition["type"] == "Ready"
    ]
    assert "True" in ready, pods


def test_upgrade_rolls_only_pools_without_an_image(harness: OperatorHarness) -> None:
    old = harness.start("--worker-image=worker:1")
    harness.apply(pool())
    harness.apply(pool("pinned", replicas=1, template={"image": "mine:7", "graceSeconds": 1}))
    harness.until_ready(2)
    harness.until_ready(1, "pinned")
    assert images(harness) == {"pages-0": "worker:1", "pages-1": "worker:1", "pinned-0": "mine:7"}
    first = {name: harness.uid(name) for name in harness.pods()}

    old.stop()
    same = harness.start("--worker-image=worker:1")
    harness.until("it has looked at both, twice", lambda: same.metric(ROUNDS) >= 4)
    same.stop()
    assert {name: harness.uid(name) for name in harness.pods()} == first

    with watching(harness, one_serves):
        harness.start("--worker-image=worker:2")
        harness.until("both are new", lambda: list(images(harness).values()).count("worker:2") == 2)
        harness.until_ready(2)
    assert images(harness)["pinned-0"] == "mine:7"
    assert harness.uid("pinned-0") == first["pinned-0"]
