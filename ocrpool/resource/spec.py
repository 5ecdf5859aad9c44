"""What a user asks for: `spec` of an OcrPool. Every field has a description and a default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ocrpool.resource.base import (
    ApiModel,
    FreeForm,
    FreeFormList,
    Quantity,
    QuantityOrAuto,
    Strings,
    cel_rule,
    cel_rules,
)
from ocrpool.resource.names import LABEL_PREFIX, OPERATOR, SAFE_TO_EVICT

MODELS_DIR = "/models"
# As many addresses as one answer of the cluster's DNS over UDP holds with room to spare.
PROXY_WORKERS = 200


def _not_zero(value: int) -> int:
    if value < 1:
        raise ValueError(NO_ZERO)
    return value


def _not_ours(labels: dict[str, str]) -> dict[str, str]:
    if any(key.startswith(LABEL_PREFIX) for key in labels):
        raise ValueError(RESERVED)
    return labels


RESERVED = (
    f"labels that begin with {LABEL_PREFIX} say which pool a pod belongs to, and are the "
    "operator's: use labels of your own"
)
MOST_LABELS = 64
PodLabels = Annotated[
    Strings,
    AfterValidator(_not_ours),
    Field(
        max_length=MOST_LABELS,
        json_schema_extra={
            "maxProperties": MOST_LABELS,
            **cel_rule(f"self.all(key, !key.startsWith('{LABEL_PREFIX}'))", RESERVED),
        },
    ),
]
OPERATOR_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
OPERATOR_LENGTH = 40
NO_ZERO = (
    "autoscaling.minReplicas must be at least 1: without a worker nobody counts the requests that "
    "would bring one back. For none at all set replicas: 0 instead, by hand or by KEDA"
)


class Autoscaling(ApiModel):
    """The number of workers follows the work."""

    model_config = cel_rules(
        (
            "self.minReplicas <= self.maxReplicas",
            "autoscaling.minReplicas must not be above autoscaling.maxReplicas",
        )
    )
    min_replicas: Annotated[int, AfterValidator(_not_zero)] = Field(
        default=1,
        le=1000,
        description="Fewest workers, at least 1.",
        json_schema_extra=cel_rule("self >= 1", NO_ZERO),
    )
    max_replicas: int = Field(default=8, ge=1, le=1000, description="Most workers.")
    target_queue_seconds: float = Field(
        default=2,
        gt=0,
        le=3600,
        description="Seconds that 95 of 100 pages shall wait at most. What a page itself takes "
        "does not count.",
    )
    scale_up_stabilization_seconds: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="More workers must have been needed for so long before they are asked for.",
    )
    scale_down_stabilization_seconds: float = Field(
        default=300,
        ge=0,
        le=3600,
        description="Fewer workers must have been enough for so long before one is given back.",
    )


class DisruptionSpec(ApiModel):
    """What the pods tell cluster-autoscaler and Karpenter about their nodes."""

    annotate: bool = Field(
        default=True,
        description="Annotate the pods: a worker that has work, boots or drains keeps its node, "
        "one that rests may lose it. New pods get none where this is false, and none is touched "
        "where template.annotations has its own.",
    )
    rest_seconds: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="A worker without a request for so long rests.",
    )


class InstanceRange(ApiModel):
    """How many OCR processes one worker may hold."""

    model_config = cel_rules(
        ("self.min <= self.max", "instances.min must not be above instances.max"),
    )
    min: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Fewest instances of one worker. It starts with one, whose memory is measured; "
        "the others may use the reserve, too, but no memory that is not there.",
    )
    max: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Most instances of one worker, where its device's memory has room for them.",
    )


class MemorySpec(ApiModel):
    """The device's memory: the GPU's, or for device `cpu` the container's RAM."""

    reserve: Quantity = Field(
        default="1Gi", description="Memory of each device that is never planned for, e.g. 1Gi."
    )
    per_instance: QuantityOrAuto = Field(
        default="auto",
        description="Memory of one instance: `auto` measures it; a quantity such as 1500Mi is also "
        "enforced, and an instance that holds more is replaced.",
    )


class EngineSpec(ApiModel):
    """Which OCR engine the instances run."""

    name: str = Field(
        default="paddleocr",
        min_length=1,
        max_length=200,
        description="Engine: `paddleocr`, `noop`, or `module:attribute` found in the image.",
    )
    options: FreeForm = Field(
        default_factory=dict,
        description="Passed to the engine as they are: PaddleOCR(**options), e.g. {lang: ch}.",
    )
    max_regions: int = Field(
        default=5000,
        ge=1,
        le=20_000,
        description="Most pieces of text that are read on one page, those highest on it.",
    )


class ModelClaim(ApiModel):
    """A volume claim with staged model files; it is mounted read-only."""

    name: str = Field(
        min_length=1, max_length=253, description="PersistentVolumeClaim in the pool's namespace."
    )
    sub_path: str = Field(default="", description="Folder inside the volume.")


