"""Checks a local OcrPool file against the CEL rules of the CRD, as the API server does.

The rules are written once, in `ocrpool.resource`, and evaluated here by a CEL runtime. A file that
the API server refuses is refused here with the same message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cel_expr_python import cel


def violated_rules(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    """The messages of the rules in a structural schema that `value` violates.

    `value` has its defaults filled in. Rules about changes (`oldSelf`) do not apply here.
    """
    for each in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in each["rule"] and not _is_satisfied(each["rule"], value):
            yield str(each["message"])
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for name, inner in value.items():
            yield from violated_rules(properties.get(name, {}), inner)
    if isinstance(value, list):
        for item in value:
            yield from violated_rules(schema.get("items", {}), item)


def _is_satisfied(rule: str, value: Any) -> bool:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN})
    result = environment.compile(rule).eval(data={"self": value})
    # An evaluation error counts as a violation, as in the API server.
    return result.value() is True
