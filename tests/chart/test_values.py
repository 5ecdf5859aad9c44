"""Every value is used, and every invalid value is refused with its path."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart.helm import CHART, Helm, values_text
from tools.generate.chart import Value, leaves, read

VALUES = read(values_text())
LEAVES = tuple(leaves(VALUES))
# Another value than the default for those whose kind does not say what else there may be.
OTHERS: Mapping[str, Any] = {
    "fullnameOverride": "other",
    "imagePullSecrets": [{"name": "registry"}],
    "watchNamespaces": ["here", "there"],
    "operator.image.digest": f"sha256:{'a' * 64}",
    "operator.image.pullPolicy": "Always",
    "operator.logLevel": "debug",
    "operator.extraArgs": ["--host=127.0.0.1"],
    "operator.extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy:3128"}],
    "operator.resources": {"limits": {"memory": "1Gi"}},
    "operator.tolerations": [{"key": "infra", "operator": "Exists", "effect": "NoSchedule"}],
    "operator.affinity": {"nodeAffinity": {}},
    "operator.topologySpreadConstraints": [],
    "worker.image.digest": f"sha256:{'b' * 64}",
    "networkPolicy.clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "networkPolicy.metrics": [],
    "monitoring.podMonitor.interval": "1m",
    "monitoring.serviceMonitor.interval": "1m",
    "pools": [{"name": "scans", "spec": {"replicas": 2}}],
    "test.spec": {"replicas": 2},
}
MONITORING = ("podMonitor", "serviceMonitor", "rules", "dashboard")
# With these on, every template makes something.
EVERYTHING: dict[str, Any] = {"monitoring": {part: {"enabled": True} for part in MONITORING}}
SWITCHED_ON = {f"monitoring.{part}.enabled" for part in MONITORING}
# What a value needs to be of any use.
NEEDS: Mapping[str, dict[str, Any]] = {
    "operator.serviceAccount.create": {"operator": {"serviceAccount": {"name": "mine"}}},
}


def at(path: str, value: Any) -> dict[str, Any]:
    """`a.b` and 1 → {a: {b: 1}}."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = merged(found[key], value) if both else copy.deepcopy(value)
    return found


def another(value: Value) -> Any:
    if value.path in OTHERS:
        return OTHERS[value.path]
    if isinstance(value.default, bool):
        return not (value.default or value.path in SWITCHED_ON)
    if isinstance(value.default, int | float):
        return value.default + 1 if value.default < 10 else value.default * 2
    if isinstance(value.default, str):
        return f"{value.default}other"
    if value.schema.get("$ref") == "strings":
        return {**value.default, "example.com/more": "yes"}
    raise AssertionError(f"{value.path}: say in OTHERS what else it may be")


@pytest.fixture(scope="module")
def everything(helm: Helm) -> str:
    return helm.template(EVERYTHING).text


@pytest.mark.parametrize("value", LEAVES, ids=lambda value: value.path)
def test_every_value_is_used(helm: Helm, everything: str, value: Value) -> None:
    more = NEEDS.get(value.path, {})
    before = helm.template(merged(EVERYTHING, more)).text if more else everything
    after = helm.template(merged(EVERYTHING, more, at(value.path, another(value)))).text
    assert after != before


def test_value_of_the_wrong_type_is_refused_with_its_path(helm: Helm) -> None:
    """Helm reports all of them at once."""
    wrong = merged(*(at(value.path, {"no": {"such": 1}}) for value in LEAVES))
    refused = helm.template(wrong)
    assert not refused.done
    missing = [
        value.path for value in LEAVES if f"'/{value.path.replace('.', '/')}" not in refused.err
    ]
    # Kubernetes' own objects: the API server checks them.
    assert missing == ["operator.affinity"]


def groups(values: tuple[Value, ...]) -> list[str]:
    found = []
    for value in values:
        if value.inner:
            found += [f"{value.path}.", *groups(value.inner)]
    return found


