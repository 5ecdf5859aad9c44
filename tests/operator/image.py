"""What stands in for a worker's image, its volumes and its device on the stand-in node.

The image is this checkout, with the staged models where an image would carry them (`/models`).
Where a pod has a GPU, the image is the GPU variant: its `paddle` and `paddleocr` are stand-ins
(`gpu_image/`), since nothing can compute here; the worker's engine code runs on them unchanged.
The GPU itself is a folder of figures under a stand-in driver (tools/devcluster/fakegpu).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.device import FakeGpu
from tools.devcluster.fakegpu.library import environment

GPU_IMAGE = Path(__file__).with_name("gpu_image")
IN_IMAGE = "/models"
GIB = 2**30
Pod = dict[str, Any]


@dataclass
class Devices:
    """The node's fake GPUs, by the resource that offers them; each is one pod's at a time."""

    root: Path
    counts: dict[str, int]
    total: int = 4 * GIB
    # By the pod's uid.
    given: dict[str, FakeGpu] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_resource: dict[str, list[FakeGpu]] = {}
        for resource, count in self.counts.items():
            found = device.make_all(self.root / resource.replace("/", "-"), count)
            if "/mig-" in resource:  # a GPU for each, of which the pod sees this one slice
                found = [each.slice_up(self.total)[0] for each in found]
            for each in found:
                each.set_total(self.total)
            self._by_resource[resource] = found

    def give(self, pod: Pod, view: Path) -> dict[str, str]:
        """The environment of a pod that asks for a device: that one and no other is visible."""
        asked = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
        resource = next((name for name in asked if name in self._by_resource), None)
        if resource is None:
            return {}
        uid = pod["metadata"]["uid"]
        if uid not in self.given:
            taken = {each.root for each in self.given.values()}
            gpu = next(each for each in self._by_resource[resource] if each.root not in taken)
            self.given[uid] = gpu
            view.mkdir()
            whole = gpu.root.parent.parent if gpu.root.parent.name == "mig" else gpu.root
            (view / "0").symlink_to(whole)
        gpu = self.given[uid]
        named = {"NVIDIA_VISIBLE_DEVICES": gpu.uuid, "CUDA_VISIBLE_DEVICES": gpu.uuid}
        return environment(view) | named | {"PYTHONPATH": str(GPU_IMAGE)}

    def shrink(self, total: int) -> None:
        """All devices have so much memory from now on."""
        for each in (gpu for found in self._by_resource.values() for gpu in found):
            each.set_total(total)

    def take_back(self, uid: str) -> None:
        self.given.pop(uid, None)


def models_arguments(pod: Pod, settings: str, claims: dict[str, Path]) -> list[str]:
    """Where this machine has what the pod's settings call its models folder."""
    folder = yaml.safe_load(settings)["models"]["dir"]
    for volume in pod["spec"]["volumes"]:
        if volume["name"] != "models":
            continue
        mount = next(
            each
            for each in pod["spec"]["containers"][0]["volumeMounts"]
            if each["name"] == "models"
        )
        assert mount["mountPath"] == folder
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            return ["--models", str(claims[claim] / mount.get("subPath", ""))]
        return ["--models", volume["hostPath"]["path"]]
    if folder == IN_IMAGE and (carried := os.environ.get("OCRPOOL_TEST_MODELS")):
        return ["--models", carried]
    return []
