"""The settings that the OcrPool resource and the worker's settings file have in common.

Each field is declared here once, with its default, bounds and description: `ocrpool.resource.spec`
and `ocrpool_worker.settings` inherit it. So the worker accepts whatever the CRD admits.
docs/api.md and docs/settings.md are generated from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from ocrpool.protocol.quantity import parse_bytes

# The most instances that one worker can be asked for.
MAX_INSTANCES = 256

QUANTITY_PATTERN = r"^\d+(\.\d+)?([kMGTP]|[KMGTP]i)?$"


def _quantity(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is not a quantity of bytes; write for example 512Mi or 2Gi")
    parse_bytes(value)
    return str(value)


def _quantity_or_auto(value: object) -> str:
    try:
        return "auto" if value == "auto" else _quantity(value)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


# A number of bytes as it is written, such as `1Gi`. The resource keeps it; the worker parses it.
Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN}),
]
QuantityOrAuto = Annotated[
    str,
    BeforeValidator(_quantity_or_auto),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": rf"^auto$|{QUANTITY_PATTERN}"}),
]
# An object that is passed on unchecked.
FreeForm = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]

# The defaults of these two differ: only in a cluster must a worker wait for its endpoint to go.
LameDuckSeconds = Annotated[
    float,
    Field(
        ge=0,
        le=300,
        description="Seconds after SIGTERM or `POST /v1/drain` in which the worker is not ready "
        "but still accepts requests, so that load balancers stop sending to it. 0 refuses new "
        "requests at once.",
    ),
]
GraceSeconds = Annotated[
    float,
    Field(
        ge=0,
        le=3600,
        description="Seconds that accepted requests get to finish after lameDuckSeconds.",
    ),
]


class SharedFields(BaseModel):
    """Names are camelCase in YAML. What happens to unknown fields is for each side to say."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class EngineFields(SharedFields):
    """Which OCR engine an instance runs."""

    name: str = Field(
        default="paddleocr",
        min_length=1,
        max_length=200,
        description="OCR engine: `paddleocr`, `noop`, another entry point of the group "
        "`ocrpool.engines`, or `module:attribute`. It must be installed in the worker's image.",
    )
    options: FreeForm = Field(
        default_factory=dict,
        description="Arguments of the engine, passed unchanged: PaddleOCR(**options). "
        "Example: {lang: ch}.",
    )
    max_regions: int = Field(
        default=5000,
        ge=1,
        le=20_000,
        description="Maximum number of text regions that are recognised on one page, from the "
        "top. A page with more gets the warning `RegionsLimited`.",
    )


class AdmissionFields(SharedFields):
    """Limits of requests: sizes, which are checked before any pixel is decoded, and times."""

    max_megapixels: float = Field(
        default=16,
        gt=0,
        le=300,
        description="Largest page, in millions of pixels; a larger one is answered 413. The "
        "memory of an instance grows with it.",
    )
    max_pages: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="Most pages of one document; a longer one is answered 413.",
    )
    queue: int = Field(
        default=64,
        ge=0,
        le=1_000_000,
        description="Most requests that wait in one worker; further ones are answered 429.",
    )
    timeout_seconds: float = Field(
        default=60,
        gt=0,
        le=86_400,
        description="A request is answered 504 if for this many seconds none of its pages is "
        "finished or reports progress.",
    )
    page_seconds: float = Field(
        default=600,
        gt=0,
        le=86_400,
        description="Longest time for one page that makes progress, in seconds. The "
        "larger of this and `timeoutSeconds` applies.",
    )

    @property
    def page_limit(self) -> float:
        """Seconds that one page may take in an instance, with or without progress."""
        return max(self.page_seconds, self.timeout_seconds)


Bytes_ = TypeVar("Bytes_")
BytesOrAuto_ = TypeVar("BytesOrAuto_")


def _quantity_field(default: str, description: str) -> Any:
    return Field(default=default, validate_default=True, description=description)


class MemoryFields(SharedFields, Generic[Bytes_, BytesOrAuto_]):
    """How device memory is planned. The type parameters say how a side holds a quantity."""

    reserve: Bytes_ = _quantity_field(
        "1Gi",
        "Memory of each device that is kept free, as a quantity such as 1Gi. Only instances up "
        "to instances.min may use it.",
    )
    per_instance: BytesOrAuto_ = _quantity_field(
        "auto",
        "Memory of one instance. `auto`: it is measured. A quantity such as 1500Mi is also a "
        "limit: an instance that holds more is replaced.",
    )


# The API server and `ocrpool` check it as a CEL rule, the worker in a validator.
MEMORY_GROWTH_BOUND = "must be above 1, or 0 to switch it off"


class RecycleFields(SharedFields):
    """When a working instance is replaced by a new one."""

    after_requests: int = Field(
        default=0,
        ge=0,
        description="Replace an instance after this number of pages (a request here is one page). "
        "0 switches it off.",
    )
    memory_growth: float = Field(
        default=1.5,
        ge=0,
        description="Replace an instance that holds this many times the memory that it held after "
        "its warm-up. Above 1, or 0 to switch it off.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self == 0.0 || self > 1.0",
                    "message": f"recycle.memoryGrowth {MEMORY_GROWTH_BOUND}",
                }
            ]
        },
    )
