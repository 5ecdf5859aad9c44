"""Which GPUs and MIG slices get a worker; NVML's functions are replaced, its module is real."""

from __future__ import annotations

from typing import Any

import pynvml
import pytest

from ocrpool.local.devices import find_devices
from ocrpool.local.errors import LocalError

# A handle is its own UUID; the second GPU is cut into slices, one place of which is empty.
GPUS = ("GPU-aa11", "GPU-bb22")
SLICES = ("MIG-1", None, "MIG-2")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    def mig_mode(handle: str) -> tuple[int, int]:
        if handle == GPUS[0]:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return (pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE)

    def mig_slice(handle: str, index: int) -> str:
        found = SLICES[index]
        if found is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    fakes: dict[str, Any] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: len(GPUS),
        "nvmlDeviceGetHandleByIndex": lambda index: GPUS[index],
        "nvmlDeviceGetMigMode": mig_mode,
        "nvmlDeviceGetMaxMigDeviceCount": lambda handle: len(SLICES),
        "nvmlDeviceGetMigDeviceHandleByIndex": mig_slice,
        "nvmlDeviceGetUUID": lambda handle: handle,
        "nvmlDeviceGetName": lambda handle: f"card {handle}",
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(pynvml, name, fake)


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize(
    ("visible", "settings"),
    [
        (None, ["gpu:GPU-aa11", "gpu:MIG-1", "gpu:MIG-2"]),
        ("GPU-aa", ["gpu:GPU-aa11"]),
        ("MIG-2", ["gpu:MIG-2"]),
        ("0", ["gpu:GPU-aa11"]),
        # A number is a GPU's, not a slice's: the second GPU, with all of its slices.
        ("1", ["gpu:MIG-1", "gpu:MIG-2"]),
        ("1,0", ["gpu:MIG-1", "gpu:MIG-2", "gpu:GPU-aa11"]),
        ("MIG-2,1", ["gpu:MIG-2", "gpu:MIG-1"]),
        ("0,7,1", ["gpu:GPU-aa11"]),
        ("0,0", ["gpu:GPU-aa11"]),
    ],
)
def test_every_gpu_and_every_slice_that_is_visible(
    visible: str | None, settings: list[str]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [found.setting for found in find_devices("gpu", environment)] == settings


@pytest.mark.usefixtures("nvml")
def test_none_that_is_visible_is_an_error_that_says_so() -> None:
    with pytest.raises(LocalError, match="CUDA_VISIBLE_DEVICES leaves none"):
        find_devices("gpu", {"CUDA_VISIBLE_DEVICES": ""})
