"""A real API server accepts all objects of the chart, for a matrix of values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource.names import CONTROL_PORT, DATA_PORT, PROXY_PORT, lease_name
from ocrpool.resource.spec import PoolSpec
from ocrpool_operator.manifests.desired_objects import desired_objects
from ocrpool_operator.manifests.services import client_service
from ocrpool_operator.manifests.worker_pod import worker_pod
from tests.chart.helm import CHART, NAMESPACE, Helm, Object, named
from tests.operator import rights, test_smoke_test
from tests.operator.harness import CRD
from tests.operator.kubelet import ROOT
from tools.devcluster.testing import Cluster

HERE, THERE = "chart-here", "chart-there"
# Stand-ins for the Prometheus operator's kinds: that they exist, and not what they look like.
MONITORING = {"podmonitors": "PodMonitor", "servicemonitors": "ServiceMonitor"} | {
    "prometheusrules": "PrometheusRule"
}
EVERYTHING: dict[str, Any] = {
    "imageRegistry": "registry.example.com/ocr",
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "documents"},
    "operator": {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "topology.kubernetes.io/zone"}}
                ]
            }
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 2,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
            }
        ],
        "podLabels": {"sidecar": "no"},
        "podAnnotations": {"note": "yes"},
        "extraArgs": ["--port=8082"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy:3128"}],
        "image": {"digest": f"sha256:{'a' * 64}"},
        "serviceAccount": {"annotations": {"role": "none"}},
    },
    "networkPolicy": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]},
    "monitoring": {
        each: {"enabled": True} for each in ("podMonitor", "serviceMonitor", "rules", "dashboard")
    },
    "pools": [
        {
            "name": "scans",
            "namespace": HERE,
            "labels": {"a": "b"},
            "annotations": {"c": "d"},
            "spec": {"replicas": 2, "memory": {"perInstance": "1500Mi"}},
        },
        {"name": "photos", "spec": {"device": "cpu", "autoscaling": {"maxReplicas": 3}}},
    ],
}
MATRIX: Mapping[str, dict[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "namespaced": {**EVERYTHING, "watchNamespaces": [HERE, THERE]},
    "bare": {
        "crds": {"install": False},
        "rbac": {"create": False},
        "operator": {
            "replicas": 1,
            "resources": {"requests": None, "limits": None},
            "topologySpreadConstraints": [],
            "serviceAccount": {"create": False, "name": "mine"},
        },
        "networkPolicy": {"enabled": False},
        "test": {"enabled": False},
    },
    "closed": {"networkPolicy": {"metrics": []}, "crds": {"keep": False}},
    "renamed": {"fullnameOverride": "documents", "operator": {"replicas": 0}},
}


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Iterator[Cluster]:
    """A cluster with the CRD, CRDs of monitoring, and namespaces with the level restricted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name in (NAMESPACE, HERE, THERE)
    ]
    crds = [_stand_in(plural, kind) for plural, kind in MONITORING.items()]
    control_plane.kubectl("apply", f"--filename={CRD}")
    control_plane.kubectl("apply", "--filename=-", manifest=listed([*spaces, *crds]))
    names = ["ocrpools.ocrpool.dev", *(each["metadata"]["name"] for each in crds)]
    control_plane.wait_for_crds(*names)
    yield control_plane
    control_plane.kubectl(
        "delete", "namespace", NAMESPACE, HERE, THERE, "--wait=false", "--ignore-not-found"
    )


def _stand_in(plural: str, kind: str) -> Object:
    group = "monitoring.coreos.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def listed(objects: list[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": objects}


def dry_run(cluster: Cluster, objects: list[Object]) -> str:
    """As if applied: schema, admission and all, with unknown and doubled fields refused."""
    return cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--filename=-", manifest=listed(objects)
    )


