"""Every sample of the manifests, unchanged, to ready; and a page is read by each.

Real: API server, controllers, scheduler, operator, workers, model files, and on CPUs PaddleOCR.
Stand-ins: kubelet, and for GPUs the driver and Paddle's GPU build (tests/operator/image.py).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.operator.api import Api
from tests.operator.kubelet import ROOT, Kubelet
from tests.operator.lab import Lab
from tests.standin import order_png

pytestmark = pytest.mark.timeout(900)
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))


@pytest.fixture
def kubelet(api: Api, tmp_path: Path, models: Path) -> Iterator[Kubelet]:
    """A node with GPUs, a MIG slice, and the claim that a sample mounts."""
    devices = {"nvidia.com/gpu": 2, "nvidia.com/mig-1g.10gb": 1}
    claims = {"ocr-models": models}
    with Kubelet(api, tmp_path / "node", devices=devices, claims=claims) as node:
        yield node
        assert not node.errors, node.errors


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_becomes_ready_and_reads(lab: Lab, sample: Path) -> None:
    lab.start()
    said = yaml.safe_load(sample.read_text(encoding="utf-8"))
    name = said["metadata"]["name"]
    lab.namespace.kubectl("apply", f"--filename={sample}")
    wanted = said["spec"].get("replicas", 1)
    lab.until_ready(wanted, name, seconds=600)

    ip = lab.kubelet.sandbox(f"{name}-0").ip
    request = urllib.request.Request(
        f"http://{ip}:8080/v1/ocr", data=order_png(), headers={"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        assert json.loads(response.read())["pages"][0]["width"] == 256
    status = lab.status(name)
    assert all(each["footprint"] for each in status["workers"])
    assert lab.condition("Degraded", name) == ("False", "AsExpected")
    row = lab.namespace.kubectl("get", "ocrp", name).splitlines()[1].split()
    assert row[:2] == [name, "True"]
    lab.namespace.kubectl("delete", "ocrp", name, "--wait=false")
    lab.until("nothing is left behind", lab.gone, 120)
