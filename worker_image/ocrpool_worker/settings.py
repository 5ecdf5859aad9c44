"""What a worker is told: one YAML file in the words of the OcrPool resource, checked at start."""

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

    min: int = Field(default=1, ge=0, le=MAX_INSTANCES, description="instances that it starts with")
    max: int = Field(
        default=8, ge=1, le=MAX_INSTANCES, description="most instances that it accepts"
    )
    boot_seconds: float = Field(
        default=600, gt=0, description="longest time that one boot may take, warm-up included"
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
        default=None, description="folder of staged models; verified before every boot"
    )


class AdmissionSettings(_Settings, AdmissionFields):
    """What a request must satisfy before any pixel is decoded."""

    max_body: Bytes = Field(default=128 * 2**20, description="largest request body")
    body_memory: Bytes = Field(
        default=2**30,
        description="most memory that all bodies held at once may take; an eighth of it is kept "
        "for bodies of up to 1Mi",
    )
    client_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="most of bodyMemory that the bodies of one client address may take, but "
        "always one of maxBody",
    )
    min_body_rate: Bytes = Field(
        default=8 * 1024,
        description="slowest upload, in bytes a second, over five seconds; 0 = as slow as "
        "timeoutSeconds allows",
    )

    max_answer: Bytes = Field(default=256 * 2**20, description="largest answer of one request")
    answer_memory: Bytes = Field(
        default=2**30,
        description="most memory that all answers may take, until their clients have taken them",
    )

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1_000_000)

    @property
    def progress_seconds(self) -> float:
        """Seconds between two words of an instance that its page comes on: few, and several in
        `timeout_seconds`."""
        return min(1.0, self.timeout_seconds / 4)


class MemorySettings(_Settings, MemoryFields[Bytes, Literal["auto"] | Bytes]):
    """How device memory is planned; quantities are numbers of bytes."""

    look_seconds: float = Field(
        default=1.0, gt=0, le=60, description="time between two looks at the device's memory"
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
        description="address of the data port; 0.0.0.0 = reachable from outside",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="data port; 0 = any free one")
    control_host: str = Field(
        default="127.0.0.1",
        description="address of the control port; reachable from outside it wants a tokenFile",
    )
    control_port: int = Field(
        default=8081, ge=0, le=65535, description="control port; 0 = any free one"
    )
    token_file: Path | None = Field(
        default=None, description="file with the bearer token that /v1/* of the control port asks"
    )
    max_connections: int = Field(
        default=1024,
        ge=1,
        description="most connections of the data port; fewer where the limit of open files "
        "(RLIMIT_NOFILE) is too low",
    )
    header_seconds: float = Field(
        default=10,
        gt=0,
        description="longest time until a connection's first request has its header",
    )
    keep_alive_seconds: float = Field(
        default=75, gt=0, description="longest time that a connection waits between two requests"
    )
    proxy_secret_file: Path | None = Field(
        default=None,
        description="file with a secret that a proxy before the worker sends along with its "
        "client's address, in `X-Ocrpool-Client: ADDRESS SECRET`; where it is not said, a file "
        "`proxy` beside tokenFile",
    )
    visualize: bool = Field(
        default=True, description="/ocr draws pictures where a request does not say"
    )
    fetch_urls: bool = Field(
        default=False, description="/ocr fetches `file` where it is a URL, of public addresses only"
    )
    fetch_networks: list[Network] = Field(
        default_factory=list,
        description="networks besides the public ones that URLs may lead to, e.g. [10.1.0.0/16]",
    )
    max_fetches: int = Field(
        default=8, ge=1, description="most URLs that are fetched at once; others wait their turn"
    )
    take_seconds: float = Field(
        default=20,
        gt=0,
        description="time in which a client takes the next 128Ki of its answer, or the rest; a "
        "slower one is cut off",
    )
    lame_duck_seconds: LameDuckSeconds = 0
    grace_seconds: GraceSeconds = 25

    @property
    def proxy_secret(self) -> Path | None:
        """Where the proxy's secret would be."""
        if self.proxy_secret_file is None and self.token_file is not None:
            return self.token_file.with_name("proxy")
        return self.proxy_secret_file


class WorkerSettings(_Settings):
    """All settings of one worker. Every field has a default."""

    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|gpu(:\S+)?)$",
        description="cpu, gpu (the only visible one), gpu:0 (the first of them) or gpu:UUID; "
        "CUDA_VISIBLE_DEVICES is honoured",
    )
    instances: InstancesSettings = InstancesSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelsSettings = ModelsSettings()
    admission: AdmissionSettings = AdmissionSettings()
    memory: MemorySettings = MemorySettings()
    recycle: RecycleSettings = RecycleSettings()
    http: HttpSettings = HttpSettings()


def settings_from(raw: object, *, origin: str = "settings") -> WorkerSettings:
    """Check `raw` (what YAML or a program gave). Raises SettingsError: one line, with the path."""
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
    """Every complaint of a pydantic error in one line: `path: what (got value)`. `within`: the path
    of what was checked."""
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