class ModelsSpec(ApiModel):
    """Where the staged model files come from. Nothing is downloaded when a worker boots."""

    model_config = cel_rules(
        (
            "!(has(self.claim) && has(self.hostPath))",
            "models.claim and models.hostPath exclude each other",
        )
    )
    dir: str | None = Field(
        default=None,
        pattern=r"^/.+",
        description="Folder in the container with the staged models: in the image, or where the "
        "claim or hostPath is mounted. /models for engine paddleocr and where one of them is set; "
        "without it, an engine that needs no models gets none.",
    )
    claim: ModelClaim | None = Field(
        default=None, description="Mount the models from this PersistentVolumeClaim."
    )
    host_path: str | None = Field(
        default=None,
        pattern=r"^/.+",
        description="Mount the models from this folder of the node.",
    )


class AdmissionSpec(ApiModel):
    """What a request must satisfy before any pixel is decoded."""

    max_megapixels: float = Field(
        default=16,
        gt=0,
        le=300,
        description="Largest page in millions of pixels. An instance's memory follows it.",
    )
    max_pages: int = Field(default=200, ge=1, le=100_000, description="Most pages of a document.")
    queue: int = Field(
        default=64, ge=0, le=100_000, description="Most requests that wait in one worker."
    )
    timeout_seconds: float = Field(
        default=60,
        gt=0,
        le=3600,
        description="Longest time without an answer, a page of it, or a word that a page comes on.",
    )
    page_seconds: float = Field(
        default=600,
        gt=0,
        le=3600,
        description="Longest time that one page may take while it comes on; `timeoutSeconds` where "
        "that is more.",
    )

    @property
    def page_limit(self) -> float:
        """Seconds that one page may take, once an instance is on it."""
        return max(self.page_seconds, self.timeout_seconds)


class RecycleSpec(ApiModel):
    """When an instance is replaced although it works."""

    after_requests: int = Field(default=0, ge=0, description="Pages of one instance; 0 = never.")
    memory_growth: float = Field(
        default=1.5,
        ge=0,
        description="Times the memory that it held when warm; 0 = never.",
        json_schema_extra=cel_rule(
            "self == 0.0 || self > 1.0", "recycle.memoryGrowth must be above 1, or 0 for never"
        ),
    )


class ProxySpec(ApiModel):
    """A proxy (HAProxy) before the workers. It sends each request to the worker that has the
    fewest, and sends it again when a worker dies. `proxy: {}` is one with the defaults."""

    replicas: int = Field(
        default=2,
        ge=1,
        le=20,
        description="Pods of the proxy. Each counts only what it has sent itself.",
    )
    image: str = Field(
        default="haproxy:2.8",
        min_length=1,
        max_length=1000,
        description="An image with HAProxy 2.6 or newer, such as the official one.",
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
        description="From 1Mi to 64Mi. A request up to this size is received whole before a worker "
        "is bothered, and can be sent again to another one. What is larger is passed on as it "
        "comes.",
    )
    max_requests: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Most requests that one pod of the proxy holds; more are answered 429. Its "
        "memory follows: twice `buffer` for each at worst.",
    )
    resources: FreeForm = Field(
        default_factory=dict,
        description="Requests and limits of the container. Without a memory limit the one that "
        "`buffer` and `maxRequests` ask for at worst is set.",
    )
    labels: PodLabels = Field(default_factory=dict, description="More labels of the pods.")
    annotations: Strings = Field(default_factory=dict, description="More annotations of the pods.")
    node_selector: Strings = Field(
        default_factory=dict, description="Labels that a node must have."
    )
    tolerations: FreeFormList = Field(default=(), description="Taints that the pods tolerate.")
    affinity: FreeForm = Field(
        default_factory=dict,
        description="Affinity of the pods. Without it they prefer different nodes.",
    )
    priority_class_name: str | None = Field(default=None, description="PriorityClass of the pods.")


