"""The device that a worker owns, and its memory: a GPU through NVML, or the RAM."""

from __future__ import annotations

from ocrpool_worker.devices.nvml import NvmlProbe
from ocrpool_worker.devices.ram import RamProbe
from ocrpool_worker.devices.snapshot import DeviceIdentity, DeviceProbe, DeviceSnapshot

__all__ = ["DeviceIdentity", "DeviceProbe", "DeviceSnapshot", "NvmlProbe", "RamProbe", "probe_for"]


def probe_for(device: str) -> DeviceProbe:
    """The probe for a `device` setting: `cpu`, `gpu`, `gpu:0`, `gpu:UUID`. Raises SettingsError."""
    if device == "cpu":
        return RamProbe()
    return NvmlProbe(device.partition(":")[2])
