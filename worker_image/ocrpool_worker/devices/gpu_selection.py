"""The GPUs and MIG slices that this process may use, and the one that a setting selects.

A scheduler assigns GPUs to a job through CUDA_VISIBLE_DEVICES, so GPU 0 is the first of those, as
in CUDA. An entry is an index, or the beginning of a UUID that only one device has. The first
invalid entry ends the list (CUDA's documentation). Indices follow the PCI bus, as in nvidia-smi and
schedulers. CUDA does that only with CUDA_DEVICE_ORDER=PCI_BUS_ID, and otherwise puts the fastest
GPU first. So the selected device is passed on by its UUID, which is unambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrpool_worker.errors import SettingsError

VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"


@dataclass(frozen=True)
class VisibleGpus:
    """NVML's handles in the order of their numbers. `given`: the value of CUDA_VISIBLE_DEVICES,
    None if it is not set. `ended`: why its list ends early, or empty."""

    handles: tuple[Any, ...]
    given: str | None = None
    ended: str = ""

    @property
    def description(self) -> str:
        """A part of a message: how many GPUs are visible, and why."""
        if self.given is None:
            return f"this machine has {len(self.handles)}"
        why = f"; {self.ended}" if self.ended else ""
        return f"{VARIABLE} leaves {len(self.handles) or 'none'} (it is '{self.given}'{why})"


def environment_for(uuid: str) -> dict[str, str]:
    """Environment variables with which a process sees only this device."""
    return {VARIABLE: uuid, ORDER: "PCI_BUS_ID"} if uuid else {}


def visible_gpus(nvml: Any, environment: Mapping[str, str]) -> VisibleGpus:
    """The GPUs, and the named MIG slices, that the environment makes visible.

    Raises NVMLError, and SettingsError if an index is ambiguous. `nvml` is pynvml after nvmlInit.
    """
    gpus = _in_bus_order(nvml)
    given = environment.get(VARIABLE)
    if given is None:
        return VisibleGpus(tuple(gpus))
    parts = [part.strip() for part in given.split(",")]
    if any(part.isdecimal() for part in parts):
        _check_order(nvml, gpus, environment)
    found: list[Any] = []
    for part in parts:
        try:
            handle = _resolve_entry(nvml, gpus, part)
        except LookupError as error:
            return VisibleGpus(tuple(found), given, str(error))
        if not any(_is_same_device(nvml, handle, each) for each in found):
            found.append(handle)
    return VisibleGpus(tuple(found), given)


def find_gpu(nvml: Any, which: str, environment: Mapping[str, str]) -> Any:
    """Find the handle of one device: by its number among the visible ones, by its UUID, or the only
    one if `which` is empty. Raises NVMLError and SettingsError."""
    seen = visible_gpus(nvml, environment)
    device = f"device: gpu:{which}" if which else "device: gpu"
    if not which and len(seen.handles) > 1:
        raise SettingsError(
            f"device: gpu does not say which of the {len(seen.handles)} GPUs that are visible here "
            "is meant; a worker owns one GPU: use gpu:0, or gpu:UUID as nvidia-smi -L shows it"
        )
    try:
        if not which or which.isdecimal():
            handle = _numbered(seen.handles, int(which or 0))
        else:
            handle = _by_uuid(nvml, seen.handles, which)
    except LookupError as error:
        raise SettingsError(
            f"{device} is not visible here: {error}; {seen.description}. Name one that "
            f"nvidia-smi -L shows and {VARIABLE} allows; without a GPU, use device: cpu"
        ) from None
    slices = slices_of(nvml, handle)
    if slices is None:
        return handle
    if len(slices) != 1:
        raise SettingsError(
            f"{device} is in MIG mode and has {len(slices)} slices that are visible here; name one "
            "by its UUID, as nvidia-smi -L shows it: gpu:MIG-…"
        )
    return slices[0]


def slices_of(nvml: Any, parent: Any) -> list[Any] | None:
    """The MIG slices of a GPU that are visible here. None if MIG is off or not supported, or if
    `parent` is a slice itself."""
    try:
        if uuid_of(nvml, parent).startswith("MIG-"):
            return None
        if nvml.nvmlDeviceGetMigMode(parent)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return None
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(parent)
    except nvml.NVMLError:
        return None
    found = []
    for index in range(most):
        try:
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, index))
        except nvml.NVMLError:
            continue  # an unused number: slices keep theirs
    return found


def uuid_of(nvml: Any, handle: Any) -> str:
    """`GPU-…` or `MIG-…`. Raises NVMLError."""
    value = nvml.nvmlDeviceGetUUID(handle)
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _in_bus_order(nvml: Any) -> list[Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(at) for at in range(nvml.nvmlDeviceGetCount())]
    try:
        places = [nvml.nvmlDeviceGetPciInfo(handle) for handle in handles]
    except nvml.NVMLError:  # a lost GPU or an old driver; NVML's order is mostly the same
        return handles
    where = [(place.domain, place.bus, place.device) for place in places]
    return [handles[at] for at in sorted(range(len(handles)), key=where.__getitem__)]


def _check_order(nvml: Any, gpus: list[Any], environment: Mapping[str, str]) -> None:
    """Refuse FASTEST_FIRST if the GPUs differ, because only CUDA knows which one is the fastest."""
    if environment.get(ORDER) != "FASTEST_FIRST":
        return
    names = set()
    for gpu in gpus:
        try:
            names.add(str(nvml.nvmlDeviceGetName(gpu)))
        except nvml.NVMLError:
            continue
    if len(names) > 1:
        raise SettingsError(
            f"{ORDER}=FASTEST_FIRST, and the GPUs of this machine are of several kinds: only CUDA "
            f"knows which ones the numbers in {VARIABLE}={environment[VARIABLE]} mean; name them "
            f"by UUID, or set {ORDER}=PCI_BUS_ID"
        )


def _resolve_entry(nvml: Any, gpus: list[Any], part: str) -> Any:
    """The device that one entry of the variable names. Raises LookupError if there is none."""
    if part.isdecimal():
        return _numbered(gpus, int(part))
    if part.startswith(("GPU-", "MIG-")):
        return _by_uuid(nvml, gpus, part)
    raise LookupError(f"{part!r} names no GPU" if part else "an empty entry names no GPU")


def _numbered(handles: list[Any] | tuple[Any, ...], index: int) -> Any:
    if index >= len(handles):
        raise LookupError(f"there is no number {index}")
    return handles[index]


def _by_uuid(nvml: Any, handles: list[Any] | tuple[Any, ...], prefix: str) -> Any:
    """The only one of these devices and their slices whose UUID begins with `prefix`.

    Raises LookupError, or NVMLError if it may be a device that does not answer.
    """
    found, failure = [], None
    for handle in handles:
        for each in (handle, *(slices_of(nvml, handle) or ())):
            try:
                uuid = uuid_of(nvml, each)
            except nvml.NVMLError as error:
                failure = error
                continue
            if uuid == prefix:
                return each
            if uuid.startswith(prefix):
                found.append(each)
    if not found and failure is not None:
        raise failure
    if len(found) != 1:
        count = f"{len(found)} UUIDs begin" if found else "no UUID begins"
        raise LookupError(f"{count} with {prefix}")
    return found[0]


def _is_same_device(nvml: Any, one: Any, other: Any) -> bool:
    try:
        return one is other or uuid_of(nvml, one) == uuid_of(nvml, other)
    except nvml.NVMLError:  # a lost device
        return False
