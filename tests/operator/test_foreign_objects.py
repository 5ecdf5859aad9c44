"""What is not a pool's own is never written: neither taken over, nor changed, nor deleted.

That no other test of the operator writes such a thing either is held by every one of them
(tests/operator/audit.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrpool.resource import names
from tests.operator import audit, foreign_objects
from tests.operator.api import Api, Object
from tests.operator.faulty import FaultyWire
from tests.operator.foreign_objects import ingress, move, some_rounds, uid_of
from tests.operator.harness import Lab, pool

pytestmark = pytest.mark.timeout(300)
# Not followed by the operator of these tests until it is moved.
ELSEWHERE = {"operatorName": "nobody"}
PROXY = {"nodeSelector": {"no": "such-node"}}


def message(lab: Lab, kind: str, name: str) -> str:
    found = lab.status(name).get("conditions", ())
    return next((str(each["message"]) for each in found if each["type"] == kind), "")


def test_nothing_of_others_is_touched(lab: Lab, tmp_path: Path) -> None:
    """Every kind × whose it is: the same to the byte, also when the pool is gone, and told."""
    dresses = foreign_objects.dresses(lab)
    theirs: set[tuple[str, str]] = set()
    for style, dress in dresses.items():
        lab.apply(pool(style, proxy=PROXY, replicas=1, **ELSEWHERE))
        others = foreign_objects.of_a_pool(style, uid_of(lab, style))
        # A second pool has all but its pod: with the first none is made at all.
        for name, body in [*((style, each) for each in others), (_pods_of(style), None)]:
            body = body or foreign_objects.pod_of(name)
            foreign_objects.make(lab, style, dress, name, body)
            theirs.add((body["kind"], body["metadata"]["name"]))
    before = foreign_objects.at_rest(lab, theirs)
    assert before.keys() == theirs

    lab.start("--network-policy", ingress(tmp_path))
    for style in dresses:
        move(lab, style)
        lab.apply(pool(_pods_of(style), replicas=1))
    for style in dresses:
        for name in (style, _pods_of(style)):
            lab.until(f"{name} says it", lambda name=name: lab.condition("Degraded", name) == TAKEN)
            lab.until(
                f"{name} is not ready", lambda name=name: lab.condition("Ready", name) == NOT_READY
            )
        told = message(lab, "Degraded", style)
        for kind, name in theirs:
            # Without what it mounts, no Deployment of a proxy is tried.
            if name in _names_of(lab, style) and kind != "Deployment":
                assert f"{kind} {name} " in told, told
        assert f"Pod {_pods_of(style)}-0 " in message(lab, "Degraded", _pods_of(style))
        assert "delete" not in told
    for style, words in WHOSE.items():
        assert words in message(lab, "Degraded", style)
    some_rounds(lab, 24)  # an Event comes after the status that it tells of
    told = lab.events("NameTaken")
    some_rounds(lab, 12 * 3)
    assert lab.events("NameTaken") == told
    assert foreign_objects.snapshot(lab, theirs) == before

    own = [name for style in dresses for name in (style, _pods_of(style))]
    lab.namespace.kubectl("delete", "ocrp", *own, "--timeout=60s", timeout_s=90)
    # What the garbage collector takes with a pool goes within moments; these would have, too.
    lab.until("what was theirs is gone", lambda: not _owned_by_pools(lab, own))
    assert foreign_objects.snapshot(lab, theirs) == before
    assert {event["objectRef"]["resource"] for event in audit.hold(lab.namespace)} >= {"ocrpools"}


TAKEN, NOT_READY = ("True", "NameTaken"), ("False", "NameTaken")
WHOSE = {
    "unowned": "Service unowned has no owner",
    "owned": "Service owned belongs to ConfigMap owner",
    "pools": "Service pools belongs to OcrPool another",
    "helms": "Service helms belongs to the Helm release db",
    "applied": "Service applied was made with kubectl apply",
    "copied": "Service copied has no owner",
}


def _pods_of(style: str) -> str:
    return f"{style}-too"


def _names_of(lab: Lab, style: str) -> set[str]:
    found = foreign_objects.of_a_pool(style, uid_of(lab, style))
    return {each["metadata"]["name"] for each in found}


def _owned_by_pools(lab: Lab, pools: list[str]) -> list[str]:
    return [
        each["metadata"]["name"]
        for plural in foreign_objects.PLURALS.values()
        for each in lab.items(plural)
        for owner in each["metadata"].get("ownerReferences", ())
        if owner["kind"] == "OcrPool" and owner["name"] in pools
    ]


def test_it_goes_on_by_itself_when_the_names_are_free(lab: Lab, tmp_path: Path) -> None:
    lab.apply(pool(replicas=1, **ELSEWHERE))
    bodies = [
        *foreign_objects.of_a_pool("pages", uid_of(lab, "pages")),
        foreign_objects.pod_of("pages"),
    ]
    for body in bodies:
        foreign_objects.make(lab, "unowned", lambda body: body, "pages", body)
    operator = lab.start("--network-policy", ingress(tmp_path))
    move(lab, "pages")
    lab.until("it says so", lambda: lab.condition("Ready") == NOT_READY)
    some_rounds(lab)
    writes = operator.writes()
    some_rounds(lab, 20)
    # Looked at every round; tried with pauses that grow, as all that is refused.
    assert operator.writes() - writes <= 3 * len(bodies)
    for body in bodies:
        path = f"{lab.path(foreign_objects.PLURALS[body['kind']])}/{body['metadata']['name']}"
        lab.api.call("DELETE", path, {"gracePeriodSeconds": 0})
    lab.until_ready(1)
    assert lab.condition("Degraded")[0] == "False"
    assert {each["metadata"]["name"] for each in lab.items("networkpolicies")} == {"pages"}


@pytest.mark.parametrize("plural", ["configmaps", "services"])
def test_what_took_the_place_of_ours_after_we_looked_is_left_alone(
    api: Api, lab: Lab, plural: str
) -> None:
    """Between the operator's look and its write ours is deleted, and another one is made."""
    name = {"configmaps": "pages-settings", "services": "pages"}[plural]
    bodies = foreign_objects.of_a_pool("pages", "")
    [stranger] = [
        each
        for each in bodies
        if (foreign_objects.PLURALS[each["kind"]], each["metadata"]["name"]) == (plural, name)
    ]
    # It looks ours in everything but in whose it is.
    stranger["metadata"]["labels"] = names.labels_of("pages")
    path = f"{lab.path(plural)}/{name}"

    def replace() -> None:
        lab.api.call("DELETE", path)
        lab.api.call("POST", lab.path(plural), stranger)

    with FaultyWire(api) as wire:
        lab.talk_over(wire.url)
        lab.start()
        lab.apply(pool(replicas=1))
        lab.until_ready(1)
        uid, pod = lab.api.get(path)["metadata"]["uid"], lab.uid("pages-0")
        met = wire.rule(rf"^PATCH .*/{plural}/{name}", first=replace)
        lab.api.merge(path, {"metadata": {"labels": {names.LABEL_NAME: "by-hand"}}})
        lab.until("it happened", lambda: met.met == 1)
        lab.until("it is told", lambda: lab.condition("Ready") == NOT_READY)
        found = lab.api.get(path)
        assert found["metadata"]["uid"] != uid
        assert "ownerReferences" not in found["metadata"]
        assert found.get("data", found.get("spec")).items() >= _content(stranger).items()
        # What runs is not ended for that.
        assert lab.uid("pages-0") == pod
        lab.api.call("DELETE", path)
        lab.until_ready(1)
        assert lab.uid("pages-0") == pod
        lab.operators[-1].kill()


