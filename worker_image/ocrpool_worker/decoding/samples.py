"""Samples of any type as bytes, so that white is white.

What white is, is found out from the largest value, since neither arrays nor files say it:

    bytes           255
    16 bits         65535; but where no more than 12 bits are used, as scanners do: all those bits
    whole numbers   255, or all of the bits that are used, where they are more
    fractions       1 (a tenth over it is overshoot); where there are larger ones, as whole numbers
    very dark       (but bytes) where the largest value is under a sixteenth of it, that is white
    negative        the least value is black and the largest is white (fractions that are a tenth
                    under 0 are overshoot)

Of alpha it is the type that says what is opaque, for a picture may be faint everywhere: 255, of
uint16 65535, of fractions 1 (or 255, where there are larger ones), and of other whole numbers the
largest of 8, 16 or all bits that they need.

NaN is white, an infinity is the end of the range that it lies at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Scanners of up to so many bits a sample write them into 16 as they are.
_SCANNER_BITS = 12
_MOST_BITS = 64
_DARK = 16
_OVERSHOOT = 0.1
# Samples that are scaled at a time: what is scaled takes eight times the room of its page.
_BAND = 2**18


def native(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples in this machine's order of bytes."""
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


def _bands(samples: NDArray[Any]) -> Iterator[slice]:
    """The rows of samples, some at a time."""
    rows = max(1, _BAND * samples.shape[0] // max(1, samples.size))
    return (slice(at, at + rows) for at in range(0, samples.shape[0], rows))


def _range(samples: NDArray[Any]) -> tuple[float, float] | None:
    """The least and the largest of what is finite, None where nothing is."""
    import numpy as np  # noqa: PLC0415

    found = []
    for band in _bands(samples):
        part = samples[band]
        low, high = part.min().item(), part.max().item()
        if not (math.isfinite(low) and math.isfinite(high)):
            part = part[np.isfinite(part)]
            if not part.size:
                continue
            low, high = part.min().item(), part.max().item()
        found.append((low, high))
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def as_bytes(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Samples scaled to bytes, as the module says."""
    import numpy as np  # noqa: PLC0415

    kind = samples.dtype.kind
    if samples.dtype == np.uint8:
        return samples
    if kind == "b":
        return samples.astype(np.uint8) * np.uint8(255)
    known = _range(samples)
    if known is None:
        return np.full(samples.shape, 255, np.uint8)
    low, high = known
    white = _white(high, samples.dtype)
    if low < (-_OVERSHOOT * white if kind == "f" else 0):
        white = high  # and the least value is black
    else:
        low = 0
    return _scaled(samples, low, white)


def alpha_as_bytes(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Alpha as bytes: by its type, as the module says."""
    import numpy as np  # noqa: PLC0415

    kind = samples.dtype.kind
    if samples.dtype == np.uint8 or kind == "b":
        return as_bytes(samples)
    _, high = _range(samples) or (0, 1)
    if samples.dtype == np.uint16:
        opaque = 65535
    elif kind == "f":
        opaque = 1 if high <= 1 + _OVERSHOOT else 255
    else:
        most = int(np.iinfo(samples.dtype).max)
        opaque = min(most, next((white for white in (255, 65535) if high <= white), most))
    return _scaled(samples, 0, opaque)


def _scaled(samples: NDArray[Any], low: float, white: float) -> NDArray[np.uint8]:
    """Samples of `low` as 0 and of `white` as 255."""
    import numpy as np  # noqa: PLC0415

    page = np.empty(samples.shape, np.uint8)
    exact = np.float32 if samples.dtype.itemsize <= 2 else np.float64
    for band in _bands(samples):
        if samples.dtype == np.uint16 and white == 65535:
            page[band] = samples[band] >> 8  # as libpng does it, and OpenCV by it
            continue
        part: NDArray[np.floating[Any]] = samples[band].astype(exact)
        with np.errstate(over="ignore", invalid="ignore"):
            part -= low
            part *= 255 / max(white - low, 1e-300)
        if samples.dtype.kind == "f":
            np.nan_to_num(part, copy=False, nan=255, posinf=255, neginf=0)
        np.clip(part, 0, 255, out=part)
        page[band] = np.rint(part, out=part)
    return page


def _white(high: float, kind: np.dtype[Any]) -> float:
    """The value that is white among samples of type `kind` of which `high` is the largest."""
    if high <= 0:
        return 1
    if kind.kind == "f" and high <= 1 + _OVERSHOOT:
        white = 1
    else:
        bits = max(8, math.ceil(high).bit_length())
        if bits > _MOST_BITS:
            return high
        if kind == "uint16" and bits > _SCANNER_BITS:
            bits = 16
        white = 2**bits - 1
    return high if high * _DARK < white else white