def test_unknown_value_is_refused_with_its_path(helm: Helm) -> None:
    prefixes = ["", *groups(VALUES)]
    assert len(prefixes) > 10
    refused = helm.template(merged(*(at(f"{prefix}noSuchValue", 1) for prefix in prefixes)))
    assert not refused.done
    for prefix in prefixes:
        where = "/" + prefix.rstrip(".").replace(".", "/") if prefix else ""
        assert f"at '{where}': additional properties 'noSuchValue' not allowed" in refused.err, (
            where
        )


POOL = {"name": "scans", "spec": {}}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("operator.name", "Two Words", ""),
        ("operator.name", "a" * 41, ""),
        ("operator.replicas", -1, ""),
        ("operator.replicas", 1.5, ""),
        ("operator.interval", 0, ""),
        ("operator.image.repository", "", ""),
        ("operator.image.tag", "a b", ""),
        ("operator.image.digest", "sha256:abc", ""),
        ("operator.image.pullPolicy", "Sometimes", ""),
        ("operator.logLevel", "loud", ""),
        ("operator.extraEnv", [{"value": "nameless"}], "/0"),
        ("operator.tolerations", [{"key": "a", "effect": "Never"}], "/0/effect"),
        ("operator.tolerations", [{"kee": "a"}], "/0"),
        ("operator.resources", {"limits": {"memory": "a lot"}}, "/limits/memory"),
        ("operator.resources", {"limit": {}}, ""),
        ("operator.nodeSelector", {"gpu": True}, "/gpu"),
        ("worker.image.tag", "-", ""),
        ("fullnameOverride", "Not_A_Name", ""),
        ("watchNamespaces", ["a", "a"], ""),
        ("watchNamespaces", ["A"], "/0"),
        ("networkPolicy.clients", [{}], "/0"),
        ("networkPolicy.clients", [{"podSelectors": {}}], "/0"),
        ("networkPolicy.metrics", [{"podSelector": {"app": "x"}}], "/0/podSelector"),
        ("monitoring.podMonitor.interval", "soon", ""),
        ("monitoring.rules.queueWaitSeconds", 0, ""),
        ("test.timeoutSeconds", 1, ""),
        ("test.spec", {"device": "tpu"}, "/device"),
        ("pools", [{"spec": {}}], "/0"),
        ("pools", [{**POOL, "name": "Scans"}], "/0/name"),
        ("pools", [{**POOL, "spec": {"replica": 2}}], "/0/spec"),
        ("pools", [{**POOL, "spec": {"replicas": "2"}}], "/0/spec/replicas"),
        ("pools", [{**POOL, "spec": {"memory": {"reserve": "much"}}}], "/0/spec/memory/reserve"),
        ("pools", [{**POOL, "spec": {"recycle": {"memoryGrowth": -1}}}], "/0/spec/recycle"),
        ("pools", [{**POOL, "spec": {"admission": {"maxMegapixels": 0}}}], "/0/spec/admission"),
    ],
)  # fmt: skip
def test_invalid_value_is_refused_with_its_path(
    helm: Helm, path: str, value: Any, where: str
) -> None:
    refused = helm.template(at(path, value))
    assert not refused.done
    assert f"at '/{path.replace('.', '/')}{where}" in refused.err


def test_chart_works_as_a_dependency(helm: Helm) -> None:
    assert helm.template({"global": {"anything": 1}}).done


def test_older_kubernetes_is_refused(helm: Helm) -> None:
    assert helm.template({}, "--kube-version=1.29.0").done
    refused = helm.template({}, "--kube-version=1.28.9")
    assert "chart requires kubeVersion: >=1.29.0-0" in refused.err


def test_chart_passes_helm_lint(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART)).text


def test_pools_need_the_crd(helm: Helm) -> None:
    words = ["template", "x", str(CHART)]
    refused = helm.run(*words, values={"pools": [POOL]})
    assert "Install without pools first" in refused.err


def test_existing_service_account_needs_a_name(helm: Helm) -> None:
    refused = helm.template({"operator": {"serviceAccount": {"create": False}}})
    assert "operator.serviceAccount.name" in refused.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\n", "a has no description"),
        ("a:\n  # -- One.\n  b: 1\n  c: 2\n", "a.c has no description"),
    ],
)
def test_value_without_description_is_an_error(text: str, words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        read(text)
