"""Every pool gets a NetworkPolicy with the rules that the operator was told, and keeps it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.operator.api import Object
from tests.operator.harness import Lab, pool
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


def rules_of(lab: Lab) -> dict[str, Object]:
    return {each["metadata"]["name"]: each["spec"] for each in lab.items("networkpolicies")}


def test_made_mended_and_removed_when_no_longer_wanted(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "ingress.yaml"
    file.write_text(yaml.safe_dump(RULES), encoding="utf-8")
    operator = lab.start("--network-policy", str(file))
    # What only looks like ours is not touched.
    lab.apply(OWN)
    lab.apply(pool(replicas=1))
    lab.until("there is one", lambda: "pages" in rules_of(lab))
    spec = rules_of(lab)["pages"]
    assert spec["ingress"] == RULES
    assert spec["policyTypes"] == ["Ingress"]
    lab.until_ready(1)
    labels = lab.pods()["pages-0"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()

    lab.api.merge(f"{lab.path('networkpolicies')}/pages", {"spec": {"ingress": [{}]}})
    lab.until("it is mended", lambda: rules_of(lab)["pages"]["ingress"] == RULES)
    lab.namespace.kubectl("delete", "networkpolicy", "pages")
    lab.until("it is back", lambda: "pages" in rules_of(lab))

    lab.apply(pool(replicas=1, proxy={"nodeSelector": {"no": "such-node"}}))
    lab.until("the proxy has one", lambda: "pages.proxy" in rules_of(lab))
    proxy = rules_of(lab)["pages.proxy"]
    assert proxy["ingress"] == RULES
    (deployment,) = lab.items("deployments")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert proxy["podSelector"]["matchLabels"].items() <= labels.items()
    lab.apply(pool(replicas=1))
    lab.until("it goes with the proxy", lambda: "pages.proxy" not in rules_of(lab))

    operator.stop()
    lab.start()
    lab.until("it is gone", lambda: "pages" not in rules_of(lab))
    assert "own" in rules_of(lab)
    lab.until_ready(1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ports: []", "not a list of NetworkPolicy ingress rules"),
        ("[", "expected the node content"),
        (None, "No such file"),
    ],
)
def test_rules_that_cannot_be_read(tmp_path: Path, text: str | None, words: str) -> None:
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
    assert words in done.stderr
