"""`spec` of an OcrPool: what a user asks for. Every field has a description and a default.

Sections that the worker's settings file also has are declared in `ocrpool.protocol.settings`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ocrpool.protocol.settings import (
    MAX_INSTANCES,
    AdmissionFields,
    EngineFields,
    FreeForm,
    GraceSeconds,
    LameDuckSeconds,
    MemoryFields,
    Quantity,
    QuantityOrAuto,
    RecycleFields,
)
from ocrpool.resource.base import ApiModel, FreeFormList, Strings, cel_rule, cel_rules
from ocrpool.resource.names import LABEL_PREFIX, OPERATOR, SAFE_TO_EVICT

MODELS_DIR = "/models"
# One DNS answer over UDP has room for this many addresses, with some to spare.
MAX_PROXY_WORKERS = 200


def _at_least_one(value: int) -> int:
    if value < 1:
        raise ValueError(MIN_REPLICAS_RULE)
    return value


def _no_reserved_labels(labels: dict[str, str]) -> dict[str, str]:
    if any(key.startswith(LABEL_PREFIX) for key in labels):
        raise ValueError(RESERVED_LABELS_RULE)
    return labels


RESERVED_LABELS_RULE = (
    f"labels that begin with {LABEL_PREFIX} are reserved for the operator, which finds the pods "
    "of a pool by them: choose another prefix"
)
MAX_LABELS = 64
PodLabels = Annotated[
    Strings,
    AfterValidator(_no_reserved_labels),
    Field(
        max_length=MAX_LABELS,
        json_schema_extra={
            "maxProperties": MAX_LABELS,
            **cel_rule(f"self.all(key, !key.startsWith('{LABEL_PREFIX}'))", RESERVED_LABELS_RULE),
        },
    ),
]
OPERATOR_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
OPERATOR_LENGTH = 40
MIN_REPLICAS_RULE = (
    "autoscaling.minReplicas must be at least 1: requests are counted by workers, so without a "
    "worker nothing would scale the pool up again. To run no worker, remove autoscaling and set "
    "replicas: 0"
)


class Autoscaling(ApiModel):
    """The operator adapts the number of workers to the load."""

    model_config = cel_rules(
        (
            "self.minReplicas <= self.maxReplicas",
            "autoscaling.minReplicas must not be above autoscaling.maxReplicas",
        )
    )
    min_replicas: Annotated[int, AfterValidator(_at_least_one)] = Field(
        default=1,
        le=1000,
        description="Fewest workers, at least 1.",
        json_schema_extra=cel_rule("self >= 1", MIN_REPLICAS_RULE),
    )
    max_replicas: int = Field(default=8, ge=1, le=1000, description="Most workers.")
    target_queue_seconds: float = Field(
        default=2,
        gt=0,
        le=3600,
        description="Target for the p95 queue wait of a page, in seconds. The time to read the "
        "page is not part of it.",
    )
    scale_up_stabilization_seconds: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="Scale up only after more workers were needed for this many seconds without "
        "interruption.",
    )
    scale_down_stabilization_seconds: float = Field(
        default=300,
        ge=0,
        le=3600,
        description="Scale down only after fewer workers were sufficient for this many seconds "
        "without interruption.",
    )


class DisruptionSpec(ApiModel):
    """Pod annotations that tell cluster-autoscaler and Karpenter which nodes they may remove."""

    annotate: bool = Field(
        default=True,
        description="Annotate the worker pods. A worker that starts, drains or had a request "
        "within restSeconds is marked as not evictable, an idle worker as evictable. New pods "
        "get no such annotation if this is false, or if template.annotations sets "
        "cluster-autoscaler.kubernetes.io/safe-to-evict.",
    )
    rest_seconds: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="A worker becomes evictable after this many seconds without a request.",
    )


class InstanceRange(ApiModel):
    """How many instances (OCR processes) one worker may run."""

    model_config = cel_rules(
        ("self.min <= self.max", "instances.min must not be above instances.max"),
    )
    min: int = Field(
        default=1,
        ge=1,
        le=MAX_INSTANCES,
        description="Fewest instances per worker. A worker starts with one, whose memory is "
        "measured. Up to this number, instances may use memory.reserve, but only memory that is "
        "free.",
    )
    max: int = Field(
        default=8,
        ge=1,
        le=MAX_INSTANCES,
        description="Most instances per worker. Fewer run if the device's memory does not hold "
        "them.",
    )


class MemorySpec(ApiModel, MemoryFields[Quantity, QuantityOrAuto]):
    """Device memory: the GPU's, or the container's RAM with device `cpu`."""


class EngineSpec(ApiModel, EngineFields):
    """Which OCR engine the instances run."""


class ModelClaim(ApiModel):
    """A PersistentVolumeClaim with staged model files. It is mounted read-only."""

    name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of the PersistentVolumeClaim, in the pool's namespace.",
    )
    sub_path: str = Field(default="", description="Folder inside the volume.")


class ModelsSpec(ApiModel):
    """Where the staged model files come from. A worker downloads nothing."""

    model_config = cel_rules(
        (
            "!(has(self.claim) && has(self.hostPath))",
            "models.claim and models.hostPath exclude each other: set one of them",
        )
    )
    dir: str | None = Field(
        default=None,
        pattern=r"^/.+",
        description="Folder of the staged models in the container: in the image, or where claim "
        "or hostPath is mounted. Default: /models with engine `paddleocr`, claim or hostPath; "
        "otherwise no folder.",
    )
    claim: ModelClaim | None = Field(
        default=None, description="Mount the models from this PersistentVolumeClaim."
    )
    host_path: str | None = Field(
        default=None, pattern=r"^/.+", description="Mount the models from this folder of the node."
    )


class AdmissionSpec(ApiModel, AdmissionFields):
    """Limits of requests: sizes, which are checked before any pixel is decoded, and times."""


class RecycleSpec(ApiModel, RecycleFields):
    """When a working instance is replaced by a new one."""


class ProxySpec(ApiModel):
    """A proxy (HAProxy) in front of the workers. It sends each request to the worker with the
    fewest requests in progress, and retries on another worker when one fails. `proxy: {}` sets it
    up with defaults."""

    replicas: int = Field(
        default=2,
        ge=1,
        le=20,
        description="Proxy pods. Each pod counts only the requests that it has sent itself.",
    )
    image: str = Field(
        default="haproxy:2.8",
        min_length=1,
        max_length=1000,
        description="Image with HAProxy 2.6 or newer, such as the official one.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the image is pulled."
    )
    image_pull_secrets: FreeFormList = Field(
        default=(), description="Secrets for pulling the image."
    )
    buffer: str = Field(
        default="4Mi",
        pattern=r"^([1-9]|[1-5][0-9]|6[0-4])Mi$",
        description="Request buffer, from 1Mi to 64Mi. A request up to this size is received "
        "completely before it is sent to a worker, and can be retried on another one. A larger "
        "request is streamed and cannot be retried.",
    )
    max_requests: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Most requests that one proxy pod holds at once; further ones are answered "
        "429. Each may use up to twice `buffer` of the pod's memory.",
    )
    resources: FreeForm = Field(
        default_factory=dict,
        description="Resource requests and limits of the container. Without a memory limit, the "
        "operator sets one that is sufficient for `maxRequests` full buffers.",
    )
    labels: PodLabels = Field(default_factory=dict, description="Additional labels of the pods.")
    annotations: Strings = Field(
        default_factory=dict, description="Additional annotations of the pods."
    )
    node_selector: Strings = Field(
        default_factory=dict, description="Labels that a node must have to run the pods."
    )
    tolerations: FreeFormList = Field(default=(), description="Taints that the pods tolerate.")
    affinity: FreeForm = Field(
        default_factory=dict,
        description="Affinity of the pods. Default: they prefer different nodes.",
    )
    priority_class_name: str | None = Field(default=None, description="PriorityClass of the pods.")


class TemplateSpec(ApiModel):
    """Settings of the worker pods. The operator sets everything that is not listed here."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Image of the worker. Default: the one of the operator's own release; an "
        "upgrade of the operator then replaces the workers, one at a time.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the image is pulled."
    )
    image_pull_secrets: FreeFormList = Field(
        default=(), description="Secrets for pulling the image."
    )
    labels: PodLabels = Field(default_factory=dict, description="Additional labels of the pods.")
    annotations: Strings = Field(
        default_factory=dict, description="Additional annotations of the pods."
    )
    node_selector: Strings = Field(
        default_factory=dict, description="Labels that a node must have to run the pods."
    )
    tolerations: FreeFormList = Field(default=(), description="Taints that the pods tolerate.")
    affinity: FreeForm = Field(default_factory=dict, description="Affinity of the pods.")
    priority_class_name: str | None = Field(default=None, description="PriorityClass of the pods.")
    runtime_class_name: str | None = Field(default=None, description="RuntimeClass of the pods.")
    service_account_name: str | None = Field(
        default=None, description="ServiceAccount of the pods. Its token is not mounted."
    )
    resources: FreeForm = Field(
        default_factory=dict,
        description="Resource requests and limits of the container. The operator adds the device.",
    )
    env: FreeFormList = Field(
        default=(), description="Additional environment variables of the container."
    )
    lame_duck_seconds: LameDuckSeconds = 3
    grace_seconds: GraceSeconds = 25


