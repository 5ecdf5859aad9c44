"""How much device memory an instance holds, from figures of different worth.

On a CPU an instance's own resident memory says it all. On a GPU three figures are at hand: what the
engine has reserved (exact, but without the CUDA context and libraries' own memory), what NVML says
of the process (complete, but in containers often missing), and what the device lost while the
instance booted alone (complete, but a stranger's memory can be in it). The footprint is the largest
of them, and only ratchets up: the next page as large will need it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ocrpool.protocol import Footprint


@dataclass(frozen=True, slots=True)
class InstanceMemory:
    """What is known of one instance, in bytes; None where it cannot be had."""

    rss: int = 0
    rss_peak: int = 0
    reserved: int | None = None
    nvml: int | None = None

    @classmethod
    def of(cls, head: Mapping[str, object], nvml: int | None) -> InstanceMemory:
        """From what an instance said of itself, and what NVML says of its process."""
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
        self._booted_alone = 0

    def booted(self, figures: InstanceMemory, lost: int | None) -> None:
        """An instance is warm. `lost`: what the device lost meanwhile, if it booted alone."""
        if not self._on_gpu:
            return
        whole = max(lost or 0, figures.nvml or 0)
        if figures.reserved is not None and whole > figures.reserved:
            self.overhead = max(self.overhead, whole - figures.reserved)
        if lost is not None and lost > 0:
            self._booted_alone = max(self._booted_alone, lost)
            self._ratchet(lost, "boot")

    def held(self, figures: InstanceMemory) -> tuple[int, str]:
        """(bytes that an instance holds now, source of that figure); ratchets the footprint."""
        held, source = self._held(figures)
        self._ratchet(max(held, figures.rss_peak) if source == "rss" else held, source)
        return held, source

    def seen(self, resident: int) -> None:
        """An instance that is warm held so much RAM in the middle of a page."""
        self._ratchet(resident, "rss")

    def _held(self, figures: InstanceMemory) -> tuple[int, str]:
        if not self._on_gpu and figures.reserved is None:
            return figures.rss, "rss"
        if figures.nvml is not None:
            return max(figures.nvml, figures.reserved or 0), "nvml"
        if figures.reserved is not None:
            return figures.reserved + self.overhead, "engine"
        return self._booted_alone, "boot"

    def _ratchet(self, size: int, source: str) -> None:
        if size > self.current.bytes:
            self.current = Footprint(bytes=size, source=source)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
