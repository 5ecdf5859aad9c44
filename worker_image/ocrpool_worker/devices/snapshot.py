"""The result of observing a device once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ocrpool.protocol import DeviceKind, Memory, Problem


@dataclass(frozen=True)
class DeviceIdentity:
    """The name of a device. `uuid` is empty for a CPU."""

    kind: DeviceKind
    name: str
    uuid: str = ""


@dataclass(frozen=True)
class DeviceSnapshot:
    """The state of a device at one moment.

    `memory`: in bytes. Planning uses `free`, which the device reports itself, so it includes other
    processes on the device. `processes`: pid → bytes, if the driver reports it. Inside a container
    the pids can be the host's, so a missing pid means nothing. `resident`: pid → bytes of the
    requested pids, if the device is the RAM. `problem`: set if the device does not answer, or gives
    impossible figures. `refused`: the driver answered with an error.
    """

    memory: Memory | None = None
    processes: Mapping[int, int] = field(default_factory=dict)
    resident: Mapping[int, int] = field(default_factory=dict)
    problem: Problem | None = None
    refused: bool = False


class DeviceProbe(Protocol):
    """Observes one device. `observe` may block for long, because a failing driver is slow."""

    def identity(self) -> DeviceIdentity: ...

    def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
        """Observe the device now. `pids`: the instances whose memory is also needed."""


def checked_snapshot(total: int, free: int, *, where: str) -> DeviceSnapshot:
    """A snapshot with these figures, or with a problem if they are impossible."""
    if total <= 0 or not 0 <= free <= total:
        message = f"{where} reports {free} of {total} bytes free, which is impossible"
        return DeviceSnapshot(problem=Problem(reason="DeviceUnreadable", message=message))
    return DeviceSnapshot(memory=Memory(total=total, used=total - free, free=free))
