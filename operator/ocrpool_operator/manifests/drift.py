"""Compares an object on the API server with the desired one, and makes the patch between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ocrpool.resource.names import REVISION

Object = Mapping[str, Any]
_SECTIONS = ("data", "spec")


def matches(there: Object, wanted: Object) -> bool:
    """Whether an object matches all that is wanted of it. Whose it is, is asked elsewhere."""
    labels = wanted["metadata"]["labels"]
    return contains(there["metadata"].get("labels"), labels) and all(
        contains(there.get(section), wanted[section]) for section in _SECTIONS if section in wanted
    )


def json_patch_to(there: Object, wanted: Object) -> list[dict[str, Any]]:
    """The JSON Patch that makes it say so, if it is still what it was when it was looked at. Each
    field right under `spec` and `data` is replaced whole where anything in it is not as wanted, or
    where the revision of the whole is another one; others' fields stay."""
    meta, labels = there["metadata"], wanted["metadata"]["labels"]
    steps = [_step("replace", ("metadata", "resourceVersion"), meta["resourceVersion"])]
    held = meta.get("labels")
    if held is None:
        steps.append(_step("add", ("metadata", "labels"), {}))
    for key, value in labels.items():
        if (held or {}).get(key) != value:
            steps.append(_step("add", ("metadata", "labels", key), value))
    anew = REVISION in labels and (held or {}).get(REVISION) != labels[REVISION]
    for section in _SECTIONS:
        fields = wanted.get(section)
        if fields is None:
            continue
        has = there.get(section)
        if has is None:
            steps.append(_step("add", (section,), {}))
        for key, value in fields.items():
            if anew or not contains((has or {}).get(key), value):
                steps.append(_step("add", (section, key), value))
    return steps


def _step(what: str, path: tuple[str, ...], value: object) -> dict[str, Any]:
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return {"op": what, "path": "/" + "/".join(escaped), "value": value}


def contains(there: object, wanted: object) -> bool:
    """Whether what is there matches all that is wanted; what others added does not count."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            resources_match(there.get(key), value)
            if key == "resources"
            else contains(there.get(key), value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(contains(one, other) for one, other in zip(there, wanted, strict=True))
        )
    return there == wanted


def resources_match(there: object, wanted: object) -> bool:
    """The same for requests and limits, whose quantities the API server writes in its own way:
    0.5 is 500m there."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            resources_match(there.get(key), value) for key, value in wanted.items()
        )
    return there == wanted or (there is not None and _number(there) == _number(wanted))


def _number(quantity: object) -> Decimal | str:
    """The value of a Kubernetes quantity; what is none, as it is."""
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