def _content(body: Object) -> Object:
    found: Object = body.get("data") or {"selector": body["spec"]["selector"]}
    return found


def test_a_pod_with_our_labels_that_is_not_ours_is_left_alone(lab: Lab) -> None:
    """Also one that its own controller would make again and again."""
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    labels = {**names.labels_of("pages"), names.LABEL_SERVING: "true"}
    theirs = {**labels, "set": "theirs"}  # or their controller would take the other pod, too
    template = {"metadata": {"labels": theirs}, "spec": foreign_objects.pod_of("x")["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": theirs}, "template": template}
    lab.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "theirs"},
            "spec": spec,
        }
    )
    lab.apply(
        {**foreign_objects.pod_of("pages"), "metadata": {"name": "pages-7", "labels": labels}}
    )
    lab.until("it is told", lambda: lab.condition("Degraded") == ("True", "ForeignPod"))
    lab.until("all are there", lambda: len(lab.pods()) == 4)
    before = {name: pod["metadata"]["uid"] for name, pod in lab.pods().items()}
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    lab.until("there is one more", lambda: lab.status()["readyReplicas"] == 2)
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    lab.until("there is one less", lambda: len(lab.pods()) == 4)
    some_rounds(lab)
    assert {name: pod["metadata"]["uid"] for name, pod in lab.pods().items()} == before
    assert lab.status()["replicas"] == lab.status()["readyReplicas"] == 1
    assert [each["name"] for each in lab.status()["workers"]] == ["pages-0"]
    # They do not hold up its end, and outlive it.
    lab.namespace.kubectl("delete", "ocrp", "pages", "--timeout=60s", timeout_s=90)
    lab.until("ours is gone", lambda: "pages-0" not in lab.pods())
    left = {name: pod["metadata"]["uid"] for name, pod in lab.pods().items()}
    assert left == {name: uid for name, uid in before.items() if name != "pages-0"}


def test_our_pod_that_lost_its_labels_gets_them_back(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    uid = lab.uid("pages-0")
    lab.api.merge(f"{lab.path('pods')}/pages-0", {"metadata": {"labels": {names.LABEL_POOL: None}}})
    lab.until(
        "it has them again",
        lambda: names.LABEL_POOL in lab.pods()["pages-0"]["metadata"]["labels"],
    )
    lab.until_ready(1)
    assert lab.uid("pages-0") == uid
