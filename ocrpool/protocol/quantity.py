"""Kubernetes quantities of bytes, such as `1Gi`, as plain integers.

Source of the rule: the Kubernetes API convention for resource quantities (binary and decimal
suffixes). Only whole bytes make sense here, so fractions are rounded up.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_FACTORS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}
_QUANTITY = re.compile(r"^(?P<number>\d+(?:\.\d+)?)(?P<suffix>[kMGTP]|[KMGTP]i)?$")


def parse_bytes(text: str | int) -> int:
    """Return the number of bytes that `text` names, for example `1.5Gi` → 1610612736.

    Raises ValueError with a sentence for a person where `text` is not such a quantity.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a quantity of bytes; write for example 512Mi or 2Gi")
    if isinstance(text, int):
        if text < 0:
            raise ValueError(f"{text} is negative; a quantity of bytes is not")
        return text
    match = _QUANTITY.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a quantity of bytes; write for example 512Mi or 2Gi")
    exact = Decimal(match["number"]) * _FACTORS[match["suffix"] or ""]
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def format_bytes(count: int) -> str:
    """Return `count` for a person: one decimal, binary suffix, for example `1.4Gi`."""
    value = float(count)
    for suffix in ("", "Ki", "Mi", "Gi", "Ti"):
        if abs(value) < 1024 or suffix == "Ti":
            text = f"{value:.1f}".removesuffix(".0") if suffix else f"{count}"
            return f"{text}{suffix}"
        value /= 1024
    raise AssertionError("unreachable")
