"""The types of `GET /v1/state` and `PUT /v1/instances`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

DeviceKind = Literal["gpu", "cpu"]
InstanceState = Literal["booting", "idle", "busy", "retiring"]


class _Wire(BaseModel):
    # Unknown fields are ignored, so that an operator can talk to a newer worker and the reverse.
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Memory(_Wire):
    """Memory of the device in bytes: the GPU's, or for a CPU worker its RAM."""

    total: int
    used: int
    free: int


class Device(_Wire):
    """The one device that the worker owns. `memory` is null while it cannot be read."""

    kind: DeviceKind
    name: str
    uuid: str
    memory: Memory | None = None


class Instance(_Wire):
    """One OCR process. `memory` is what it holds now and `peak` the most it held, in bytes."""

    id: str
    pid: int
    state: InstanceState
    age_seconds: float
    busy_seconds: float = Field(description="how long it has been on its page; 0 when idle")
    requests: int = Field(description="pages that it has finished")
    memory: int
    peak: int
    source: str = Field(
        default="none", description="where `memory` is from: rss, engine, nvml, boot"
    )
    stopped: bool = Field(
        default=False, description="whether it stands by SIGSTOP, or under a debugger"
    )


class Instances(_Wire):
    """`target` is what was asked for, `ceiling` what the worker allows itself after it ran out
    of memory; the worker keeps min(target, ceiling)."""

    target: int
    ready: int
    booting: int
    ceiling: int
    each: tuple[Instance, ...] = ()


class Footprint(_Wire):
    """Memory that one instance holds at its peak, in bytes; 0 with source `none` before it was
    measured. `source` says where the figure comes from: the process's resident memory (`rss`), the
    engine's reserved memory and what the context adds (`engine`), NVML's figure for the process
    (`nvml`), or what the device lost while the first instance booted (`boot`)."""

    bytes: int
    source: str


class Queue(_Wire):
    """Requests that wait for an instance. `oldest_seconds` is 0 when none waits."""

    depth: int
    capacity: int
    oldest_seconds: float
    pages: int = Field(default=0, description="pages of them that wait, as far as they are known")


class Counters(_Wire):
    """Since the worker started. They only grow."""

    requests: int = Field(default=0, description="requests accepted")
    answered: int = Field(default=0, description="accepted requests that got their text")
    failed: int = Field(default=0, description="accepted requests that got an error")
    cancelled: int = Field(default=0, description="accepted requests whose client had gone")
    refused: int = Field(default=0, description="requests refused at admission")
    rejected: int = Field(default=0, description="requests refused because the queue was full")
    pages: int = Field(default=0, description="pages read")
    unread: int = Field(default=0, description="pages of documents that could not be read")
    page_seconds: float = Field(default=0.0, description="seconds that instances spent on pages")
    retried: int = Field(default=0, description="pages put back after their instance failed")
    poisoned: int = Field(default=0, description="requests that cost two instances")
    timeouts: int = Field(default=0, description="requests that got no answer in time")
    deaths: int = Field(default=0, description="instances that died or were killed")
    killed: int = Field(default=0, description="instances that a signal from outside ended")
    out_of_memory: int = Field(default=0, description="pages on which memory ran out")
    device_errors: int = Field(default=0, description="pages on which the device failed")
    memory_guard_stops: int = Field(
        default=0, description="instances that the memory guard stopped: memory was critically low"
    )
    recycled: int = Field(default=0, description="instances replaced by rule")
    boots: int = Field(default=0, description="instances that became ready")
    boot_failures: int = Field(default=0, description="instances that failed to boot")


class Problem(_Wire):
    """Why the worker is not as it should be: `reason` is one CamelCase word for machines."""

    reason: str
    message: str


class State(_Wire):
    """The answer to `GET /v1/state`: all that an operator needs to know of a worker."""

    device: Device
    instances: Instances
    footprint: Footprint
    queue: Queue
    unattributed: int | None = Field(
        default=None, description="bytes in use on the device that no instance accounts for"
    )
    counters: Counters
    ready: bool
    draining: bool
    problem: Problem | None = None


class InstancesTarget(_Wire):
    """The body of `PUT /v1/instances`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    target: int = Field(ge=0, strict=True)
