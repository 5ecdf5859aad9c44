"""Every pool gets a NetworkPolicy with the operator's ingress rules, and keeps it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.operator.api import Object
from tests.operator.harness import OperatorHarness, pool
from tests.operator.kubelet import ROOT

pytestmark = pytest.mark.timeout(300)
RULES = [
    {"ports": [{"port": 8080, "protocol": "TCP"}]},
    {
        "ports": [{"port": 8081, "protocol": "TCP"}],
        "from": [{"podSelector": {"matchLabels": {"app": "operator"}}}],
    },
]
OWN: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {
        "name": "own",
        "labels": {
            "app.kubernetes.io/managed-by": "ocrpool-operator",
            "ocrpool.dev/pool": "pages",
        },
    },
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


def rules_of(harness: OperatorHarness) -> dict[str, Object]:
    return {each["metadata"]["name"]: each["spec"] for each in harness.items("networkpolicies")}


def test_network_policies_are_created_reverted_and_removed(
    harness: OperatorHarness, tmp_path: Path
) -> None:
    file = tmp_path / "ingress.yaml"
    file.write_text(yaml.safe_dump(RULES), encoding="utf-8")
    operator = harness.start("--network-policy", str(file))
    # A foreign object that looks like ours is not changed.
    harness.apply(OWN)
    harness.apply(pool(replicas=1))
    harness.until("there is one", lambda: "pages" in rules_of(harness))
    spec = rules_of(harness)["pages"]
    assert spec["ingress"] == RULES
    assert spec["policyTypes"] == ["Ingress"]
    harness.until_ready(1)
    labels = harness.pods()["pages-0"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()

    harness.api.merge(f"{harness.path('networkpolicies')}/pages", {"spec": {"ingress": [{}]}})
    harness.until("it is mended", lambda: rules_of(harness)["pages"]["ingress"] == RULES)
    harness.namespace.kubectl("delete", "networkpolicy", "pages")
    harness.until("it is back", lambda: "pages" in rules_of(harness))

    harness.apply(pool(replicas=1, proxy={"nodeSelector": {"no": "such-node"}}))
    harness.until("the proxy has one", lambda: "pages.proxy" in rules_of(harness))
    proxy = rules_of(harness)["pages.proxy"]
    assert proxy["ingress"] == RULES
    (deployment,) = harness.items("deployments")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert proxy["podSelector"]["matchLabels"].items() <= labels.items()
    harness.apply(pool(replicas=1))
    harness.until("it goes with the proxy", lambda: "pages.proxy" not in rules_of(harness))

    operator.stop()
    harness.start()
    harness.until("it is gone", lambda: "pages" not in rules_of(harness))
    assert "own" in rules_of(harness)
    harness.until_ready(1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ports: []", "not a list of NetworkPolicy ingress rules"),
        ("[", "expected the node content"),
        (None, "No such file"),
    ],
)
def test_unreadable_ingress_rules_are_refused(tmp_path: Path, text: str | None, error: str) -> None:
    file = tmp_path / "ingress.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ocrpool_operator.cli", "run"]
    done = subprocess.run(
        [*command, "--network-policy", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert error in done.stderr
