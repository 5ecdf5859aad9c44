"""Base class and field types of the OcrPool resource."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """Frozen; names are camelCase in YAML. Unknown fields are dropped, as by the API server."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


def cel_rules(*pairs: tuple[str, str]) -> ConfigDict:
    """CEL rules of a type, as pairs of the rule and the error message when it does not hold."""
    found: list[Any] = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": found})


def cel_rule(rule: str, message: str) -> dict[str, Any]:
    """The CEL rule of one field."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


# Objects of Kubernetes types; the API server checks them when it makes the pod.
FreeFormList = Annotated[
    tuple[dict[str, Any], ...],
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        }
    ),
]
Strings = Annotated[
    dict[str, str],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
