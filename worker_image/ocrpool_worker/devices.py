"""The device that a worker owns, and how much memory it has: a GPU by NVML, or the RAM.

`free` is what is planned with; it is the device's own figure, so strangers on the same device are
accounted for without being known.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ocrpool_wire import DeviceKind, Memory
from ocrpool_worker.errors import SettingsError


@dataclass(frozen=True)
class Identity:
    """Which device it is. `uuid` is empty for a CPU."""

    kind: DeviceKind
    name: str
    uuid: str = ""


class DeviceProbe(Protocol):
    """Looks at one device."""

    def identity(self) -> Identity: ...

    def memory(self) -> Memory | None:
        """Bytes, now. None while the device does not tell."""


class RamProbe:
    """The RAM that this process may use: the cgroup's limit, or what the host has.

    Page cache that the kernel can take back (`inactive_file`) does not count as used, as in
    kubelet's working set.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._cgroup = root / "sys/fs/cgroup"

        self._identity = Identity("cpu", self._processor())

    def identity(self) -> Identity:
        return self._identity

    def _processor(self) -> str:
        try:
            lines = (self._proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            lines = ""
        for line in lines.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
        return platform.machine()

    def memory(self) -> Memory | None:
        host = _fields(self._proc / "meminfo")
        if "MemTotal" not in host or "MemAvailable" not in host:
            return None
        total, free = host["MemTotal"] * 1024, host["MemAvailable"] * 1024
        limit, used = self._limit_and_use()
        if limit is not None and used is not None and limit < total:
            total, free = limit, max(0, min(free, limit - used))
        return Memory(total=total, used=total - free, free=free)

    def _limit_and_use(self) -> tuple[int | None, int | None]:
        for limit, use, stat, cache in (
            ("memory.max", "memory.current", "memory.stat", "inactive_file"),
            (
                "memory/memory.limit_in_bytes",
                "memory/memory.usage_in_bytes",
                "memory/memory.stat",
                "total_inactive_file",
            ),
        ):
            most, now = _number(self._cgroup / limit), _number(self._cgroup / use)
            if most is not None and now is not None:
                return most, max(0, now - _fields(self._cgroup / stat).get(cache, 0))
        return None, None


class NvmlProbe:
    """A GPU by index (`0`) or UUID (`GPU-…`), through NVML. Raises SettingsError when made where
    there is no driver or no such GPU."""

    def __init__(self, which: str) -> None:
        import pynvml  # noqa: PLC0415

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            if which.isdigit():
                self._handle = pynvml.nvmlDeviceGetHandleByIndex(int(which))
            else:
                self._handle = pynvml.nvmlDeviceGetHandleByUUID(which)
            self._identity = Identity(
                "gpu",
                pynvml.nvmlDeviceGetName(self._handle),
                pynvml.nvmlDeviceGetUUID(self._handle),
            )
        except pynvml.NVMLError as error:
            raise SettingsError(
                f"device: gpu:{which} cannot be opened through NVML ({error}); is there an NVIDIA "
                "driver, and is that GPU visible here? Use device: cpu without one"
            ) from None

    def identity(self) -> Identity:
        return self._identity

    def memory(self) -> Memory | None:
        try:
            found = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        except self._nvml.NVMLError:
            return None
        # Reserved memory counts as used: only what is free can be planned with.
        return Memory(
            total=int(found.total), used=int(found.total - found.free), free=int(found.free)
        )


def probe_for(device: str) -> DeviceProbe:
    """The probe for a `device` setting: `cpu`, `gpu`, `gpu:0`, `gpu:UUID`."""
    if device == "cpu":
        return RamProbe()
    return NvmlProbe(device.partition(":")[2] or "0")


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None  # `max` is no limit


def _fields(path: Path) -> dict[str, int]:
    """`name value` or `name: value kB` lines of the kernel's files."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.replace(":", " ", 1).partition(" ")
        value = rest.split()
        if value and value[0].isdigit():
            found[name] = int(value[0])
    return found
