"""Objects of others, under the names that a pool's objects would have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ocrpool.resource import names
from tests.operator.api import Object
from tests.operator.harness import OperatorHarness

Dress = Callable[[Object], Object]
PLURALS = {
    "Service": "services",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "NetworkPolicy": "networkpolicies",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Deployment": "deployments",
    "Pod": "pods",
}
VERSIONS = {
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Deployment": "apps/v1",
}
ROUNDS = 'ocrpool_operator_rounds_total{result="ok"}'
_APP = {"app": "theirs"}
_POD: Object = {
    "containers": [{"name": "main", "image": "none"}],
    # Nobody schedules it, so nobody changes it.
    "schedulerName": "nobody",
}


def of_a_pool(pool: str, uid: str) -> Iterator[Object]:
    """One of every kind and name that the pool has, but for pods. `uid`: the pool's."""
    guard, proxy = names.proxy_guard_name(pool), names.proxy_name(pool)
    service: Object = {"selector": _APP, "ports": [{"port": 5432}]}
    for name in (pool, names.pods_service(pool, uid)):
        yield _object("Service", name, spec=service)
    for name in (pool, guard):
        budget = {"minAvailable": 1, "selector": {"matchLabels": _APP}}
        yield _object("PodDisruptionBudget", name, spec=budget)
        policy = {"podSelector": {"matchLabels": _APP}, "policyTypes": ["Ingress"]}
        yield _object("NetworkPolicy", name, spec=policy)
    for name in (names.settings_name(pool), proxy):
        yield _object("ConfigMap", name, data={"theirs": "yes"})
    # A token that they would have liked to choose.
    yield _object("Secret", names.token_name(pool), stringData={"token": "theirs"})
    template = {"metadata": {"labels": _APP}, "spec": {"containers": _POD["containers"]}}
    spec = {"replicas": 0, "selector": {"matchLabels": _APP}, "template": template}
    yield _object("Deployment", proxy, spec=spec)


def pod_of(pool: str) -> Object:
    """A pod under the name of the pool's first worker."""
    return _object("Pod", names.worker_name(pool, 0), spec=_POD)


def _object(kind: str, name: str, **fields: object) -> Object:
    version = VERSIONS.get(kind, "v1")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def dresses(harness: OperatorHarness) -> dict[str, Dress]:
    """How others' objects come along, by a word."""
    harness.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    owner = next(
        each for each in harness.items("configmaps") if each["metadata"]["name"] == "owner"
    )
    unowned = {
        "apiVersion": "ocrpool.dev/v1alpha1",
        "kind": "OcrPool",
        "metadata": {"name": "another"},
        "spec": {"operatorName": "nobody"},
    }
    harness.apply(unowned)
    pool = next(each for each in harness.pools() if each["metadata"]["name"] == "another")

    def owned(kind: str, version: str, by: Object) -> Dress:
        meta = by["metadata"]
        reference = {"apiVersion": version, "kind": kind, "controller": True}
        reference |= {"name": meta["name"], "uid": meta["uid"]}
        return lambda body: _with(body, ownerReferences=[reference])

    def helms(body: Object) -> Object:
        notes = {"meta.helm.sh/release-name": "db", "meta.helm.sh/release-namespace": "x"}
        return _with(body, labels={names.LABEL_MANAGED: "Helm"}, annotations=notes)

    def like_ours(body: Object) -> Object:
        # As a copy of one of ours is, or what a pool left behind that was deleted with orphans.
        return _with(body, labels=names.labels_of(body["metadata"]["labels"]["of"]))

    return {
        "unowned": lambda body: body,
        "owned": owned("ConfigMap", "v1", owner),
        "pools": owned("OcrPool", "ocrpool.dev/v1alpha1", pool),
        "helms": helms,
        "applied": lambda body: body,
        "copied": like_ours,
    }


def _with(body: Object, **meta: object) -> Object:
    return {**body, "metadata": {**body["metadata"], **meta}}


def make(harness: OperatorHarness, style: str, dress: Dress, pool: str, body: Object) -> None:
    body = dress(_with(body, labels={"of": pool}))
    if style == "applied":
        harness.apply(body)
    else:
        harness.api.call("POST", harness.path(PLURALS[body["kind"]]), body)


def snapshot(
    harness: OperatorHarness, wanted: set[tuple[str, str]]
) -> dict[tuple[str, str], Object]:
    """All objects of these kinds and names, whole."""
    found = {}
    for kind, plural in PLURALS.items():
        for each in harness.items(plural):
            if (kind, each["metadata"]["name"]) in wanted:
                found[kind, each["metadata"]["name"]] = each
    return found


def at_rest(
    harness: OperatorHarness, wanted: set[tuple[str, str]]
) -> dict[tuple[str, str], Object]:
    """The same, once the cluster's own controllers have said their word about them."""
    before = snapshot(harness, wanted)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(2)
        now = snapshot(harness, wanted)
        if now == before:
            return now
        before = now
    raise AssertionError("they never come to rest")


def uid_of(harness: OperatorHarness, name: str) -> str:
    return str(harness.api.get(f"{harness.path('ocrpools')}/{name}")["metadata"]["uid"])


def move(harness: OperatorHarness, name: str, operator: str = "ocrpool") -> None:
    harness.api.merge(f"{harness.path('ocrpools')}/{name}", {"spec": {"operatorName": operator}})


def some_rounds(harness: OperatorHarness, count: int = 8) -> None:
    operator = harness.operators[-1]
    before = operator.metric(ROUNDS)
    harness.until("some rounds more", lambda: operator.metric(ROUNDS) >= before + count)


def ingress(folder: Path) -> str:
    (folder / "ingress.yaml").write_text("- ports: [{port: 8080}]\n", encoding="utf-8")
    return str(folder / "ingress.yaml")
