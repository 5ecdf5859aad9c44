"""`ocrpool-operator smoke-test`, run by `helm test`: a user's rights suffice, and nothing stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.operator.harness import POOL, OperatorHarness
from tests.operator.kubelet import ROOT
from tools.devcluster.testing import Namespace

pytestmark = pytest.mark.timeout(300)
NAME = "ocrpool-test"
SPEC = {**POOL["spec"], "replicas": 1}
# The rights that the chart's Role gives the test: templates/tests/smoke-test.yaml.
RULES = [
    {"apiGroups": ["ocrpool.dev"], "resources": ["ocrpools"], "verbs": ["create"]},
    {
        "apiGroups": ["ocrpool.dev"],
        "resources": ["ocrpools"],
        "resourceNames": [NAME],
        "verbs": ["get", "delete"],
    },
]


def users_kubeconfig(namespace: Namespace, folder: Path) -> Path:
    """A kubeconfig with the rights of the chart's test pod."""
    account = {"name": "tester", "namespace": namespace.name}
    group = "rbac.authorization.k8s.io"
    for body in (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": account, "rules": RULES},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": account,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "tester"},
            "subjects": [{"kind": "ServiceAccount", **account}],
        },
    ):
        namespace.apply(body)
    token = namespace.kubectl("create", "token", "tester").strip()
    config = yaml.safe_load(namespace.cluster.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    path = folder / "tester.kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def run_smoke_test(harness: OperatorHarness, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ocrpool_operator.cli", "smoke-test"]
    where = [f"--namespace={harness.namespace.name}", f"--name={NAME}"]
    return subprocess.run(
        [*command, *where, f"--spec={json.dumps(SPEC)}", *arguments],
        cwd=ROOT,
        env={"KUBECONFIG": str(users_kubeconfig(harness.namespace, harness.folder)), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_smoke_test_reads_a_picture_and_leaves_nothing(harness: OperatorHarness) -> None:
    harness.start()
    url = f"http://{harness.kubelet.first_address}:8080"
    # The fake engine answers the picture's size.
    done = run_smoke_test(harness, f"--url={url}", "--expect=640x160")
    assert done.returncode == 0, done.stdout + done.stderr
    created, ready, read, deleted = done.stdout.splitlines()
    assert created == f"created OcrPool {harness.namespace.name}/{NAME}"
    assert ready == "ready: 1 of 1 workers are ready"
    assert read.startswith("read ['640x160', ")
    assert deleted == "deleted it again"
    harness.until("nothing is left", harness.gone)


def test_smoke_test_fails_on_unexpected_text_and_leaves_nothing(harness: OperatorHarness) -> None:
    harness.start()
    url = f"http://{harness.kubelet.first_address}:8080"
    done = run_smoke_test(harness, f"--url={url}", "--expect=OCR")
    assert done.returncode == 1
    assert "which does not contain 'OCR'" in done.stderr
    assert "deleted it again" in done.stdout
    harness.until("nothing is left", harness.gone)


def test_smoke_test_reports_a_missing_operator(harness: OperatorHarness) -> None:
    done = run_smoke_test(harness, "--seconds=3")
    assert done.returncode == 1
    assert "does the operator run?" in done.stderr
    # Without an operator there is no finalizer either.
    assert harness.pools() == []


def test_smoke_test_leaves_other_pools_alone(harness: OperatorHarness) -> None:
    harness.apply({**POOL, "metadata": {"name": NAME}})
    before = harness.pools()
    done = run_smoke_test(harness, "--seconds=3")
    assert done.returncode == 1
    assert "no smoke test made it" in done.stderr
    assert harness.pools() == before


def test_smoke_test_reports_a_refused_spec(harness: OperatorHarness) -> None:
    done = run_smoke_test(harness, '--spec={"device": "tpu"}')
    assert done.returncode == 1
    assert 'supported values: "gpu", "cpu"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
