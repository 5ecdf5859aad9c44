"""The CRD's CEL rules, held against a file on this machine, as the API server holds them there.

They are written once, beside the types, and evaluated here by CEL's own runtime: a file that one
side refuses is refused by the other, with the same sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cel_expr_python import cel


def broken_rules(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    """The sentence of every rule in a structural schema that `value`, with its defaults filled in,
    breaks. Rules about a change (`oldSelf`) say nothing of what is new."""
    for each in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in each["rule"] and not _holds(each["rule"], value):
            yield str(each["message"])
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for name, inner in value.items():
            yield from broken_rules(properties.get(name, {}), inner)
    if isinstance(value, list):
        for item in value:
            yield from broken_rules(schema.get("items", {}), item)


def _holds(rule: str, value: Any) -> bool:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN})
    result = environment.compile(rule).eval(data={"self": value})
    # An error of the evaluation is no yes, there as here.
    return result.value() is True