class PoolSpec(ApiModel):
    """A pool of workers. Each worker owns one device."""

    model_config = cel_rules(
        (
            "!(has(self.replicas) && has(self.autoscaling))",
            "replicas and autoscaling exclude each other: set one of them",
        ),
        (
            "self.device == 'gpu' || self.resourceName == 'nvidia.com/gpu'",
            "resourceName is for device gpu: remove it, or set device: gpu",
        ),
        (
            f"!has(self.proxy) || !has(self.replicas) || self.replicas <= {MAX_PROXY_WORKERS}",
            f"a proxy serves at most {MAX_PROXY_WORKERS} workers: lower replicas, split the pool, "
            "or remove proxy",
        ),
        (
            "!has(self.proxy) || !has(self.autoscaling) || "
            f"self.autoscaling.maxReplicas <= {MAX_PROXY_WORKERS}",
            f"a proxy serves at most {MAX_PROXY_WORKERS} workers: lower autoscaling.maxReplicas, "
            "split the pool, or remove proxy",
        ),
    )
    operator_name: str = Field(
        default=OPERATOR,
        max_length=OPERATOR_LENGTH,
        pattern=OPERATOR_PATTERN,
        description="Name of the operator that manages this pool (`ocrpool-operator run "
        "--operator-name`). Operators with another name ignore it. Changing the name hands the "
        "pool over.",
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Number of workers, one device each. 1 if neither this nor autoscaling is set. "
        "Set it if you scale with an HPA or `kubectl scale`.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Let the operator choose the number of workers. Excludes replicas.",
    )
    scale_down_stabilization_seconds: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="With replicas: scale down to the highest value that replicas had within this "
        "many seconds. A short decrease then removes no worker. 0 scales down at once.",
    )
    disruption: DisruptionSpec = Field(
        default=DisruptionSpec(), description="Annotations for cluster autoscalers."
    )
    device: Literal["gpu", "cpu"] = Field(
        default="gpu",
        description="Device of a worker: one GPU (or MIG slice), or the container's CPUs. "
        "Immutable: to change it, make another pool.",
        json_schema_extra=cel_rule(
            "self == oldSelf", "device cannot be changed: make another pool with the other device"
        ),
    )
    resource_name: str = Field(
        default="nvidia.com/gpu",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        max_length=253,
        description="Extended resource of which each worker requests one unit, such as "
        "nvidia.com/mig-1g.10gb.",
    )
    instances: InstanceRange = Field(
        default=InstanceRange(), description="Instances (OCR processes) per worker."
    )
    memory: MemorySpec = Field(default=MemorySpec(), description="How device memory is planned.")
    engine: EngineSpec = Field(default=EngineSpec(), description="OCR engine.")
    models: ModelsSpec = Field(
        default=ModelsSpec(), description="Where the staged model files come from."
    )
    admission: AdmissionSpec = Field(
        default=AdmissionSpec(), description="Which requests are accepted."
    )
    recycle: RecycleSpec = Field(
        default=RecycleSpec(), description="When working instances are replaced by new ones."
    )
    template: TemplateSpec = Field(
        default=TemplateSpec(), description="Settings of the worker pods."
    )
    proxy: ProxySpec | None = Field(
        default=None,
        description="Proxy in front of the workers that balances by requests in progress and "
        "retries. Without it, the Service picks a worker at random.",
    )

    def with_image(self, image: str) -> PoolSpec:
        """Return the spec with this image, unless it names one itself."""
        if self.template.image is not None:
            return self
        return self.model_copy(
            update={"template": self.template.model_copy(update={"image": image})}
        )

    @property
    def annotates_evictable(self) -> bool:
        """Whether the operator writes the pods' annotations for cluster autoscalers."""
        return self.disruption.annotate and SAFE_TO_EVICT not in self.template.annotations

    @property
    def models_dir(self) -> str | None:
        """Folder of the models in the container, or None for an engine without models."""
        mounted = self.models.claim is not None or self.models.host_path is not None
        if self.models.dir is None and (mounted or self.engine.name == "paddleocr"):
            return MODELS_DIR
        return self.models.dir
