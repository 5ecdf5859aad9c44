"""The RBAC rules in the manifests are exactly the rights that the operator uses."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from tests.operator import rights
from tests.operator.harness import OperatorHarness, OperatorProcess, pool

pytestmark = pytest.mark.timeout(300)
# kopf's watches. It makes no other calls (scanning, posting and peering are off).
MADE = ("services", "configmaps", "poddisruptionbudgets", "networkpolicies", "deployments")
NAME = "app.kubernetes.io/name"
WATCHED = ("ocrpools", "pods", *MADE)


def calls(operator: OperatorProcess) -> set[tuple[str, str]]:
    """The (verb, resource) of every call in the metrics of an operator."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r'api_calls_total\{resource="(.+?)",verb="(.+?)"\}', text)
    return {(verb, resource) for resource, verb in found}


def test_rbac_rules_are_exactly_what_the_operator_uses(
    harness: OperatorHarness, tmp_path: Path
) -> None:
    """Every operator test runs with these rights. This one finds the unused ones."""
    rules = tmp_path / "ingress.yaml"
    rules.write_text("- ports: [{port: 8080}]\n", encoding="utf-8")
    operator = harness.start("--network-policy", str(rules))
    harness.apply(pool())
    harness.until_ready(2)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=1")
    harness.until_ready(1)
    # A proxy is switched on and off. It need not become ready for that.
    harness.apply(pool(replicas=1, proxy={"nodeSelector": {"no": "such-node"}}))
    harness.until("its Deployment is there", lambda: harness.items("deployments"))
    # One object of every kind is changed by hand, and reverted.
    for plural in MADE:
        changed = next(
            each for each in harness.items(plural) if NAME in each["metadata"].get("labels", {})
        )
        path = f"{harness.path(plural)}/{changed['metadata']['name']}"
        harness.api.merge(path, {"metadata": {"labels": {NAME: "by-hand"}}})
        harness.until(
            f"{path} is mended",
            lambda path=path, was=changed["metadata"]["labels"]: (
                harness.api.get(path)["metadata"]["labels"] == was
            ),
        )
    harness.apply(pool(replicas=1))
    harness.until("its Deployment is gone", lambda: not harness.items("deployments"))
    used = calls(operator)
    operator.stop()
    operator = harness.start()
    harness.until("its NetworkPolicy is gone", lambda: not harness.items("networkpolicies"))
    harness.namespace.kubectl("delete", "ocrp", "pages")
    harness.until("nothing is left behind", harness.gone)
    used |= calls(operator)
    used |= {(verb, each) for each in WATCHED for verb in ("list", "watch")}

    allowed = {
        (verb, resource)
        for rule in rights.rules()
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used == allowed
    assert "403" not in operator.log.read_text(encoding="utf-8")
