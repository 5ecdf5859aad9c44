"""Whether an object on the API server still says what was asked for."""

from __future__ import annotations

import re
from decimal import Decimal


def covers(there: object, wanted: object) -> bool:
    """Whether what is there says all that is wanted; what others added does not count."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            same_resources(there.get(key), value)
            if key == "resources"
            else covers(there.get(key), value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(covers(one, other) for one, other in zip(there, wanted, strict=True))
        )
    return there == wanted


def same_resources(there: object, wanted: object) -> bool:
    """The same for requests and limits, whose quantities the API server writes in its own way:
    0.5 is 500m there."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            same_resources(there.get(key), value) for key, value in wanted.items()
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
