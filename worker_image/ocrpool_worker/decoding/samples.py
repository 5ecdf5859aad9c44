"""Scale samples of any type to bytes, so that white becomes 255.

Neither arrays nor files say which value is white, so it follows from the type and the largest
value:

    bytes           255
    16 bits         65535; if no more than 12 bits are used, as by scanners: all of those bits
    integers        255, or all bits that are used, if they are more
    floats          1 (up to a tenth above is overshoot); if there are larger values: as integers
    very dark       (except bytes) if the largest value is below a sixteenth of white: that value
    negative        the smallest value is black and the largest is white (floats down to a tenth
                    below 0 are overshoot)

For alpha only the type decides which value is opaque, because a picture can be faint everywhere:
255; 65535 for uint16; 1 for floats (255 if there are larger values); for other integers the largest
of 8, 16 or all bits that they need.

NaN is white. An infinity becomes the end of the range on its side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Scanners with up to this many bits a sample write them into 16 bits without scaling.
_SCANNER_BITS = 12
_MOST_BITS = 64
_DARK = 16
_OVERSHOOT = 0.1
# Samples that are scaled at a time, because scaling needs eight times the memory of the result.
_BAND = 2**18


def native(samples: NDArray[Any]) -> NDArray[Any]:
    """Convert samples to this machine's byte order."""
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


def _bands(samples: NDArray[Any]) -> Iterator[slice]:
    """Slices of the rows, a band at a time."""
    rows = max(1, _BAND * samples.shape[0] // max(1, samples.size))
    return (slice(at, at + rows) for at in range(0, samples.shape[0], rows))


def _range(samples: NDArray[Any]) -> tuple[float, float] | None:
    """The smallest and the largest finite value, None if there is none."""
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
    """Scale samples to bytes by the rules of this module."""
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
        white = high  # and the smallest value is black
    else:
        low = 0
    return _scaled(samples, low, white)


def alpha_as_bytes(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale alpha to bytes by its type, by the rules of this module."""
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
    """Scale samples so that `low` becomes 0 and `white` becomes 255."""
    import numpy as np  # noqa: PLC0415

    page = np.empty(samples.shape, np.uint8)
    exact = np.float32 if samples.dtype.itemsize <= 2 else np.float64
    for band in _bands(samples):
        if samples.dtype == np.uint16 and white == 65535:
            page[band] = samples[band] >> 8  # as in libpng, which OpenCV uses
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
    """The value of white for samples of type `kind` whose largest value is `high`."""
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
