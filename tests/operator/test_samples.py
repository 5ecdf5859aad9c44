"""Every sample pool becomes ready without changes, and reads a page.

Real: API server, controllers, scheduler, operator, workers, model files, and on CPUs PaddleOCR.
Fakes: kubelet, which runs no Jobs, so that the model files are in its volume already; and for GPUs
the driver and Paddle's GPU build (tests/operator/image.py).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fake_engine import order_png
from tests.operator.api import Api, Object
from tests.operator.harness import OperatorHarness
from tests.operator.kubelet import ROOT, Kubelet

pytestmark = pytest.mark.timeout(900)
SAMPLES = sorted((ROOT / "examples" / "pools").glob("*.yaml"))


@pytest.fixture
def kubelet(api: Api, tmp_path: Path, models: Path) -> Iterator[Kubelet]:
    """A node with GPUs, a MIG slice, and the claim that a sample mounts."""
    devices = {"nvidia.com/gpu": 2, "nvidia.com/mig-1g.10gb": 1, "nvidia.com/gpu.shared": 2}
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "models").symlink_to(models)
    claims = {"ocr-models": volume}
    with Kubelet(api, tmp_path / "node", devices=devices, claims=claims) as node:
        yield node
        assert not node.errors, node.errors


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_sample_becomes_ready_and_reads_a_page(harness: OperatorHarness, sample: Path) -> None:
    harness.start()
    bodies = list(yaml.safe_load_all(sample.read_text(encoding="utf-8")))
    for body in (*claimed(harness), *bodies):
        if body["kind"] != "Job":
            harness.apply(body)
    pools = {each["metadata"]["name"]: each for each in bodies if each["kind"] == "OcrPool"}
    for name, pool in pools.items():
        harness.until_ready(pool["spec"].get("replicas", 1), name, seconds=600)
    for name in pools:
        reads_a_page(harness, name)
    for name in pools:
        harness.namespace.kubectl("delete", "ocrp", name, "--wait=false")
    harness.until("nothing is left behind", harness.gone, 120)


def claimed(harness: OperatorHarness) -> tuple[Object, Object]:
    """The claim that samples mount, and a volume for it. The scheduler needs both."""
    size = {"storage": "1Gi"}
    claim = {"name": "ocr-models", "namespace": harness.namespace.name}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"models-{harness.namespace.name}"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": size,
                "claimRef": claim,
                "hostPath": {"path": "/nowhere"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": claim,
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": size}},
        },
    )


def reads_a_page(harness: OperatorHarness, name: str) -> None:
    ip = harness.kubelet.sandbox(f"{name}-0").ip
    request = urllib.request.Request(
        f"http://{ip}:8080/v1/ocr", data=order_png(), headers={"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        assert json.loads(response.read())["pages"][0]["width"] == 256
    status = harness.status(name)
    assert all(each["footprint"] for each in status["workers"])
    assert harness.condition("Degraded", name) == ("False", "AsExpected")
    row = harness.namespace.kubectl("get", "ocrp", name).splitlines()[1].split()
    assert row[:2] == [name, "True"]
