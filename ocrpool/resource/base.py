"""What all types of the OcrPool resource have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from ocrpool.protocol.quantity import parse_bytes


class ApiModel(BaseModel):
    """Frozen; names are camelCase in YAML. Unknown fields are dropped, as the API server does."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


def cel_rules(*pairs: tuple[str, str]) -> ConfigDict:
    """CEL rules of a type, as (rule, sentence that a person gets when it does not hold)."""
    found: list[Any] = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": found})


def cel_rule(rule: str, message: str) -> dict[str, Any]:
    """The same for one field."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


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


QUANTITY_PATTERN = r"^\d+(\.\d+)?([kMGTP]|[KMGTP]i)?$"
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
# Objects of Kubernetes' own types; the API server checks them when the pod is made.
FreeForm = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
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
