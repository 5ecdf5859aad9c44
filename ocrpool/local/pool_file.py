"""Reads an OcrPool file with the types and rules of the cluster, and derives worker settings.

One rule is stricter: an unknown field is an error with its path. In a cluster, `kubectl` prints a
warning for it. `operatorName`, `replicas`, `autoscaling`, `resourceName` and `template` apply to
clusters only: they are checked and then ignored, except `template.graceSeconds`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrpool.local.cel_rules import violated_rules
from ocrpool.local.errors import EXIT_USAGE, LocalError
from ocrpool.planner.instances.limits import limits_of
from ocrpool.planner.instances.types import InstanceLimits
from ocrpool.planner.workers.revision import worker_settings as settings_of
from ocrpool.resource.crd import custom_resource_definition
from ocrpool.resource.spec import PoolSpec
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import describe, settings_from


class _Metadata(BaseModel):
    """The name. Other metadata is ignored."""

    model_config = ConfigDict(extra="ignore")
    name: str


class _Object(BaseModel):
    """The fields around the spec."""

    model_config = ConfigDict(extra="forbid")
    api_version: Literal["ocrpool.dev/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["OcrPool"]
    metadata: _Metadata
    spec: Any = None
    status: Any = None


@dataclass(frozen=True, slots=True)
class PoolFile:
    """One valid OcrPool."""

    name: str
    spec: PoolSpec

    def limits(self, worker: str = "") -> InstanceLimits:
        """The planner's limits for one worker of this pool."""
        return limits_of(self.spec, f"{self.name}/{worker}")


def load_pool(path: Path) -> PoolFile:
    """Read and check a file. Raises LocalError with one line that names each wrong field."""
    try:
        raw = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror or error}", status=EXIT_USAGE) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise LocalError(f"{path}: not YAML: {text}", status=EXIT_USAGE) from None
    try:
        return pool_from(_single_pool([one for one in raw if one is not None]))
    except ValueError as error:
        raise LocalError(f"{path}: {error}", status=EXIT_USAGE) from None


def _single_pool(documents: list[Any]) -> dict[str, Any]:
    """The only OcrPool of a file. Objects of other kinds are ignored. Raises ValueError."""
    pools = documents
    if len(documents) > 1:
        pools = [one for one in documents if isinstance(one, dict) and one.get("kind") == "OcrPool"]
    if len(pools) != 1:
        found = f"{len(pools)} in {len(documents)} documents"
        raise ValueError(f"expected one OcrPool, found {found}")
    if not isinstance(pools[0], dict):
        raise ValueError("expected one OcrPool, found no mapping")
    return pools[0]


def pool_from(body: dict[str, Any]) -> PoolFile:
    """Check one object. Raises ValueError with one line that lists every error."""
    try:
        outer = _Object.model_validate(body)
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    try:
        # Checked as JSON, as the API server does: "3" is not a number.
        text = json.dumps({} if outer.spec is None else outer.spec, default=str)
        spec = PoolSpec.model_validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(describe(error, within="spec")) from None
    (version,) = custom_resource_definition()["spec"]["versions"]
    with_defaults = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    name = outer.metadata.name
    whole = {"metadata": {"name": name}, "spec": with_defaults}
    violated = tuple(violated_rules(version["schema"]["openAPIV3Schema"], whole))
    if violated:
        raise ValueError("; ".join(violated))
    return PoolFile(name, spec)


def worker_settings(
    pool: PoolFile,
    device: str,
    *,
    models: Path | None,
    host: str,
    port: int,
    control_port: int,
    interval: float = 2.0,
) -> dict[str, Any]:
    """The checked settings of one worker. Raises LocalError.

    The worker starts with one instance, whose footprint is measured alone; the planner adds the
    others. Port 0 means any free port. `interval`: seconds between two observations. The worker
    reads its device's memory at least twice as often, so that two observations never show the same
    reading.
    """
    spec = pool.spec
    # `hostPath` is a folder of this machine; `dir` is the path inside a container.
    folder = models or spec.models.host_path or spec.models.dir
    settings = settings_of(spec)
    settings["memory"] = {**settings["memory"], "pollSeconds": min(1.0, interval / 2)}
    settings |= {
        "device": device,
        "instances": {"min": 1, "max": spec.instances.max},
        "models": {} if folder is None else {"dir": str(folder)},
        "http": {
            "host": host,
            "port": port,
            "controlHost": host,
            "controlPort": control_port,
            "graceSeconds": spec.template.grace_seconds,
        },
    }
    try:
        settings_from(settings, origin="spec")
    except SettingsError as error:
        raise LocalError(str(error), status=EXIT_USAGE) from None
    return settings
