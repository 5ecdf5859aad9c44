"""Foreign objects are never adopted, changed or deleted.

Every other operator test checks the same at its end (tests/operator/audit.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrpool.resource import names
from tests.operator import audit, foreign_objects
from tests.operator.api import Api, Object
from tests.operator.faulty import FaultyWire
from tests.operator.foreign_objects import ingress, move, some_rounds, uid_of
from tests.operator.harness import OperatorHarness, pool

pytestmark = pytest.mark.timeout(300)
# The operator of these tests ignores the pool until it is moved.
ELSEWHERE = {"operatorName": "nobody"}
PROXY = {"nodeSelector": {"no": "such-node"}}


def message(harness: OperatorHarness, kind: str, name: str) -> str:
    found = harness.status(name).get("conditions", ())
    return next((str(each["message"]) for each in found if each["type"] == kind), "")


def test_foreign_objects_are_never_changed(harness: OperatorHarness, tmp_path: Path) -> None:
    """For every kind and every kind of owner: the object stays identical, also after the pool is
    deleted, and the conflict is reported."""
    owners = foreign_objects.dresses(harness)
    theirs: set[tuple[str, str]] = set()
    for style, dress in owners.items():
        harness.apply(pool(style, proxy=PROXY, replicas=1, **ELSEWHERE))
        others = foreign_objects.of_a_pool(style, uid_of(harness, style))
        # A second pool has all objects but its pod; the first pool has none.
        for name, body in [*((style, each) for each in others), (_pods_of(style), None)]:
            body = body or foreign_objects.pod_of(name)
            foreign_objects.make(harness, style, dress, name, body)
            theirs.add((body["kind"], body["metadata"]["name"]))
    before = foreign_objects.at_rest(harness, theirs)
    assert before.keys() == theirs

    harness.start("--network-policy", ingress(tmp_path))
    for style in owners:
        move(harness, style)
        harness.apply(pool(_pods_of(style), replicas=1))
    for style in owners:
        for name in (style, _pods_of(style)):
            harness.until(
                f"{name} reports it", lambda name=name: harness.condition("Degraded", name) == TAKEN
            )
            harness.until(
                f"{name} is not ready",
                lambda name=name: harness.condition("Ready", name) == NOT_READY,
            )
        reported = message(harness, "Degraded", style)
        for kind, name in theirs:
            # Without the objects that it mounts, no Deployment of a proxy is created.
            if name in _names_of(harness, style) and kind != "Deployment":
                assert f"{kind} {name} " in reported, reported
        assert f"Pod {_pods_of(style)}-0 " in message(harness, "Degraded", _pods_of(style))
        assert "delete" not in reported
    for style, sentence in OWNER_SENTENCES.items():
        assert sentence in message(harness, "Degraded", style)
    some_rounds(harness, 24)  # an Event is posted after the status that it reports
    reported = harness.events("NameTaken")
    some_rounds(harness, 12 * 3)
    assert harness.events("NameTaken") == reported
    assert foreign_objects.snapshot(harness, theirs) == before

    own = [name for style in owners for name in (style, _pods_of(style))]
    harness.namespace.kubectl("delete", "ocrp", *own, "--timeout=60s", timeout_s=90)
    # The garbage collector deletes what a pool owns within moments. It would have deleted these.
    harness.until("what was theirs is gone", lambda: not _owned_by_pools(harness, own))
    assert foreign_objects.snapshot(harness, theirs) == before
    assert {event["objectRef"]["resource"] for event in audit.hold(harness.namespace)} >= {
        "ocrpools"
    }


TAKEN, NOT_READY = ("True", "NameTaken"), ("False", "NameTaken")
OWNER_SENTENCES = {
    "unowned": "Service unowned has no owner",
    "owned": "Service owned belongs to ConfigMap owner",
    "pools": "Service pools belongs to OcrPool another",
    "helms": "Service helms belongs to the Helm release db",
    "applied": "Service applied was made with kubectl apply",
    "copied": "Service copied has no owner",
}


def _pods_of(style: str) -> str:
    return f"{style}-too"


def _names_of(harness: OperatorHarness, style: str) -> set[str]:
    found = foreign_objects.of_a_pool(style, uid_of(harness, style))
    return {each["metadata"]["name"] for each in found}


def _owned_by_pools(harness: OperatorHarness, pools: list[str]) -> list[str]:
    return [
        each["metadata"]["name"]
        for plural in foreign_objects.PLURALS.values()
        for each in harness.items(plural)
        for owner in each["metadata"].get("ownerReferences", ())
        if owner["kind"] == "OcrPool" and owner["name"] in pools
    ]


def test_pool_recovers_when_taken_names_become_free(
    harness: OperatorHarness, tmp_path: Path
) -> None:
    harness.apply(pool(replicas=1, **ELSEWHERE))
    bodies = [
        *foreign_objects.of_a_pool("pages", uid_of(harness, "pages")),
        foreign_objects.pod_of("pages"),
    ]
    for body in bodies:
        foreign_objects.make(harness, "unowned", lambda body: body, "pages", body)
    operator = harness.start("--network-policy", ingress(tmp_path))
    move(harness, "pages")
    harness.until("the taken names are reported", lambda: harness.condition("Ready") == NOT_READY)
    some_rounds(harness)
    writes = operator.writes()
    some_rounds(harness, 20)
    # The names are checked in every round. Writes are tried with growing pauses.
    assert operator.writes() - writes <= 3 * len(bodies)
    for body in bodies:
        path = f"{harness.path(foreign_objects.PLURALS[body['kind']])}/{body['metadata']['name']}"
        harness.api.call("DELETE", path, {"gracePeriodSeconds": 0})
    harness.until_ready(1)
    # A busy machine may have reported a worker that answered late.
    harness.until("nothing is wrong", lambda: harness.condition("Degraded")[0] == "False")
    assert {each["metadata"]["name"] for each in harness.items("networkpolicies")} == {"pages"}


@pytest.mark.parametrize("plural", ["configmaps", "services"])
def test_object_that_replaced_ours_after_it_was_read_is_left_alone(
    api: Api, harness: OperatorHarness, plural: str
) -> None:
    """Our object is deleted and a foreign one created between the operator's read and its write."""
    name = {"configmaps": "pages-settings", "services": "pages"}[plural]
    bodies = foreign_objects.of_a_pool("pages", "")
    [foreign] = [
        each
        for each in bodies
        if (foreign_objects.PLURALS[each["kind"]], each["metadata"]["name"]) == (plural, name)
    ]
    # It equals ours in everything but its owner.
    foreign["metadata"]["labels"] = names.labels_of("pages")
    path = f"{harness.path(plural)}/{name}"

    def replace() -> None:
        harness.api.call("DELETE", path)
        harness.api.call("POST", harness.path(plural), foreign)

    with FaultyWire(api) as wire:
        harness.use_server(wire.url)
        harness.start()
        harness.apply(pool(replicas=1))
        harness.until_ready(1)
        uid, pod = harness.api.get(path)["metadata"]["uid"], harness.uid("pages-0")
        met = wire.rule(rf"^PATCH .*/{plural}/{name}", first=replace)
        harness.api.merge(path, {"metadata": {"labels": {names.LABEL_NAME: "by-hand"}}})
        harness.until("it happened", lambda: met.met == 1)
        harness.until("the conflict is reported", lambda: harness.condition("Ready") == NOT_READY)
        found = harness.api.get(path)
        assert found["metadata"]["uid"] != uid
        assert "ownerReferences" not in found["metadata"]
        assert found.get("data", found.get("spec")).items() >= _content(foreign).items()
        # The running pods are not deleted for that.
        assert harness.uid("pages-0") == pod
        harness.api.call("DELETE", path)
        harness.until_ready(1)
        assert harness.uid("pages-0") == pod
        harness.operators[-1].kill()