@pytest.mark.parametrize("name", MATRIX)
def test_api_server_accepts_all_objects(helm: Helm, cluster: Cluster, name: str) -> None:
    # Pods are refused while their account is not there; the next test looks at them.
    objects = [each for each in helm.template(MATRIX[name]).objects if each["kind"] != "Pod"]
    assert len(objects) > 3
    said = dry_run(cluster, objects)
    assert said.count("(server dry run)") == len(objects), said


@pytest.mark.parametrize("name", [name for name in MATRIX if name != "renamed"])
def test_chart_pods_satisfy_the_restricted_level(helm: Helm, cluster: Cluster, name: str) -> None:
    objects = helm.template(MATRIX[name]).objects
    template = named(objects, "Deployment")["spec"]["template"]
    meta = {**template["metadata"], "name": "operator", "namespace": NAMESPACE}
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}]
    pods += [each for each in objects if each["kind"] == "Pod"]
    for pod in pods:
        # Admission looks for the account, which is not there without an installation.
        pod["spec"] = {**pod["spec"], "serviceAccountName": "default"}
    assert dry_run(cluster, pods).count("(server dry run)") == len(pods)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_worker_pods_satisfy_the_restricted_level(cluster: Cluster, device: str) -> None:
    said = {"device": device, "models": {"claim": {"name": "models"}}, "proxy": {}}
    spec = PoolSpec.model_validate(said)
    pool = ObservedPool(
        HERE, "scans", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", 1, spec.with_image("w:1")
    )
    ingress = [{"ports": [{"port": 8080}]}]
    others = desired_objects(pool, ingress, evict=True, domain="cluster.local")
    proxy = named(list(others), "Deployment")["spec"]["template"]
    service = client_service(pool, proxied=True)
    objects = [worker_pod(pool, "scans-0", "revision"), service, *others]
    objects += [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**proxy["metadata"], "name": "proxy", "namespace": HERE},
            "spec": proxy["spec"],
        }
    ]
    assert dry_run(cluster, objects).count("(server dry run)") == len(objects)


