"""What is not a pool's own is never written: neither taken over, nor changed, nor deleted.

That no other test of the operator writes such a thing either is held by every one of them
(tests/operator/audit.py).
"""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest

from ocrpool_operator.api import names
from tests.operator import strangers
from tests.operator.api import Api, Object
from tests.operator.faulty import FaultyWire
from tests.operator.front_pod import Endpoints
from tests.operator.lab import Lab, Operator, pool
from tests.standin import order_png

pytestmark = pytest.mark.timeout(300)
# Not followed by the operator of these tests until it is moved.
ELSEWHERE = {"operatorName": "nobody"}
FRONT = {"nodeSelector": {"no": "such-node"}}
ROUNDS = 'ocrpool_operator_rounds_total{result="ok"}'


def uid_of(lab: Lab, name: str) -> str:
    return str(lab.api.get(f"{lab.path('ocrpools')}/{name}")["metadata"]["uid"])


def move(lab: Lab, name: str, operator: str = "ocrpool") -> None:
    lab.api.merge(f"{lab.path('ocrpools')}/{name}", {"spec": {"operatorName": operator}})


def message(lab: Lab, kind: str, name: str) -> str:
    found = lab.status(name).get("conditions", ())
    return next((str(each["message"]) for each in found if each["type"] == kind), "")


def some_rounds(lab: Lab, count: int = 8) -> None:
    operator = lab.operators[-1]
    before = operator.metric(ROUNDS)
    lab.until("some rounds more", lambda: operator.metric(ROUNDS) >= before + count)


def ingress(folder: Path) -> str:
    (folder / "ingress.yaml").write_text("- ports: [{port: 8080}]\n", encoding="utf-8")
    return str(folder / "ingress.yaml")


def test_nothing_of_others_is_touched(lab: Lab, tmp_path: Path) -> None:
    """Every kind × whose it is: the same to the byte, also when the pool is gone, and told."""
    dresses = strangers.dresses(lab)
    theirs: set[tuple[str, str]] = set()
    for style, dress in dresses.items():
        lab.apply(pool(style, front=FRONT, replicas=1, **ELSEWHERE))
        others = strangers.of_a_pool(style, uid_of(lab, style))
        # A second pool has all but its pod: with the first none is made at all.
        for name, body in [*((style, each) for each in others), (_pods_of(style), None)]:
            body = body or strangers.pod_of(name)
            strangers.make(lab, style, dress, name, body)
            theirs.add((body["kind"], body["metadata"]["name"]))
    before = strangers.at_rest(lab, theirs)
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
            # Without what it mounts, no Deployment of a front is tried.
            if name in _names_of(lab, style) and kind != "Deployment":
                assert f"{kind} {name} " in told, told
        assert f"Pod {_pods_of(style)}-0 " in message(lab, "Degraded", _pods_of(style))
        assert "delete" not in told
    for style, words in WHOSE.items():
        assert words in message(lab, "Degraded", style)
    told = lab.events("NameTaken")
    some_rounds(lab, 12 * 3)
    assert lab.events("NameTaken") == told
    assert strangers.snapshot(lab, theirs) == before

    own = [name for style in dresses for name in (style, _pods_of(style))]
    lab.namespace.kubectl("delete", "ocrp", *own, "--timeout=60s", timeout_s=90)
    # What the garbage collector takes with a pool goes within moments; these would have, too.
    lab.until("what was theirs is gone", lambda: not _owned_by_pools(lab, own))
    assert strangers.snapshot(lab, theirs) == before
    assert {event["objectRef"]["resource"] for event in lab.audit()} >= {"ocrpools"}


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
    found = strangers.of_a_pool(style, uid_of(lab, style))
    return {each["metadata"]["name"] for each in found}


def _owned_by_pools(lab: Lab, pools: list[str]) -> list[str]:
    return [
        each["metadata"]["name"]
        for plural in strangers.PLURALS.values()
        for each in lab.items(plural)
        for owner in each["metadata"].get("ownerReferences", ())
        if owner["kind"] == "OcrPool" and owner["name"] in pools
    ]


def test_it_goes_on_by_itself_when_the_names_are_free(lab: Lab, tmp_path: Path) -> None:
    lab.apply(pool(replicas=1, **ELSEWHERE))
    bodies = [*strangers.of_a_pool("pages", uid_of(lab, "pages")), strangers.pod_of("pages")]
    for body in bodies:
        strangers.make(lab, "unowned", lambda body: body, "pages", body)
    operator = lab.start("--network-policy", ingress(tmp_path))
    move(lab, "pages")
    lab.until("it says so", lambda: lab.condition("Ready") == NOT_READY)
    some_rounds(lab)
    writes = operator.writes()
    some_rounds(lab, 20)
    # Looked at every round; tried with pauses that grow, as all that is refused.
    assert operator.writes() - writes <= 3 * len(bodies)
    for body in bodies:
        path = f"{lab.path(strangers.PLURALS[body['kind']])}/{body['metadata']['name']}"
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
    bodies = strangers.of_a_pool("pages", "")
    [stranger] = [
        each
        for each in bodies
        if (strangers.PLURALS[each["kind"]], each["metadata"]["name"]) == (plural, name)
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
    template = {"metadata": {"labels": theirs}, "spec": strangers.pod_of("x")["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": theirs}, "template": template}
    lab.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "theirs"},
            "spec": spec,
        }
    )
    lab.apply({**strangers.pod_of("pages"), "metadata": {"name": "pages-7", "labels": labels}})
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


