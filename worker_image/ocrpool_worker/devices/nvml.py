"""Observe a GPU or a MIG slice through NVML.

Source: NVML's API reference. Version 1 of the memory call counts memory that the driver reserves as
used, version 2 reports it apart. `free` is the same in both, and planning needs only that. On a GPU
in MIG mode NVML refuses the parent's figures (`NVMLError_NoPermission`), so the handle is the
slice's.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from ocrpool.protocol import Problem
from ocrpool_worker.devices.gpu_selection import find_gpu, uuid_of
from ocrpool_worker.devices.snapshot import DeviceIdentity, DeviceSnapshot, checked_snapshot
from ocrpool_worker.errors import SettingsError


class NvmlProbe:
    """Observes one GPU or MIG slice.

    `which`: a number among the visible devices (`0`), a UUID (`GPU-…`, `MIG-…`), or empty for the
    only one. `environment` says which are visible. The device is selected once, by its UUID. The
    constructor raises SettingsError if there is no driver or no such device.
    """

    def __init__(self, which: str, environment: Mapping[str, str] = os.environ) -> None:
        import pynvml  # noqa: PLC0415

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = find_gpu(pynvml, which, environment)
            name = _text(pynvml.nvmlDeviceGetName(self._handle))
            self._identity = DeviceIdentity("gpu", name, uuid_of(pynvml, self._handle))
        except pynvml.NVMLError as error:
            raise SettingsError(
                f"device gpu {which or '(any)'} cannot be opened through NVML ({error}); is there "
                "an NVIDIA driver, and is that GPU visible here? Without a GPU, use device: cpu"
            ) from None

    def identity(self) -> DeviceIdentity:
        return self._identity

    def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
        try:
            found = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        except self._nvml.NVMLError as error:
            return DeviceSnapshot(problem=self._problem(error), refused=True)
        snapshot = checked_snapshot(
            int(found.total), int(found.free), where=f"NVML ({self._identity.name})"
        )
        if snapshot.memory is None:
            return snapshot
        return DeviceSnapshot(snapshot.memory, self._processes())

    def _processes(self) -> dict[int, int]:
        nvml = self._nvml
        try:
            found = nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except nvml.NVMLError:
            return {}
        return {int(item.pid): int(item.usedGpuMemory) for item in found if item.usedGpuMemory}

    def _problem(self, error: Exception) -> Problem:
        nvml = self._nvml
        lost = (nvml.NVMLError_GpuIsLost, nvml.NVMLError_NotFound, nvml.NVMLError_ResetRequired)
        if isinstance(error, lost):
            message = (
                f"{self._identity.name} ({self._identity.uuid}) is lost: {error}; look at dmesg "
                "(Xid), and reset or replace the GPU"
            )
            return Problem(reason="DeviceLost", message=message)
        message = f"NVML cannot read the memory of {self._identity.name}: {error}"
        return Problem(reason="DeviceUnreadable", message=message)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
