"""The life cycle of a release on a real API server, starting from an empty cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml

from ocrpool.version import VERSION
from tests.chart.helm import CHART, NAMESPACE, RELEASE, Helm, Object, Outcome, named
from tests.operator.kubelet import ROOT
from tools.devcluster.testing import Cluster

pytestmark = pytest.mark.timeout(300)
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:ocrpool-operator"
POOL = {"name": "scans", "spec": {"device": "cpu", "replicas": 2}}


class Release:
    """One Helm release in one cluster."""

    def __init__(self, helm: Helm, cluster: Cluster) -> None:
        self.helm, self.cluster = helm, cluster

    def do(self, verb: str, *words: str, values: Object | None = None) -> Outcome:
        where = [f"--namespace={NAMESPACE}", f"--kubeconfig={self.cluster.kubeconfig}"]
        return self.helm.run(verb, RELEASE, *words, *where, values=values)

    def install(self, values: Object | None = None) -> str:
        return self.do("install", str(CHART), "--create-namespace", values=values or {}).text

    def upgrade(self, values: Object) -> str:
        return self.do("upgrade", str(CHART), "--reset-values", values=values).text

    def arguments(self) -> list[str]:
        body = self.cluster.get("--namespace", NAMESPACE, "deployment", "ocrpool-operator")
        found: list[str] = body["spec"]["template"]["spec"]["containers"][0]["args"]
        return found

    def pools(self) -> list[str]:
        found = self.cluster.get("--all-namespaces", "ocrpools")["items"]
        return [each["metadata"]["name"] for each in found]


@pytest.fixture
def release(helm: Helm, fresh: Cluster) -> Iterator[Release]:
    yield Release(helm, fresh)
    Release(helm, fresh).do("uninstall", "--ignore-not-found")
    # What is kept; with it go the pools.
    fresh.kubectl("delete", "crd", "ocrpools.ocrpool.dev", "--ignore-not-found", "--timeout=60s")


def test_install_upgrade_rollback_and_uninstall_keep_pools(release: Release) -> None:
    notes = release.install()
    assert "rollout status deployment/ocrpool-operator" in notes
    assert "WARNING" not in notes
    assert f"--worker-image=ocrpool-worker:{VERSION}" in release.arguments()
    release.cluster.wait_for_crds("ocrpools.ocrpool.dev")

    notes = release.upgrade({"pools": [POOL], "worker": {"image": {"tag": "0.2.0"}}})
    assert "WARNING" not in notes
    assert "--worker-image=ocrpool-worker:0.2.0" in release.arguments()
    assert release.pools() == ["scans"]
    before = release.cluster.get("--namespace", NAMESPACE, "ocrpool", "scans")

    release.do("rollback", "1")
    assert f"--worker-image=ocrpool-worker:{VERSION}" in release.arguments()
    # The first revision had none, and still no pool is taken away from its clients.
    assert release.pools() == ["scans"]

    release.upgrade({"pools": [POOL]})
    release.do("uninstall").text  # noqa: B018
    assert release.pools() == ["scans"]
    after = release.cluster.get("--namespace", NAMESPACE, "ocrpool", "scans")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert not release.cluster.get("--namespace", NAMESPACE, "deployments,roles,pods")["items"]
    left = release.cluster.kubectl("get", "clusterroles,clusterrolebindings", "--output=name")
    assert "ocrpool" not in left

    # Again, over what was kept.
    release.install({"pools": [POOL]})
    assert release.pools() == ["scans"]


def test_operator_has_exactly_the_rights_of_its_rules(release: Release) -> None:
    release.install()
    own = f"--as={ACCOUNT}"
    nobody = "--as=system:serviceaccount:default:nobody"

    def rights_of(who: str, namespace: str) -> set[str]:
        words = ("auth", "can-i", "--list", "--no-headers", f"--namespace={namespace}")
        lines = release.cluster.kubectl(*words, who, "--as-group=system:authenticated")
        return {" ".join(line.split()) for line in lines.splitlines()}

    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
    wanted = {
        f"{in_group(resource, group)} [] [] [{' '.join(rule['verbs'])}]"
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    rights_of_nobody = rights_of(nobody, "default")
    assert rights_of(own, "default") - rights_of_nobody == wanted
    assert rights_of(own, NAMESPACE) - rights_of_nobody == wanted | {
        "leases.coordination.k8s.io [] [] [create]",
        "leases.coordination.k8s.io [] [ocrpool-operator] [get update]",
    }


def test_a_second_operator_for_the_same_pools_is_refused(release: Release) -> None:
    """Two operators of one name would manage the same pools. Another name is accepted."""
    release.install()

    def second(*, name: str | None = None, namespace: str = "elsewhere") -> Outcome:
        values: Object = {"crds": {"install": False}, "fullnameOverride": "second"}
        values |= {"operator": {"name": name}} if name else {}
        words = (f"--namespace={namespace}", f"--kubeconfig={release.cluster.kubeconfig}")
        install = ("install", "second", str(CHART), "--create-namespace")
        return release.helm.run(*install, *words, values=values)

    for namespace in ("elsewhere", NAMESPACE):
        refused = second(namespace=namespace)
        assert not refused.done
        assert (
            f"the release {RELEASE} in namespace {NAMESPACE} has an operator called ocrpool"
            in refused.err
        )
    assert second(name="second").done
    words = ("--namespace=elsewhere", f"--kubeconfig={release.cluster.kubeconfig}")
    release.helm.run("uninstall", "second", *words)
    # An upgrade of the first finds its own.
    release.upgrade({"operator": {"replicas": 1}})


def in_group(resource: str, group: str) -> str:
    """As kubectl writes it: ocrpools.ocrpool.dev/status."""
    plural, slash, part = resource.partition("/")
    return f"{plural}{'.' + group if group else ''}{slash}{part}"


def test_namespace_editors_can_edit_pools(release: Release) -> None:
    release.install()
    release.cluster.wait_for_crds("ocrpools.ocrpool.dev")

    def may(verb: str, resource: str, role: str) -> bool:
        found = release.cluster.get("clusterrole", role)["rules"]
        return any(
            verb in rule["verbs"] and resource in rule.get("resources", ()) for rule in found
        )

    import time  # noqa: PLC0415

    deadline = time.monotonic() + 30
    while not may("patch", "ocrpools", "edit") and time.monotonic() < deadline:
        time.sleep(0.2)  # a controller adds it
    assert may("patch", "ocrpools", "edit")
    assert may("update", "ocrpools/scale", "admin")
    assert may("list", "ocrpools", "view")
    assert not may("patch", "ocrpools", "view")
    assert not may("patch", "ocrpools/status", "edit")


def test_notes_warn_about_missing_prerequisites(release: Release) -> None:
    notes = release.install(
        {
            "crds": {"install": False},
            "rbac": {"create": False},
            "monitoring": {"podMonitor": {"enabled": False}},
        }
    )
    assert "WARNING: the CRD is missing" in notes
    assert "WARNING: rbac.create is false" in notes
    # There is no node at all, so nothing is known of its GPUs.
    assert "no node offers" not in notes
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "plain"}}
    release.cluster.kubectl("create", "--filename=-", manifest=node)
    try:
        notes = release.upgrade({})
        assert "WARNING: no node offers nvidia.com/gpu" in notes
        assert "CRD is missing" not in notes
        for resource in ("nvidia.com/gpu", "nvidia.com/mig-1g.10gb"):
            patch = f'{{"status": {{"allocatable": {{"{resource}": "2"}}}}}}'
            release.cluster.kubectl(
                "patch", "node", "plain", "--subresource=status", "--type=merge", f"--patch={patch}"
            )
            assert "no node offers" not in release.upgrade({})
            patch = '{"status": {"allocatable": null}}'
            release.cluster.kubectl(
                "patch", "node", "plain", "--subresource=status", "--type=merge", f"--patch={patch}"
            )
    finally:
        release.cluster.kubectl("delete", "node", "plain")


def test_manifests_install_the_same_objects_without_helm(fresh: Cluster, helm: Helm) -> None:
    """`kubectl apply -k manifests/` creates the objects of the chart, and can be repeated."""
    where = f"--kustomize={ROOT / 'manifests'}"
    first = fresh.kubectl("apply", where)
    assert "deployment.apps/ocrpool-operator created" in first
    again = fresh.kubectl("apply", where)
    # kubectl replaces a budget's selector as a whole, by the same.
    changed = [line for line in again.splitlines() if not line.endswith(" unchanged")]
    assert changed == ["poddisruptionbudget.policy/ocrpool-operator configured"]

    made = list(yaml.safe_load_all(fresh.kubectl("kustomize", str(ROOT / "manifests"))))
    charts = helm.template({}, "--skip-tests").objects
    assert {_name(each) for each in made} - {_name(each) for each in charts} == {
        ("Namespace", "ocrpool-system")
    }
    for each in charts:
        assert _plain(named(made, *_name(each))) == _plain(each)
    fresh.kubectl("delete", where, "--wait=true")


def _name(body: Object) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def _plain(body: Object) -> Object:
    """Without what is Helm's own."""
    text = yaml.safe_dump(body)
    text = re.sub(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", "", text, flags=re.M)
    found: Object = yaml.safe_load(text)
    if body["kind"] == "CustomResourceDefinition":
        found["metadata"] = {"name": body["metadata"]["name"]}
    return found
