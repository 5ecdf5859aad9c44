"""The devices of this machine that workers can use: GPUs and MIG slices by NVML, or the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrpool.local.errors import EXIT_USAGE, LocalError
from ocrpool_worker.devices.gpu_selection import slices_of, uuid_of, visible_gpus
from ocrpool_worker.errors import SettingsError


@dataclass(frozen=True)
class LocalDevice:
    """One device. `setting` is the worker's `device` setting, `name` is the product name."""

    setting: str
    name: str


def find_devices(kind: str, environment: Mapping[str, str]) -> tuple[LocalDevice, ...]:
    """The devices for `spec.device` of a pool. Raises LocalError if a GPU is requested and none is
    visible. `environment`: its CUDA_VISIBLE_DEVICES is honoured."""
    if kind == "cpu":
        return (LocalDevice("cpu", "cpu"),)
    import pynvml  # noqa: PLC0415

    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        try:
            return _visible_devices(nvml, environment)
        finally:
            nvml.nvmlShutdown()
    except SettingsError as error:
        raise LocalError(str(error), status=EXIT_USAGE) from None
    except nvml.NVMLError as error:
        raise LocalError(
            f"spec.device is gpu, and NVML fails: {error}. Check the NVIDIA driver, or use "
            "--device cpu",
            status=EXIT_USAGE,
        ) from None


def _visible_devices(nvml: Any, environment: Mapping[str, str]) -> tuple[LocalDevice, ...]:
    seen = visible_gpus(nvml, environment)
    uuids: dict[str, str] = {}  # CUDA_VISIBLE_DEVICES may name a MIG slice and its GPU
    for gpu in seen.handles:
        slices = slices_of(nvml, gpu)
        for handle in [gpu] if slices is None else slices:
            uuids[uuid_of(nvml, handle)] = str(nvml.nvmlDeviceGetName(handle))
    if not uuids:
        raise LocalError(
            f"spec.device is gpu, and {seen.description}; use --device cpu"
            if seen.given is not None
            else "spec.device is gpu, and this machine has none; use --device cpu",
            status=EXIT_USAGE,
        )
    return tuple(LocalDevice(f"gpu:{uuid}", name) for uuid, name in uuids.items())
