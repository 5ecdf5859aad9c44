"""What one look at a device tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ocrpool.protocol import DeviceKind, Memory, Problem


@dataclass(frozen=True)
class DeviceIdentity:
    """Which device it is. `uuid` is empty for a CPU."""

    kind: DeviceKind
    name: str
    uuid: str = ""


@dataclass(frozen=True)
class DeviceSnapshot:
    """`memory` in bytes; `free` is what is planned with: it is the device's own figure, so
    strangers on the same device are accounted for without being known. `processes`: pid → bytes,
    where the driver tells; inside a container the pids can be the host's, so a missing one says
    nothing. `resident`: the same where the device is the RAM, of the pids that were asked for.
    `problem` is set where the device does not answer, or answers nonsense; `refused` where its
    driver answers with an error."""

    memory: Memory | None = None
    processes: Mapping[int, int] = field(default_factory=dict)
    resident: Mapping[int, int] = field(default_factory=dict)
    problem: Problem | None = None
    refused: bool = False


class DeviceProbe(Protocol):
    """Looks at one device. A look may block: a driver in trouble takes its time."""

    def identity(self) -> DeviceIdentity: ...

    def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
        """`pids`: of the instances, whose memory is wanted at the same moment."""


def checked_snapshot(total: int, free: int, *, where: str) -> DeviceSnapshot:
    """A look with these figures, or with the reason why they cannot be."""
    if total <= 0 or not 0 <= free <= total:
        message = f"{where} reports {free} of {total} bytes free, which cannot be"
        return DeviceSnapshot(problem=Problem(reason="DeviceUnreadable", message=message))
    return DeviceSnapshot(memory=Memory(total=total, used=total - free, free=free))
