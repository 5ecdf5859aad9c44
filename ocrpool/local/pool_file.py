"""The OcrPool file, read with the same types and rules as in a cluster, and what follows from it.

One thing is stricter: a field that nobody knows is refused with its path. In a cluster `kubectl`
warns of it; here there would be nobody to do so. `operatorName`, `replicas`, `autoscaling`,
`resourceName` and `template` are a cluster's business: they are checked and then passed over (but
for `template.graceSeconds`, which is how long a worker may take to end here too).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrpool.local.cel_rules import broken_rules
from ocrpool.local.errors import EXIT_WRONG, LocalError
from ocrpool.planner.instances.limits import limits_of
from ocrpool.planner.instances.types import Limits
from ocrpool.planner.workers.revision import worker_settings as settings_of
from ocrpool.resource.crd import custom_resource_definition
from ocrpool.resource.spec import PoolSpec
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import describe, settings_from


class _Metadata(BaseModel):
    """The name; what Kubernetes puts there besides is of no use here."""

    model_config = ConfigDict(extra="ignore")
    name: str


class _Object(BaseModel):
    """What surrounds the spec."""

    model_config = ConfigDict(extra="forbid")
    api_version: Literal["ocrpool.dev/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["OcrPool"]
    metadata: _Metadata
    spec: Any = None
    status: Any = None


@dataclass(frozen=True, slots=True)
class Pool:
    """One OcrPool, checked."""

    name: str
    spec: PoolSpec

    def limits(self, worker: str = "") -> Limits:
        """What the planner is told of a worker of this pool."""
        return limits_of(self.spec, f"{self.name}/{worker}")


def load_pool(path: Path) -> Pool:
    """Read and check a file. Raises LocalError: one line with the path of what is wrong."""
    try:
        raw = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror or error}", status=EXIT_WRONG) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise LocalError(f"{path}: not YAML: {text}", status=EXIT_WRONG) from None
    try:
        return pool_from(_the_pool([one for one in raw if one is not None]))
    except ValueError as error:
        raise LocalError(f"{path}: {error}", status=EXIT_WRONG) from None


def _the_pool(documents: list[Any]) -> dict[str, Any]:
    """The one OcrPool of a file; objects of other kinds are a cluster's business. Raises
    ValueError."""
    pools = documents
    if len(documents) > 1:
        pools = [one for one in documents if isinstance(one, dict) and one.get("kind") == "OcrPool"]
    if len(pools) != 1:
        found = f"{len(pools)} in {len(documents)} documents"
        raise ValueError(f"expected one OcrPool, found {found}")
    if not isinstance(pools[0], dict):
        raise ValueError("expected one OcrPool, found no mapping")
    return pools[0]


def pool_from(body: dict[str, Any]) -> Pool:
    """Check one object. Raises ValueError: one line with every complaint."""
    try:
        around = _Object.model_validate(body)
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    try:
        # As JSON, which is what the API server reads: "3" is no number there.
        text = json.dumps({} if around.spec is None else around.spec, default=str)
        spec = PoolSpec.model_validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(describe(error, within="spec")) from None
    (version,) = custom_resource_definition()["spec"]["versions"]
    told = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    name = around.metadata.name
    whole = {"metadata": {"name": name}, "spec": told}
    broken = tuple(broken_rules(version["schema"]["openAPIV3Schema"], whole))
    if broken:
        raise ValueError("; ".join(broken))
    return Pool(name, spec)


def worker_settings(
    pool: Pool,
    device: str,
    *,
    models: Path | None,
    host: str,
    port: int,
    control_port: int,
    interval: float = 2.0,
) -> dict[str, Any]:
    """The settings of one worker, checked. Raises LocalError.

    The worker starts with one instance, whose footprint is measured alone; the planner asks for
    the others. Ports: 0 = any free one. `interval`: seconds between two observations; the worker
    looks at its device at least twice as often, so that two observations are two looks.
    """
    spec = pool.spec
    # A node's folder is this machine's; `dir` is where a container would find it.
    folder = models or spec.models.host_path or spec.models.dir
    settings = settings_of(spec)
    settings["memory"] = {**settings["memory"], "lookSeconds": min(1.0, interval / 2)}
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
        raise LocalError(str(error), status=EXIT_WRONG) from None
    return settings
