"""The settings of a worker: one YAML file with the words of OcrPool, checked at the start."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from ocrpool.protocol.quantity import parse_bytes
from ocrpool.protocol.settings import (
    MAX_INSTANCES,
    MEMORY_GROWTH_BOUND,
    AdmissionFields,
    EngineFields,
    GraceSeconds,
    LameDuckSeconds,
    MemoryFields,
    RecycleFields,
)
from ocrpool_worker.errors import SettingsError

Network = IPv4Network | IPv6Network
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]


class _Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class InstancesSettings(_Settings):
    """How many instances the worker may be asked for."""

    min: int = Field(
        default=1, ge=0, le=MAX_INSTANCES, description="Instances that the worker starts with."
    )
    max: int = Field(
        default=8,
        ge=1,
        le=MAX_INSTANCES,
        description="Largest target that `PUT /v1/instances` accepts.",
    )
    boot_seconds: float = Field(
        default=600, gt=0, description="Longest time for one instance to start, warm-up included."
    )

    @model_validator(mode="after")
    def _ordered(self) -> InstancesSettings:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class EngineSettings(_Settings, EngineFields):
    """Which OCR engine an instance runs."""


class ModelsSettings(_Settings):
    """Where the staged model files are."""

    dir: Path | None = Field(
        default=None,
        description="Folder of the staged models. It is verified before each start of an instance.",
    )


class AdmissionSettings(_Settings, AdmissionFields):
    """Limits of requests: sizes before any pixel is decoded, and times."""

    max_body: Bytes = Field(default=128 * 2**20, description="Largest request body.")
    body_memory: Bytes = Field(
        default=2**30,
        description="Memory for all request bodies together. An eighth of it is reserved for "
        "bodies of up to 1Mi.",
    )
    client_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Largest share of bodyMemory for one client address. One body of maxBody "
        "always fits.",
    )
    min_body_rate: Bytes = Field(
        default=8 * 1024,
        description="Slowest upload, in bytes per second over five seconds. 0: only timeoutSeconds "
        "limits it.",
    )

    max_answer: Bytes = Field(default=256 * 2**20, description="Largest answer of one request.")
    answer_memory: Bytes = Field(
        default=2**30,
        description="Memory for all answers together, until their clients have received them.",
    )

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1_000_000)

    @property
    def progress_seconds(self) -> float:
        """Seconds between two progress reports of an instance. Several fit into
        `timeout_seconds`."""
        return min(1.0, self.timeout_seconds / 4)


class MemorySettings(_Settings, MemoryFields[Bytes, Literal["auto"] | Bytes]):
    """How device memory is planned; quantities are numbers of bytes."""

    poll_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Time between two readings of the device's memory."
    )


class RecycleSettings(_Settings, RecycleFields):
    """When an instance is replaced although it works."""

    @field_validator("memory_growth")
    @classmethod
    def _above_one(cls, value: float) -> float:
        if 0 < value <= 1:
            raise ValueError(MEMORY_GROWTH_BOUND)
        return value


class HttpSettings(_Settings):
    """The two ports, and what clients may ask for."""

    host: str = Field(
        default="127.0.0.1",
        description="Address of the data port. 0.0.0.0: reachable from other machines.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Data port. 0: any free port.")
    control_host: str = Field(
        default="127.0.0.1",
        description="Address of the control port. If other machines can reach it, tokenFile is "
        "required.",
    )
    control_port: int = Field(
        default=8081, ge=0, le=65535, description="Control port. 0: any free port."
    )
    token_file: Path | None = Field(
        default=None,
        description="File with the bearer token that /v1/* of the control port requires.",
    )
    max_connections: int = Field(
        default=1024,
        ge=1,
        description="Most connections of the data port. Fewer if the limit of open files "
        "(RLIMIT_NOFILE) is too low.",
    )
    header_seconds: float = Field(
        default=10,
        gt=0,
        description="Longest time until the header of a connection's first request has arrived.",
    )
    keep_alive_seconds: float = Field(
        default=75, gt=0, description="Longest idle time of a connection between two requests."
    )
    proxy_secret_file: Path | None = Field(
        default=None,
        description="File with the secret of a proxy in front of the worker. The proxy sends it "
        "with its client's address: `X-Ocrpool-Client: ADDRESS SECRET`. Default: the file `proxy` "
        "beside tokenFile.",
    )
    visualize: bool = Field(
        default=True,
        description="Default of `visualize` in requests to /ocr: draw pictures of the result.",
    )
    fetch_urls: bool = Field(
        default=False, description="/ocr fetches `file` if it is a URL with a public address."
    )
    fetch_networks: list[Network] = Field(
        default_factory=list,
        description="Further networks that URLs may lead to, for example [10.1.0.0/16].",
    )
    max_fetches: int = Field(
        default=8, ge=1, description="URLs that are fetched at the same time. Others wait."
    )
    take_seconds: float = Field(
        default=20,
        gt=0,
        description="Longest time for a client to receive the next 128Ki of its answer. A slower "
        "client is disconnected.",
    )
    lame_duck_seconds: LameDuckSeconds = 0
    grace_seconds: GraceSeconds = 25

    @property
    def proxy_secret(self) -> Path | None:
        """The path of the proxy's secret. The file may not exist."""
        if self.proxy_secret_file is None and self.token_file is not None:
            return self.token_file.with_name("proxy")
        return self.proxy_secret_file


class WorkerSettings(_Settings):
    """All settings of one worker. Every field has a default."""

    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|gpu(:\S+)?)$",
        description="cpu, gpu (the only visible one), gpu:0 (the first visible one) or gpu:UUID. "
        "CUDA_VISIBLE_DEVICES is honoured.",
    )
    instances: InstancesSettings = InstancesSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelsSettings = ModelsSettings()
    admission: AdmissionSettings = AdmissionSettings()
    memory: MemorySettings = MemorySettings()
    recycle: RecycleSettings = RecycleSettings()
    http: HttpSettings = HttpSettings()


def settings_from(raw: object, *, origin: str = "settings") -> WorkerSettings:
    """Check settings from YAML or a program. Raises SettingsError: one line with the path."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{origin}: expected a mapping, found {type(raw).__name__}")
    try:
        return WorkerSettings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(f"{origin}: {describe(error)}") from None


def load_settings(path: Path) -> dict[str, Any]:
    """Read a settings file as a mapping. Raises SettingsError."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: expected a mapping, found {type(raw).__name__}")
    return raw


def describe(error: ValidationError, *, within: str = "") -> str:
    """All messages of a pydantic error in one line: `path: message (got value)`. `within`: the path
    of the checked value."""
    parts = []
    for item in error.errors(include_url=False):
        steps = [within, *map(str, item["loc"])] if within else map(str, item["loc"])
        where = ".".join(steps) or "(top level)"
        message = item["msg"].removeprefix("Value error, ")
        given = repr(item["input"])
        if item["type"] == "extra_forbidden":
            message, given = "no such setting", ""
        shown = f" (got {given})" if given and len(given) <= 60 else ""
        parts.append(f"{where}: {message}{shown}")
    return "; ".join(parts)
