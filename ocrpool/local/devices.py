"""Which devices this machine has for workers: its GPUs and MIG slices by NVML, or its CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrpool.local.errors import EXIT_WRONG, LocalError
from ocrpool_worker.devices.gpu_selection import slices_of, uuid_of, visible_gpus
from ocrpool_worker.errors import SettingsError


@dataclass(frozen=True)
class Found:
    """`setting` is the worker's `device` setting; `name` is for people."""

    setting: str
    name: str


def devices_for(kind: str, environment: Mapping[str, str]) -> tuple[Found, ...]:
    """The devices for a pool's `spec.device`. Raises LocalError where a GPU is asked for and none
    is there. `environment`: its CUDA_VISIBLE_DEVICES is honoured."""
    if kind == "cpu":
        return (Found("cpu", "cpu"),)
    import pynvml  # noqa: PLC0415

    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        try:
            return _found(nvml, environment)
        finally:
            nvml.nvmlShutdown()
    except SettingsError as error:
        raise LocalError(str(error), status=EXIT_WRONG) from None
    except nvml.NVMLError as error:
        raise LocalError(
            f"spec.device is gpu, and NVML says: {error}; is there an NVIDIA driver? Use --device "
            "cpu without one",
            status=EXIT_WRONG,
        ) from None


def _found(nvml: Any, environment: Mapping[str, str]) -> tuple[Found, ...]:
    seen = visible_gpus(nvml, environment)
    uuids: dict[str, str] = {}  # a slice can be named beside its GPU
    for gpu in seen.handles:
        slices = slices_of(nvml, gpu)
        for handle in [gpu] if slices is None else slices:
            uuids[uuid_of(nvml, handle)] = str(nvml.nvmlDeviceGetName(handle))
    if not uuids:
        raise LocalError(
            f"spec.device is gpu, and {seen.told}; use --device cpu"
            if seen.given is not None
            else "spec.device is gpu, and this machine has none; use --device cpu",
            status=EXIT_WRONG,
        )
    return tuple(Found(f"gpu:{uuid}", name) for uuid, name in uuids.items())
