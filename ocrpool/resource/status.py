"""What the operator reports: `status` of an OcrPool."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ocrpool.resource.base import ApiModel, Instant


class Condition(ApiModel):
    """One statement about the pool, in the form of Kubernetes' own conditions."""

    type: Literal["Ready", "Progressing", "Degraded"] = Field(description="What it is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="Why, as one CamelCase word.")
    message: str = Field(default="", description="Why, and what to do, as a sentence.")
    last_transition_time: Instant = Field(description="When `status` last changed.")
    observed_generation: int = Field(default=0, description="The spec that it speaks of.")


class InstanceCount(ApiModel):
    """OCR processes."""

    target: int = Field(default=0, description="Instances asked for.")
    ready: int = Field(default=0, description="Instances that read pages.")


class DeviceReport(ApiModel):
    """The device of one worker."""

    name: str = Field(default="", description="Model of the device.")
    uuid: str = Field(default="", description="Its identity, empty for a CPU.")


class MemoryReport(ApiModel):
    """Memory of the device in bytes, rounded."""

    total: int = Field(default=0, description="All of it.")
    used: int = Field(default=0, description="Used by anybody.")
    free: int = Field(default=0, description="Free.")


Phase = Literal["Waiting", "Pending", "Booting", "Ready", "NotReady", "Draining", "Ending"]


class WorkerReport(ApiModel):
    """One worker as it was last seen."""

    name: str = Field(description="Its pod.")
    phase: Phase = Field(description="Where it is in its life.")
    node: str = Field(default="", description="The node that it runs on.")
    problem: str = Field(
        default="",
        description="Why it is not ready: `Reason: sentence`; `Reason: as NAME` where another "
        "worker says the sentence.",
    )
    device: DeviceReport | None = Field(default=None, description="The device that it owns.")
    memory: MemoryReport | None = Field(default=None, description="The device's memory, rounded.")
    footprint: int = Field(default=0, description="Bytes that one instance holds at its peak.")
    instances: InstanceCount = Field(default=InstanceCount(), description="Its instances.")
    decision: str = Field(default="", description="Why it has this target, with its numbers.")
    failures: int = Field(
        default=0, description="Times in a row that its pod was replaced because it failed."
    )
    failed_at: Instant | None = Field(default=None, description="When that happened last.")


class AutoscalingReport(ApiModel):
    """What autoscaling decided, and why."""

    desired: int = Field(default=0, description="Workers there shall be.")
    decision: str = Field(
        default="", description="Why the number last changed, with its own numbers."
    )
    at_max: bool = Field(
        default=False, description="More work comes in than maxReplicas workers carry."
    )
    last_scale_time: Instant | None = Field(
        default=None, description="When the number last changed."
    )


class ProxyReport(ApiModel):
    """The proxy as it was last seen."""

    replicas: int = Field(default=0, description="Pods there are.")
    ready_replicas: int = Field(default=0, description="Pods that take requests.")


class PoolStatus(ApiModel):
    """What the operator saw when it last looked."""

    observed_generation: int = Field(default=0, description="The spec that this speaks of.")
    replicas: int = Field(default=0, description="Worker pods there are.")
    ready_replicas: int = Field(default=0, description="Worker pods that serve.")
    desired_replicas: int = Field(default=0, description="Worker pods there shall be.")
    autoscaling: AutoscalingReport | None = Field(
        default=None, description="Where spec.autoscaling is set."
    )
    selector: str = Field(default="", description="Label selector of the pods, for an HPA.")
    instances: InstanceCount = Field(default=InstanceCount(), description="Of all workers.")
    proxy: ProxyReport | None = Field(
        default=None, description="The proxy, where spec.proxy asks for one."
    )
    workers: tuple[WorkerReport, ...] = Field(
        default=(),
        description="Every worker, those in trouble first; where there are too many for one "
        "object, as many as it holds.",
        # Not a map: the owner of every field of every row would be kept with the object.
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready, Progressing, Degraded.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
