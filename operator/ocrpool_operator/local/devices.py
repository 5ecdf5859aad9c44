"""Which devices this machine has for workers: its GPUs and MIG slices by NVML, or its CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ocrpool_operator.local.errors import EXIT_WRONG, LocalError


@dataclass(frozen=True)
class Found:
    """`setting` is the worker's `device` setting; `name` is for people."""

    setting: str
    name: str


def devices_for(kind: str, visible: str | None) -> tuple[Found, ...]:
    """The devices for a pool's `spec.device`. Raises LocalError where a GPU is asked for and none
    is there. `visible`: CUDA_VISIBLE_DEVICES, which is honoured."""
    if kind == "cpu":
        return (Found("cpu", "cpu"),)
    found = _gpus()
    if visible is not None:
        wanted = [part.strip() for part in visible.split(",") if part.strip()]
        found = tuple(
            gpu
            for index, gpu in enumerate(found)
            if any(str(index) == part or gpu.setting[4:].startswith(part) for part in wanted)
        )
    if not found:
        raise LocalError(
            "spec.device is gpu, and CUDA_VISIBLE_DEVICES leaves none of this machine's GPUs"
            if visible is not None
            else "spec.device is gpu, and this machine has none; use --device cpu",
            status=EXIT_WRONG,
        )
    return found


def _gpus() -> tuple[Found, ...]:
    import pynvml  # noqa: PLC0415

    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        try:
            count = nvml.nvmlDeviceGetCount()
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            return tuple(_found(nvml, one) for handle in handles for one in _slices(nvml, handle))
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        raise LocalError(
            f"spec.device is gpu, and NVML says: {error}; is there an NVIDIA driver? Use --device "
            "cpu without one",
            status=EXIT_WRONG,
        ) from None


def _slices(nvml: Any, handle: Any) -> list[Any]:
    """The MIG slices of a GPU, or itself where it is not sliced."""
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
        if current != nvml.NVML_DEVICE_MIG_ENABLE:
            return [handle]
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU that knows no MIG
        return [handle]
    slices = []
    for index in range(most):
        try:
            slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        except nvml.NVMLError:  # a place that no slice takes
            continue
    return slices


def _found(nvml: Any, handle: Any) -> Found:
    return Found(f"gpu:{nvml.nvmlDeviceGetUUID(handle)}", nvml.nvmlDeviceGetName(handle))
