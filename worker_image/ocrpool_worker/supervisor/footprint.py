"""How much device memory an instance holds, from measurements of different quality.

On a CPU, an instance's resident memory is the whole answer. On a GPU there are three figures:
- what the engine has reserved: exact, but without the CUDA context and the libraries' own memory,
- what NVML reports for the process: complete, but often missing in containers,
- what the device lost while the instance started alone: complete, but it can contain memory of
  other processes.
The footprint is the largest of them and never falls: the next page as large needs it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ocrpool.protocol import Footprint


@dataclass(frozen=True, slots=True)
class InstanceMemory:
    """What was measured of one instance, in bytes. None where there is no figure."""

    rss: int = 0
    rss_peak: int = 0
    reserved: int | None = None
    nvml: int | None = None

    @classmethod
    def from_frame(cls, head: Mapping[str, object], nvml: int | None) -> InstanceMemory:
        """From the head of an instance's frame, and NVML's figure for its process."""
        device = head.get("device")
        return cls(
            rss=_count(head.get("rss")),
            rss_peak=_count(head.get("rssPeak")),
            reserved=device if isinstance(device, int) else None,
            nvml=nvml,
        )


class FootprintEstimator:
    """The footprint of a worker's instances. `on_gpu` decides which figures count."""

    def __init__(self, *, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self.current = Footprint(bytes=0, source="none")
        # What an instance holds beyond its engine's reserved memory: context and libraries.
        self.overhead = 0
        self._lost_at_startup = 0

    def record_startup(self, measured: InstanceMemory, lost: int | None) -> None:
        """An instance is warm. `lost`: what the device lost meanwhile, if it started alone."""
        if not self._on_gpu:
            return
        whole = max(lost or 0, measured.nvml or 0)
        if measured.reserved is not None and whole > measured.reserved:
            self.overhead = max(self.overhead, whole - measured.reserved)
        if lost is not None and lost > 0:
            self._lost_at_startup = max(self._lost_at_startup, lost)
            self._ratchet(lost, "boot")

    def record_held(self, measured: InstanceMemory) -> tuple[int, str]:
        """(bytes that an instance holds now, source of the figure). Raises the footprint."""
        held, source = self._held(measured)
        self._ratchet(max(held, measured.rss_peak) if source == "rss" else held, source)
        return held, source

    def record_resident(self, resident: int) -> None:
        """A warm instance held so much RAM in the middle of a page."""
        self._ratchet(resident, "rss")

    def _held(self, measured: InstanceMemory) -> tuple[int, str]:
        if not self._on_gpu and measured.reserved is None:
            return measured.rss, "rss"
        if measured.nvml is not None:
            return max(measured.nvml, measured.reserved or 0), "nvml"
        if measured.reserved is not None:
            return measured.reserved + self.overhead, "engine"
        return self._lost_at_startup, "boot"

    def _ratchet(self, size: int, source: str) -> None:
        if size > self.current.bytes:
            self.current = Footprint(bytes=size, source=source)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
