"""`status` of an OcrPool: what the operator reports."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ocrpool.resource.base import ApiModel, Instant


class Condition(ApiModel):
    """A condition in the form that Kubernetes uses."""

    type: Literal["Ready", "Progressing", "Degraded"] = Field(description="Type of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    reason: str = Field(description="Reason as one CamelCase word.")
    message: str = Field(default="", description="Reason as a sentence, with what to do.")
    last_transition_time: Instant = Field(description="When `status` last changed.")
    observed_generation: int = Field(
        default=0, description="metadata.generation of the spec that it refers to."
    )


class InstanceCount(ApiModel):
    """Numbers of instances (OCR processes)."""

    target: int = Field(default=0, description="Instances that the operator asked for.")
    ready: int = Field(default=0, description="Instances that are ready for pages.")


class DeviceReport(ApiModel):
    """The device of one worker."""

    name: str = Field(default="", description="Model of the device.")
    uuid: str = Field(default="", description="UUID of the device; empty for a CPU.")


class MemoryReport(ApiModel):
    """Device memory in bytes, rounded."""

    total: int = Field(default=0, description="Total memory.")
    used: int = Field(default=0, description="Memory in use by all processes on the device.")
    free: int = Field(default=0, description="Free memory.")


Phase = Literal["Waiting", "Pending", "Booting", "Ready", "NotReady", "Draining", "Ending"]


class WorkerReport(ApiModel):
    """One worker as it was last observed."""

    name: str = Field(description="Name of the worker's pod.")
    phase: Phase = Field(
        description="Phase of the worker: Waiting for the next pod after failures, Pending, "
        "Booting, Ready, NotReady, Draining or Ending."
    )
    node: str = Field(default="", description="Node that the pod runs on.")
    problem: str = Field(
        default="",
        description="What is wrong with the worker, as `Reason: sentence`. If several workers "
        "have the same problem, the others say `Reason: as NAME`.",
    )
    device: DeviceReport | None = Field(default=None, description="Device of the worker.")
    memory: MemoryReport | None = Field(default=None, description="Memory of the device, rounded.")
    footprint: int = Field(default=0, description="Measured peak memory of one instance, in bytes.")
    instances: InstanceCount = Field(
        default=InstanceCount(), description="Instances of the worker."
    )
    decision: str = Field(
        default="", description="Why the worker has this target, with the numbers compared."
    )
    failures: int = Field(
        default=0, description="How many times in a row the pod was replaced after a failure."
    )
    failed_at: Instant | None = Field(
        default=None, description="When the pod was last replaced after a failure."
    )


class AutoscalingReport(ApiModel):
    """The last decision of the autoscaler."""

    desired: int = Field(default=0, description="Desired number of workers.")
    decision: str = Field(
        default="", description="Why the number last changed, with the numbers compared."
    )
    at_max: bool = Field(
        default=False, description="Whether the load exceeds what maxReplicas workers can handle."
    )
    last_scale_time: Instant | None = Field(
        default=None, description="When the number last changed."
    )


class ProxyReport(ApiModel):
    """The proxy as it was last observed."""

    replicas: int = Field(default=0, description="Existing proxy pods.")
    ready_replicas: int = Field(default=0, description="Proxy pods that accept requests.")


class PoolStatus(ApiModel):
    """Observed state of the pool."""

    observed_generation: int = Field(
        default=0, description="metadata.generation of the spec that this status refers to."
    )
    replicas: int = Field(default=0, description="Existing worker pods.")
    ready_replicas: int = Field(default=0, description="Worker pods that are ready.")
    desired_replicas: int = Field(default=0, description="Desired number of worker pods.")
    autoscaling: AutoscalingReport | None = Field(
        default=None, description="Decision of the autoscaler, if spec.autoscaling is set."
    )
    selector: str = Field(default="", description="Label selector of the worker pods, for an HPA.")
    instances: InstanceCount = Field(
        default=InstanceCount(), description="Instances of all workers together."
    )
    proxy: ProxyReport | None = Field(default=None, description="The proxy, if spec.proxy is set.")
    workers: tuple[WorkerReport, ...] = Field(
        default=(),
        description="All workers, those with a problem first. If there are too many for one "
        "object, the last ones are left out.",
        # Atomic: a map would store the owner of every field of every row in managedFields.
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="The conditions Ready, Progressing and Degraded.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
