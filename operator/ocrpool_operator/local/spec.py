"""The OcrPool file as this shell reads it, and the settings of a worker that follow from it.

Only what one machine needs is looked into; `replicas`, `autoscaling`, `resourceName` and `template`
are a cluster's business, and are accepted as they are so that one file serves both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from ocrpool_operator.local.errors import EXIT_WRONG, LocalError
from ocrpool_operator.planner.types import Limits
from ocrpool_wire.quantity import parse_bytes
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import describe, settings_from

Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class InstancesSpec(_Part):
    min: int = Field(default=1, ge=0, le=256)
    max: int = Field(default=8, ge=1, le=256)

    @model_validator(mode="after")
    def _ordered(self) -> InstancesSpec:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class MemorySpec(_Part):
    reserve: Bytes = 2**30
    per_instance: Literal["auto"] | Bytes = "auto"


class PoolSpec(_Part):
    """`engine`, `models`, `admission` and `recycle` go to the worker, which checks them."""

    device: Literal["gpu", "cpu"] = "gpu"
    instances: InstancesSpec = InstancesSpec()
    memory: MemorySpec = MemorySpec()
    engine: dict[str, Any] = {}
    models: dict[str, Any] = {}
    admission: dict[str, Any] = {}
    recycle: dict[str, Any] = {}
    replicas: Any = None
    autoscaling: Any = None
    resource_name: Any = None
    template: Any = None


class Metadata(BaseModel):
    """Names and labels; what Kubernetes puts there besides is of no use here."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)


class Pool(_Part):
    """One OcrPool object."""

    api_version: Literal["ocrpool.dev/v1alpha1"]
    kind: Literal["OcrPool"]
    metadata: Metadata
    spec: PoolSpec = PoolSpec()
    status: Any = None

    def limits(self, worker: str = "") -> Limits:
        """What the planner is told of a worker of this pool."""
        memory = self.spec.memory
        per_instance = memory.per_instance if isinstance(memory.per_instance, int) else None
        instances = self.spec.instances
        return Limits(
            instances.min,
            instances.max,
            memory.reserve,
            per_instance,
            name=f"{self.metadata.name}/{worker}",
        )


def load_pool(path: Path) -> Pool:
    """Read and check a file. Raises LocalError: one line with the path of what is wrong."""
    try:
        raw = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror or error}", status=EXIT_WRONG) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise LocalError(f"{path}: not YAML: {text}", status=EXIT_WRONG) from None
    documents = [one for one in raw if one is not None]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        found = f"{len(documents)} documents" if len(documents) != 1 else "no mapping"
        raise LocalError(f"{path}: expected one OcrPool, found {found}", status=EXIT_WRONG)
    try:
        return Pool.model_validate(documents[0])
    except ValidationError as error:
        raise LocalError(f"{path}: {describe(error)}", status=EXIT_WRONG) from None


def worker_settings(
    pool: Pool, device: str, *, models: Path | None, host: str, port: int, control_port: int
) -> dict[str, Any]:
    """The settings of one worker, checked. Raises LocalError.

    The worker starts with one instance, whose footprint is measured alone; the planner asks for
    the others. Ports: 0 = any free one.
    """
    spec = pool.spec
    per_instance = spec.memory.per_instance
    # A node's folder is this machine's; `dir` is where a container would find it.
    folder = models or spec.models.get("hostPath") or spec.models.get("dir")
    settings: dict[str, Any] = {
        "device": device,
        "instances": {"min": min(1, spec.instances.min), "max": spec.instances.max},
        "engine": spec.engine,
        "models": {} if folder is None else {"dir": str(folder)},
        "admission": spec.admission,
        "memory": {"reserve": spec.memory.reserve, "perInstance": per_instance},
        "recycle": spec.recycle,
        "http": {
            "host": host,
            "port": port,
            "controlHost": host,
            "controlPort": control_port,
        },
    }
    try:
        settings_from(settings, origin="spec")
    except SettingsError as error:
        raise LocalError(str(error), status=EXIT_WRONG) from None
    return settings
