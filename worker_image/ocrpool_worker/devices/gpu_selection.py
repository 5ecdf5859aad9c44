"""Which GPUs and MIG slices this process may use, and which of them a setting means.

A scheduler gives a job its GPUs by CUDA_VISIBLE_DEVICES, so GPU 0 is the first of those, as it is
for CUDA. An entry is an index, or the beginning of a UUID that only one device has; the first one
that means nothing ends the list (CUDA's documentation). Indices count in the order of the PCI bus,
as nvidia-smi and schedulers do. CUDA counts so only with CUDA_DEVICE_ORDER=PCI_BUS_ID, and else
puts the fastest first; so what was found is handed on by its UUID, which means the same to all.
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
    """NVML's handles, in the order in which they are counted, and what decided that. `given`: the
    variable, None where it is not set; `ended`: why its list ends early, or empty."""

    handles: tuple[Any, ...]
    given: str | None = None
    ended: str = ""

    @property
    def description(self) -> str:
        """For a message: where these come from."""
        if self.given is None:
            return f"this machine has {len(self.handles)}"
        why = f"; {self.ended}" if self.ended else ""
        return f"{VARIABLE} leaves {len(self.handles) or 'none'} (it is '{self.given}'{why})"


def environment_for(uuid: str) -> dict[str, str]:
    """What makes a process see this device alone, whatever order CUDA would count in."""
    return {VARIABLE: uuid, ORDER: "PCI_BUS_ID"} if uuid else {}


def visible_gpus(nvml: Any, environment: Mapping[str, str]) -> VisibleGpus:
    """The GPUs, and the slices that are named, which the environment leaves. Raises NVMLError, and
    SettingsError where an index cannot be understood. `nvml` is pynvml after nvmlInit."""
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
    """The handle of one device: by its number among the visible ones, by its UUID, or the only one
    where `which` is empty. Raises NVMLError, and SettingsError in one line."""
    seen = visible_gpus(nvml, environment)
    device = f"device: gpu:{which}" if which else "device: gpu"
    if not which and len(seen.handles) > 1:
        raise SettingsError(
            f"device: gpu names none of the {len(seen.handles)} GPUs that are visible here; one "
            "worker owns one: use gpu:0, or gpu:UUID as nvidia-smi -L shows it"
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
    """The MIG slices of a GPU that are visible here; None where MIG is off or unknown to it, and
    of a slice."""
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
            continue  # a gap: slices keep their numbers
    return found


def uuid_of(nvml: Any, handle: Any) -> str:
    """`GPU-…` or `MIG-…`. Raises NVMLError."""
    value = nvml.nvmlDeviceGetUUID(handle)
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _in_bus_order(nvml: Any) -> list[Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(at) for at in range(nvml.nvmlDeviceGetCount())]
    try:
        places = [nvml.nvmlDeviceGetPciInfo(handle) for handle in handles]
    except nvml.NVMLError:  # a lost GPU, an old driver: its own order is mostly the same
        return handles
    where = [(place.domain, place.bus, place.device) for place in places]
    return [handles[at] for at in sorted(range(len(handles)), key=where.__getitem__)]


def _check_order(nvml: Any, gpus: list[Any], environment: Mapping[str, str]) -> None:
    """Which card is the fastest only CUDA knows. Where all are alike it does not matter."""
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
            f"{ORDER}=FASTEST_FIRST, and the GPUs of this machine are of several kinds: which "
            f"ones the numbers in {VARIABLE}={environment[VARIABLE]} mean cannot be known without "
            f"CUDA; name them by UUID, or set {ORDER}=PCI_BUS_ID"
        )


def _resolve_entry(nvml: Any, gpus: list[Any], part: str) -> Any:
    """What one entry of the variable means. Raises LookupError where that is nothing."""
    if part.isdecimal():
        return _numbered(gpus, int(part))
    if part.startswith(("GPU-", "MIG-")):
        return _by_uuid(nvml, gpus, part)
    raise LookupError(f"{part!r} names no GPU" if part else "an empty entry names no GPU")


def _numbered(handles: list[Any] | tuple[Any, ...], index: int) -> Any:
    if index >= len(handles):
        raise LookupError(f"there is no number {index}")
    return handles[index]


def _by_uuid(nvml: Any, handles: list[Any] | tuple[Any, ...], wanted: str) -> Any:
    """The only one of these devices, or of their slices, whose UUID begins so. Raises LookupError;
    NVMLError where a device that does not answer may be the one."""
    found, failure = [], None
    for handle in handles:
        for each in (handle, *(slices_of(nvml, handle) or ())):
            try:
                uuid = uuid_of(nvml, each)
            except nvml.NVMLError as error:
                failure = error
                continue
            if uuid == wanted:
                return each
            if uuid.startswith(wanted):
                found.append(each)
    if not found and failure is not None:
        raise failure
    if len(found) != 1:
        count = f"{len(found)} UUIDs begin" if found else "no UUID begins"
        raise LookupError(f"{count} with {wanted}")
    return found[0]


def _is_same_device(nvml: Any, one: Any, other: Any) -> bool:
    try:
        return one is other or uuid_of(nvml, one) == uuid_of(nvml, other)
    except nvml.NVMLError:  # one that is lost
        return False