def test_privileged_pod_is_refused(cluster: Cluster) -> None:
    """The namespaces of these tests do enforce the level."""
    spec = PoolSpec.model_validate({"models": {"hostPath": "/models"}}).with_image("w:1")
    pool = ObservedPool(HERE, "scans", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", 1, spec)
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        dry_run(cluster, [worker_pod(pool, "scans-0", "revision")])


def test_chart_rules_are_those_of_the_operator_tests(helm: Helm) -> None:
    wanted = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
    whole = helm.template({}).objects
    assert named(whole, "ClusterRole", "ocrpool-operator")["rules"] == wanted == rights.rules()

    parts = helm.template({"watchNamespaces": [HERE, THERE]}).objects
    assert not [each for each in parts if each["kind"].startswith("ClusterRole")]
    for space in (HERE, THERE):
        mine = [each for each in parts if each["metadata"].get("namespace") == space]
        assert named(mine, "Role", "ocrpool-operator")["rules"] == wanted
        assert named(mine, "RoleBinding", "ocrpool-operator")["subjects"] == [
            {"kind": "ServiceAccount", "name": "ocrpool-operator", "namespace": NAMESPACE}
        ]
    (container,) = named(parts, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {f"--namespace={HERE}", f"--namespace={THERE}"} <= set(container["args"])


def test_operator_name_reaches_arguments_and_lease(helm: Helm) -> None:
    """Not from the release's: no two releases have the same for the same pools."""
    pools = [{"name": "a", "spec": {}}, {"name": "b", "spec": {"operatorName": "third"}}]
    values = {"fullnameOverride": "mine", "operator": {"name": "second"}, "pools": pools}
    objects = helm.template(values).objects
    (container,) = named(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"--operator-name=second", "--lease=$(NAMESPACE)"} <= set(container["args"])
    lease = lease_name("second")
    rules = named(objects, "Role", f"{lease}-lease")["rules"]
    assert [rule.get("resourceNames") for rule in rules] == [None, [lease]]
    assert named(objects, "ClusterRole", lease)["rules"] == rights.rules()
    names = [each["spec"]["operatorName"] for each in objects if each["kind"] == "OcrPool"]
    assert names == ["second", "third"]
    (test,) = named(objects, "Pod")["spec"]["containers"]
    [spec] = [word for word in test["args"] if word.startswith("--spec=")]
    assert json.loads(spec.removeprefix("--spec="))["operatorName"] == "second"
    parts = helm.template({**values, "watchNamespaces": [HERE]}).objects
    assert named(parts, "Role", lease)["metadata"]["namespace"] == HERE


def test_helm_test_rights_are_those_of_its_own_test(helm: Helm) -> None:
    """tests/operator/test_smoke_test.py runs what its pod runs."""
    objects = helm.template({}).objects
    assert named(objects, "Role", "ocrpool-test")["rules"] == test_smoke_test.RULES
    (container,) = named(objects, "Pod")["spec"]["containers"]
    assert container["command"] == ["ocrpool-operator", "smoke-test"]
    words = [word for word in container["args"] if not word.startswith("--spec=")]
    assert words == [
        f"--namespace={NAMESPACE}",
        f"--name={test_smoke_test.NAME}",
        "--expect=OCR",
        "--seconds=300",
    ]


def test_crd_is_generated_and_kept_on_uninstall(helm: Helm) -> None:
    found = named(helm.template({}).objects, "CustomResourceDefinition")
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found["spec"] == yaml.safe_load(CRD.read_text(encoding="utf-8"))["spec"]
    for values in ({"crds": {"install": False}}, MATRIX["bare"]):
        kinds = {each["kind"] for each in helm.template(values).objects}
        assert "CustomResourceDefinition" not in kinds
    loose = named(helm.template({"crds": {"keep": False}}).objects, "CustomResourceDefinition")
    assert "annotations" not in loose["metadata"]


def test_changed_network_policy_restarts_the_operator(helm: Helm) -> None:
    """It reads the file once."""
    notes = [
        named(helm.template(values).objects, "Deployment")["spec"]["template"]["metadata"]
        for values in ({}, {"networkPolicy": {"metrics": []}})
    ]
    assert notes[0]["annotations"] != notes[1]["annotations"]


def test_only_operator_and_scrapers_reach_the_control_port(helm: Helm) -> None:
    """The operator's own pods, and who scrapes metrics; everybody or the named reach 8080."""
    objects = helm.template({"networkPolicy": {"clients": [{"podSelector": {}}]}}).objects
    config = named(objects, "ConfigMap", "ocrpool-operator-network-policy")
    data, control = yaml.safe_load(config["data"]["ingress.yaml"])
    ports = [[each["port"] for each in rule["ports"]] for rule in (data, control)]
    assert ports == [[DATA_PORT], [CONTROL_PORT, PROXY_PORT]]
    assert {"podSelector": {}} in data["from"]
    operator, scraper = control["from"]
    labels = named(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert operator["podSelector"]["matchLabels"].items() <= labels.items()
    assert operator["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": NAMESPACE
    }
    assert scraper["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }
    everybody = named(helm.template({}).objects, "ConfigMap", config["metadata"]["name"])
    assert "from" not in yaml.safe_load(everybody["data"]["ingress.yaml"])[0]


SAMPLES = sorted((ROOT / "examples" / "pools").glob("*.yaml"))


def test_api_server_accepts_every_example(cluster: Cluster) -> None:
    names = {path.stem for path in SAMPLES}
    assert {"gpu", "mig", "cpu", "autoscaling", "model-volume", "shared-gpu"} <= names
    objects = [
        {**each, "metadata": {**each["metadata"], "namespace": HERE}}
        for path in SAMPLES
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    said = dry_run(cluster, objects)
    assert said.count("(server dry run)") == len(objects), said
    assert json.dumps(objects).count('"OcrPool"') >= len(SAMPLES)
