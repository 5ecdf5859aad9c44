"""Compares an object on the API server with the desired one, and makes the patch between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ocrpool.resource.names import REVISION

Object = Mapping[str, Any]
_SECTIONS = ("data", "spec")


def matches(found: Object, desired: Object) -> bool:
    """Whether an object has all fields of the desired one. Its owner is checked elsewhere
    (`cluster/owners.py`)."""
    labels = desired["metadata"]["labels"]
    return contains(found["metadata"].get("labels"), labels) and all(
        contains(found.get(section), desired[section])
        for section in _SECTIONS
        if section in desired
    )


def json_patch_to(found: Object, desired: Object) -> list[dict[str, Any]]:
    """The JSON Patch that makes an object match, provided that it has not changed since it was
    read. A field directly under `spec` or `data` is replaced as a whole if anything in it differs,
    or if the revision label differs. Fields that are not desired stay: others set them."""
    meta, labels = found["metadata"], desired["metadata"]["labels"]
    steps = [_step("replace", ("metadata", "resourceVersion"), meta["resourceVersion"])]
    found_labels = meta.get("labels")
    if found_labels is None:
        steps.append(_step("add", ("metadata", "labels"), {}))
    for key, value in labels.items():
        if (found_labels or {}).get(key) != value:
            steps.append(_step("add", ("metadata", "labels", key), value))
    revision_differs = REVISION in labels and (found_labels or {}).get(REVISION) != labels[REVISION]
    for section in _SECTIONS:
        fields = desired.get(section)
        if fields is None:
            continue
        found_fields = found.get(section)
        if found_fields is None:
            steps.append(_step("add", (section,), {}))
        for key, value in fields.items():
            if revision_differs or not contains((found_fields or {}).get(key), value):
                steps.append(_step("add", (section, key), value))
    return steps


def _step(operation: str, path: tuple[str, ...], value: object) -> dict[str, Any]:
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return {"op": operation, "path": "/" + "/".join(escaped), "value": value}


def contains(found: object, desired: object) -> bool:
    """Whether a value has everything that the desired one has. It may have more: the API server
    adds defaults, and others add fields."""
    if isinstance(desired, dict):
        return isinstance(found, dict) and all(
            resources_match(found.get(key), value)
            if key == "resources"
            else contains(found.get(key), value)
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        return (
            isinstance(found, list)
            and len(found) == len(desired)
            and all(contains(one, other) for one, other in zip(found, desired, strict=True))
        )
    return found == desired


def resources_match(found: object, desired: object) -> bool:
    """`contains` for requests and limits. The API server rewrites quantities: 0.5 becomes 500m."""
    if isinstance(desired, dict):
        return isinstance(found, dict) and all(
            resources_match(found.get(key), value) for key, value in desired.items()
        )
    return found == desired or (found is not None and _number(found) == _number(desired))


def _number(quantity: object) -> Decimal | str:
    """The value of a Kubernetes quantity; any other text stays as it is."""
    text = str(quantity)
    match = _QUANTITY.match(text)
    if match is None:
        return text
    return Decimal(match["number"]) * _SCALES.get(match["suffix"], Decimal(1))


_QUANTITY = re.compile(
    r"^(?P<number>[+-]?[\d.]+(?:[eE][+-]?\d+)?)(?P<suffix>[numkMGTPE]?|[KMGTPE]i)$"
)
_SCALES = {letter: Decimal(1000) ** power for power, letter in enumerate("num", -3)}
_SCALES |= {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
_SCALES |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
