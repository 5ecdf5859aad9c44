"""The CustomResourceDefinition, generated from the types: schema, defaults and CEL rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ocrpool.resource.names import GROUP, KIND, PLURAL, SHORT, VERSION
from ocrpool.resource.spec import PoolSpec
from ocrpool.resource.status import PoolStatus

# Keywords of JSON Schema that OpenAPI v3, and so a CRD, does not have.
_DROP = {"title", "$defs", "const", "discriminator"}


def custom_resource_definition() -> dict[str, Any]:
    """Return the CRD as an object."""
    schema = {
        "type": "object",
        "description": "A pool of PaddleOCR workers. Each worker owns one device (GPU, MIG slice "
        "or CPUs) and runs as many OCR processes on it as the device's memory holds.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"type": "object"},
            "spec": structural(PoolSpec),
            "status": structural(PoolStatus),
        },
        "x-kubernetes-validations": [
            {
                "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,56}[a-z0-9])?$')",
                "message": "metadata.name must be at most 58 lower-case letters, digits and "
                "dashes, begin with a letter and end with a letter or digit: pods and a Service "
                "are named after it",
            }
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of a type, as the API server requires it."""
    raw = model.model_json_schema(by_alias=True)
    found = _walk(raw, raw.get("$defs", {}))
    assert isinstance(found, dict)
    return found


def _columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        _column("Ready", "string", f"{ready}.status", "Whether all workers are ready."),
        _column("Workers", "integer", ".status.readyReplicas", "Workers that are ready."),
        _column("Desired", "integer", ".status.desiredReplicas", "Desired number of workers."),
        _column("Instances", "integer", ".status.instances.ready", "OCR processes that are ready."),
        _column("Reason", "string", f"{ready}.reason", "Why the pool is ready or not."),
        _column("Age", "date", ".metadata.creationTimestamp", "Age of the pool."),
        _column("Device", "string", ".spec.device", "Device of each worker.", priority=1),
        _column(
            "Message",
            "string",
            f"{ready}.message",
            "Reason as a sentence, with what to do.",
            priority=1,
        ),
    ]


def _column(name: str, kind: str, path: str, text: str, priority: int = 0) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path, "description": text}
    return column | {"priority": priority} if priority else column


def _walk(node: Any, defs: Mapping[str, Any]) -> Any:
    """Inline references and drop keywords that a CRD does not support."""
    if isinstance(node, list):
        return [_walk(item, defs) for item in node]
    if not isinstance(node, Mapping):
        return node
    node = _resolve(node, defs)
    if "anyOf" in node:
        return _walk(_merge_union(node, defs), defs)
    found = {key: value for key, value in node.items() if key not in _DROP}
    if found.pop("default", None) is not None:
        found["default"] = _default(node, defs)
    for bound in ("Minimum", "Maximum"):
        # JSON Schema: the bound is the value. OpenAPI v3: a boolean beside the bound.
        if f"exclusive{bound}" in found:
            found[bound.lower()] = found[f"exclusive{bound}"]
            found[f"exclusive{bound}"] = True
    if "properties" in found:
        found["properties"] = {
            name: _walk(value, defs) for name, value in found["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), Mapping):
            found[key] = _walk(found[key], defs)
    return found


def _resolve(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    own = {key: value for key, value in node.items() if key != "$ref"}
    return {**defs[reference.rpartition("/")[2]], **own}


def _merge_union(node: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a union into its first member: `X | None` becomes an optional X."""
    options = [_resolve(item, defs) for item in node["anyOf"]]
    options = [item for item in options if item.get("type") != "null"]
    own = {key: value for key, value in node.items() if key != "anyOf"}
    return {**options[0], **own}


def _default(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    if node.get("type") != "object":
        return node["default"]
    if "x-kubernetes-validations" not in node:
        # Each field has its own default.
        return {}
    # The API server checks a default against the rules before it adds the fields' defaults.
    # So the default must contain them.
    fields = {name: _walk(field, defs) for name, field in node.get("properties", {}).items()}
    return {name: field["default"] for name, field in fields.items() if "default" in field}