@pytest.mark.usefixtures("haproxy")
def test_pools_whose_names_are_like_each_others_objects(lab: Lab, tmp_path: Path) -> None:
    """The front of `doc` sends to the workers of `doc`, and nobody writes for ever."""
    operator = lab.start("--network-policy", ingress(tmp_path))
    small = {"requests": {"cpu": "0.05"}}
    lab.apply(pool("doc", replicas=1, front={"replicas": 1, "buffer": "1Mi", "resources": small}))
    lab.apply(pool("doc-front", replicas=1))
    lab.apply(pool("doc-pods", replicas=1))
    for name in ("doc", "doc-front", "doc-pods"):
        lab.until_ready(1, name)
        assert lab.condition("Degraded", name)[1] not in ("NameTaken", "ForeignPod")
    own = names.pods_service("doc", uid_of(lab, "doc"))
    endpoints = Endpoints(lab.api, lab.namespace.name, own)
    try:
        ours = [lab.pods()["doc-0"]["status"]["podIP"]]
        lab.until("the front has its worker", lambda: endpoints.addresses == ours)
    finally:
        endpoints.close()
    [front] = [
        pod
        for name, pod in lab.pods().items()
        if name.startswith("doc-front-") and names.LABEL_FRONT in pod["metadata"]["labels"]
    ]
    for _ in range(12):
        assert _read(front["status"]["podIP"]) == "hello"
    answers = {name: _answered(lab, f"{name}-0") for name in ("doc", "doc-front", "doc-pods")}
    assert answers == {"doc": 12, "doc-front": 0, "doc-pods": 0}
    operator.settle()


def _read(ip: str) -> str:
    request = urllib.request.Request(
        f"http://{ip}:8080/v1/ocr",
        data=order_png(say="hello"),
        headers={"Content-Type": "image/png"},
    )
    with urllib.request.urlopen(request, timeout=15) as response:
        return str(json.loads(response.read())["pages"][0]["lines"][0]["text"])


def _answered(lab: Lab, pod: str) -> int:
    url = f"http://{lab.pods()[pod]['status']['podIP']}:8081/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        lines = response.read().decode().splitlines()
    return int(sum(float(row.rpartition(" ")[2]) for row in lines if row.startswith(PAGES)))


PAGES = "ocrpool_instance_pages_total"


def quiet(operators: list[Operator]) -> None:
    """None of them writes."""
    for operator in operators:
        operator.settle()
    before = [operator.writes() for operator in operators]
    time.sleep(5)
    assert [operator.writes() for operator in operators] == before


def test_a_pool_belongs_to_one_operator_and_moves(lab: Lab) -> None:
    """Two installations with images and Leases of their own side by side."""
    lease = ("--lease", lab.namespace.name)
    first = lab.start(*lease, "--worker-image", "first:1")
    second = lab.start(*lease, "--worker-image", "second:1", "--operator-name", "second")
    lab.apply(pool("one", replicas=1))
    lab.apply(pool("two", replicas=1, operatorName="second"))
    lab.apply(pool("three", replicas=1, operatorName="gone"))
    lab.until_ready(1, "one")
    lab.until_ready(1, "two")

    def image(name: str) -> str:
        found = lab.pods().get(f"{name}-0")
        return str(found["spec"]["containers"][0]["image"]) if found else ""

    assert (image("one"), image("two")) == ("first:1", "second:1")
    quiet([first, second])
    three = lab.api.get(f"{lab.path('ocrpools')}/three")
    assert "status" not in three
    assert "finalizers" not in three["metadata"]
    told = [each["involvedObject"]["name"] for each in lab.items("events")]
    assert "three" not in told
    assert not first.metric(
        f'ocrpool_pool_workers{{namespace="{lab.namespace.name}",pool="two",state="ready"}}'
    )

    # Of one name they share a Lease, and one stands by.
    third = lab.start(*lease, "--worker-image", "third:1")
    lab.until("it answers", lambda: third.metric("ocrpool_operator_leading") == 0)
    assert (
        first.metric("ocrpool_operator_leading") == second.metric("ocrpool_operator_leading") == 1
    )
    quiet([first, second, third])

    # The operator of `two` is gone for good: the pool moves, whole, and can go.
    secret = lab.api.get(f"{lab.path('secrets')}/two-control")
    second.kill()
    move(lab, "two")
    lab.until("its worker is of the other's image", lambda: image("two") == "first:1", 90)
    lab.until_ready(1, "two")
    assert lab.api.get(f"{lab.path('secrets')}/two-control") == secret
    lab.namespace.kubectl("delete", "ocrp", "two", "--timeout=60s", timeout_s=90)