def _content(body: Object) -> Object:
    found: Object = body.get("data") or {"selector": body["spec"]["selector"]}
    return found


def test_foreign_pod_with_our_labels_is_left_alone(harness: OperatorHarness) -> None:
    """Also a pod that its own controller would create again and again."""
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    labels = {**names.labels_of("pages"), names.LABEL_SERVING: "true"}
    theirs = {**labels, "set": "theirs"}  # or their controller would adopt the other pod, too
    template = {"metadata": {"labels": theirs}, "spec": foreign_objects.pod_of("x")["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": theirs}, "template": template}
    harness.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "theirs"},
            "spec": spec,
        }
    )
    harness.apply(
        {**foreign_objects.pod_of("pages"), "metadata": {"name": "pages-7", "labels": labels}}
    )
    harness.until(
        "the conflict is reported", lambda: harness.condition("Degraded") == ("True", "ForeignPod")
    )
    harness.until("all are there", lambda: len(harness.pods()) == 4)
    before = {name: pod["metadata"]["uid"] for name, pod in harness.pods().items()}
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    harness.until("there is one more", lambda: harness.status()["readyReplicas"] == 2)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    harness.until("there is one less", lambda: len(harness.pods()) == 4)
    some_rounds(harness)
    assert {name: pod["metadata"]["uid"] for name, pod in harness.pods().items()} == before
    assert harness.status()["replicas"] == harness.status()["readyReplicas"] == 1
    assert [each["name"] for each in harness.status()["workers"]] == ["pages-0"]
    # They do not delay the pool's deletion, and outlive it.
    harness.namespace.kubectl("delete", "ocrp", "pages", "--timeout=60s", timeout_s=90)
    harness.until("ours is gone", lambda: "pages-0" not in harness.pods())
    left = {name: pod["metadata"]["uid"] for name, pod in harness.pods().items()}
    assert left == {name: uid for name, uid in before.items() if name != "pages-0"}


def test_own_pod_that_lost_its_labels_gets_them_back(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    uid = harness.uid("pages-0")
    harness.api.merge(
        f"{harness.path('pods')}/pages-0", {"metadata": {"labels": {names.LABEL_POOL: None}}}
    )
    harness.until(
        "it has them again",
        lambda: names.LABEL_POOL in harness.pods()["pages-0"]["metadata"]["labels"],
    )
    harness.until_ready(1)
    assert harness.uid("pages-0") == uid
