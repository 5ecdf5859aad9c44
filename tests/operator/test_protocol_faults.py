"""Network faults between the operator and a real API server: it converges without duplicates.

tests/operator/faulty.py makes the faults. The API server behind it is real.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.operator.api import Api, Object
from tests.operator.faulty import FaultyWire
from tests.operator.harness import OperatorHarness, pool, still_pool, watching

pytestmark = pytest.mark.timeout(300)
WATCHES = r"^GET .*[?&]watch="
# Every kind of write that the operator makes.
WRITES = (
    r"^POST .*/secrets",
    r"^POST .*/configmaps",
    r"^POST .*/services",
    r"^POST .*/poddisruptionbudgets",
    r"^PATCH .*/configmaps/",
    r"^PATCH .*/ocrpools/pages\?",
    r"^PATCH .*/ocrpools/pages/status",
    r"^POST .*/pods",
    r"^PATCH .*/pods/",
    r"^DELETE .*/pods/",
    r"^POST .*/events",
)


@pytest.fixture
def wire(api: Api, harness: OperatorHarness) -> Iterator[FaultyWire]:
    """The operators of this test's harness use this connection."""
    with FaultyWire(api) as found:
        harness.use_server(found.url)
        yield found
        for operator in harness.operators:
            if operator.process.poll() is None:
                operator.kill()


def never_doubled(pods: dict[str, Object]) -> None:
    assert set(pods) <= {"pages-0", "pages-1"}, sorted(pods)


@pytest.mark.usefixtures("models")
def test_changes_during_broken_watches_are_noticed(
    harness: OperatorHarness, wire: FaultyWire
) -> None:
    operator = harness.start()
    harness.apply(still_pool())
    harness.until_ready(2)
    for _ in range(5):
        assert wire.cut_watches() >= 1
        time.sleep(0.3)
    # No watch works any more. A pod is deleted by hand, and the user scales.
    watches = [wire.rule(WATCHES, times=10**6, status=status) for status in (500, 429)]
    watches[1].headers["Retry-After"] = "1"
    watches[1].times = 2
    wire.cut_watches()
    # pages-1 is removed first in any case, so that it is certain which of the two stays.
    kept, uid = harness.uid("pages-0"), harness.uid("pages-1")
    harness.namespace.kubectl("delete", "pod", "pages-1", "--wait=false")
    harness.until("the pod is gone for good", lambda: harness.uid("pages-1") != uid)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    harness.until("watches fail for a while", lambda: watches[0].met >= 3, 30)
    wire.clear()
    harness.until_ready(1)
    harness.until("the other one is gone", lambda: sorted(harness.pods()) == ["pages-0"])
    assert harness.uid("pages-0") == kept
    assert "Traceback" not in operator.log.read_text(encoding="utf-8")
    # Then nothing is written any more.
    harness.until("the deletion is over", lambda: harness.condition("Progressing")[0] == "False")
    operator.settle()
    writes, status = operator.writes(), harness.reported()
    time.sleep(5)
    assert harness.reported() == status, f"before:\n{status}\nafter:\n{harness.reported()}"
    assert operator.writes() == writes


@pytest.mark.parametrize("fault", ["429 and 500", "answers that are lost"])
def test_failed_writes_are_retried_without_duplicates(
    harness: OperatorHarness, wire: FaultyWire, fault: str
) -> None:
    """The first call of every kind is refused, or it is done and its answer is lost."""
    rules = []
    for number, kind in enumerate(WRITES):
        if fault == "answers that are lost":
            rules.append(wire.rule(kind, lost=True))
        elif number % 2:
            rules.append(wire.rule(kind, status=500))
        else:
            rules.append(wire.rule(kind, status=429, headers={"Retry-After": "1"}))
    with watching(harness, never_doubled):
        harness.start()
        harness.apply(pool())
        harness.until_ready(2, seconds=150)
        harness.apply(pool(admission={"maxMegapixels": 0.25, "queue": 6}))
        harness.until("rolled", lambda: r"queue: 6\n" in str(harness.items("configmaps")), 90)
        harness.until_ready(2, seconds=150)
    harness.namespace.kubectl("delete", "ocrp", "pages", "--wait=false")
    harness.until("nothing is left behind", harness.gone, 120)
    assert [each.pattern for each in rules if not each.met] == []
    text = harness.operators[-1].log.read_text(encoding="utf-8")
    assert "Traceback" not in text


def test_edit_between_read_and_write_is_not_overwritten(
    harness: OperatorHarness, wire: FaultyWire
) -> None:
    path = f"{harness.path('ocrpools')}/pages"

    def scale() -> None:
        harness.api.merge(path, {"spec": {"replicas": 2}})

    met = wire.rule(r"^PATCH .*/ocrpools/pages/status", first=scale)
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(2)
    assert met.met == 1
    body = harness.pools()[0]
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"] == 2
    assert body["spec"]["replicas"] == 2


def test_pod_that_replaced_ours_before_the_delete_is_kept(
    harness: OperatorHarness, wire: FaultyWire
) -> None:
    """A delete names the uid of the pod that was observed, so that its successor is not deleted."""
    harness.start()
    harness.apply(pool())
    harness.until_ready(2)
    foreign_pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pages-1"},
        "spec": {"containers": [{"name": "main", "image": "none"}], "schedulerName": "nobody"},
    }

    def replace() -> None:
        body = {"gracePeriodSeconds": 0}
        harness.api.call("DELETE", f"{harness.path('pods')}/pages-1", body)
        harness.api.call("POST", harness.path("pods"), foreign_pod)

    met = wire.rule(r"^DELETE .*/pods/pages-1", first=replace)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    harness.until("it happened", lambda: met.met == 1)
    harness.until_ready(1)
    assert "ocrpool.dev/pool" not in harness.pods()["pages-1"]["metadata"].get("labels", {})


def test_own_fields_are_reverted_and_added_fields_stay(harness: OperatorHarness) -> None:
    """Fields that the operator sets are reverted. Fields that others add stay."""
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "pages", "annotations": {"example.com/theirs": "yes"}},
        "spec": {
            "selector": {"app": "theirs"},
            "ports": [{"name": "http", "port": 8080, "targetPort": 9}],
        },
    }
    harness.namespace.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=somebody",
        "--filename=-",
        manifest=service,
    )

    def ours() -> bool:
        [found] = harness.items("services")
        selector = found["spec"]["selector"]
        right = selector.get("ocrpool.dev/pool") == "pages"
        return right and found["spec"]["ports"][0]["targetPort"] == "http"

    harness.until("the Service leads to the workers again", ours)
    [found] = harness.items("services")
    assert found["metadata"]["annotations"] == {"example.com/theirs": "yes"}


def test_workers_serve_while_the_api_server_is_unreachable(
    harness: OperatorHarness, wire: FaultyWire
) -> None:
    """Workers keep serving, no request is lost, and a change made meanwhile is followed later."""
    operator = harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    calls = len(wire.calls)
    wire.rule(".", times=10**6, status=503)
    wire.cut_watches()
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    time.sleep(6)
    # It retries, but not in a hot loop.
    assert 1 <= len(wire.calls) - calls <= 60
    wire.clear()
    harness.until_ready(2, seconds=120)
    assert operator.process.poll() is None