class TemplateSpec(ApiModel):
    """How the worker pods look. What is not listed here, the operator decides."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Image of the worker. Without it: the one of the operator's own release, so "
        "that upgrading the operator rolls the workers, too, one at a time.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the image is pulled."
    )
    image_pull_secrets: FreeFormList = Field(
        default=(), description="Secrets for pulling the image."
    )
    labels: PodLabels = Field(default_factory=dict, description="More labels of the pods.")
    annotations: Strings = Field(default_factory=dict, description="More annotations of the pods.")
    node_selector: Strings = Field(
        default_factory=dict, description="Labels that a node must have."
    )
    tolerations: FreeFormList = Field(default=(), description="Taints that the pods tolerate.")
    affinity: FreeForm = Field(default_factory=dict, description="Affinity of the pods.")
    priority_class_name: str | None = Field(default=None, description="PriorityClass of the pods.")
    runtime_class_name: str | None = Field(default=None, description="RuntimeClass of the pods.")
    service_account_name: str | None = Field(
        default=None, description="ServiceAccount of the pods; no token of it is mounted."
    )
    resources: FreeForm = Field(
        default_factory=dict,
        description="Requests and limits of the container. The device is added by the operator.",
    )
    env: FreeFormList = Field(
        default=(), description="More environment variables of the container."
    )
    lame_duck_seconds: float = Field(
        default=3,
        ge=0,
        le=300,
        description="Time in which a pod that was told to end is not ready any more and still "
        "takes requests, until the cluster sends it none. 0 refuses them at once.",
    )
    grace_seconds: float = Field(
        default=25,
        ge=0,
        le=3600,
        description="Time for accepted requests to finish after that.",
    )


class PoolSpec(ApiModel):
    """A pool of workers, one whole device each."""

    model_config = cel_rules(
        (
            "!(has(self.replicas) && has(self.autoscaling))",
            "replicas and autoscaling exclude each other: set one of them",
        ),
        (
            "self.device == 'gpu' || self.resourceName == 'nvidia.com/gpu'",
            "resourceName is for device gpu; remove it for device cpu",
        ),
        (
            f"!has(self.proxy) || !has(self.replicas) || self.replicas <= {PROXY_WORKERS}",
            f"a proxy serves at most {PROXY_WORKERS} workers: lower replicas, make several pools, "
            "or remove proxy",
        ),
        (
            "!has(self.proxy) || !has(self.autoscaling) || "
            f"self.autoscaling.maxReplicas <= {PROXY_WORKERS}",
            f"a proxy serves at most {PROXY_WORKERS} workers: lower autoscaling.maxReplicas, make "
            "several pools, or remove proxy",
        ),
    )
    operator_name: str = Field(
        default=OPERATOR,
        max_length=OPERATOR_LENGTH,
        pattern=OPERATOR_PATTERN,
        description="Name of the operator that this pool belongs to (`ocrpool-operator run "
        "--operator-name`). Every other one leaves it alone; another name moves it.",
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Workers, that is devices. 1 if neither this nor autoscaling is set. Set it "
        "where an HPA or `kubectl scale` shall change it.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="Let the number of workers follow the work; excludes replicas."
    )
    scale_down_stabilization_seconds: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="With replicas: fewer must have been asked for during so many seconds before "
        "a worker is drained, so that whoever sets it and changes its mind costs no worker.",
    )
    disruption: DisruptionSpec = Field(
        default=DisruptionSpec(), description="What cluster autoscalers are told."
    )
    device: Literal["gpu", "cpu"] = Field(
        default="gpu",
        description="What a worker owns: one GPU (or MIG slice), or the container's CPUs. It "
        "cannot be changed: make another pool.",
        json_schema_extra=cel_rule(
            "self == oldSelf", "device cannot be changed: make another pool with the other device"
        ),
    )
    resource_name: str = Field(
        default="nvidia.com/gpu",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        max_length=253,
        description="Extended resource of which a worker gets one, e.g. nvidia.com/mig-1g.10gb.",
    )
    instances: InstanceRange = Field(
        default=InstanceRange(), description="OCR processes per worker."
    )
    memory: MemorySpec = Field(default=MemorySpec(), description="How memory is planned.")
    engine: EngineSpec = Field(default=EngineSpec(), description="The OCR engine.")
    models: ModelsSpec = Field(
        default=ModelsSpec(), description="Where the staged model files are."
    )
    admission: AdmissionSpec = Field(
        default=AdmissionSpec(), description="Which requests are accepted."
    )
    recycle: RecycleSpec = Field(
        default=RecycleSpec(), description="When instances are replaced by rule."
    )
    template: TemplateSpec = Field(default=TemplateSpec(), description="How the pods look.")
    proxy: ProxySpec | None = Field(
        default=None,
        description="A proxy before the workers that balances by outstanding requests and retries. "
        "Without it the Service picks a worker at random.",
    )

    def with_image(self, image: str) -> PoolSpec:
        """The same, with this image where it names none."""
        if self.template.image is not None:
            return self
        return self.model_copy(
            update={"template": self.template.model_copy(update={"image": image})}
        )

    @property
    def tells_autoscalers(self) -> bool:
        """Whether the pods' annotations for cluster autoscalers are the operator's."""
        return self.disruption.annotate and SAFE_TO_EVICT not in self.template.annotations

    @property
    def models_dir(self) -> str | None:
        """The folder with the models in the container; None for an engine without any."""
        mounted = self.models.claim is not None or self.models.host_path is not None
        if self.models.dir is None and (mounted or self.engine.name == "paddleocr"):
            return MODELS_DIR
        return self.models.dir
