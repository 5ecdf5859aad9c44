"""PBM, PGM and PPM: the samples lie there as they are, or are written out as numbers.

Pillow takes minutes for the numbers of a page, and OpenCV does not scale by the largest value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.decoding.raster import from_array
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers.netpbm import Head, head
from ocrpool_worker.ipc.mailbox import Buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ocrpool_worker.engine.base import Pixels

_OF_NUMBERS = b"0123456789 \t\n\v\f\r"
STARTS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
_COMMENT = re.compile(rb"#[^\n\r]*")


def missing(data: Buffer) -> str | None:
    """How much arrived of one that is not complete, None where it is. One of numbers is looked at
    when it is decoded."""
    found = head(data)
    if found.kind <= 3:
        return None
    row, arrived = _row(found), len(data) - found.pixels_at
    if arrived >= row * found.height:
        return None
    size = found.pixels_at + row * found.height
    return f"{arrived // row} of its {found.height} rows and {len(data)} of {size} bytes arrived"


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """The page of a complete one. Raises NotAnImage or TooLarge."""
    import numpy as np  # noqa: PLC0415

    found = head(data)
    check_pixels(found.width, found.height, max_pixels)
    if found.kind == 4:
        rows = np.frombuffer(data, np.uint8, _row(found) * found.height, found.pixels_at)
        bits = np.unpackbits(rows.reshape(found.height, -1), axis=1)
        return from_array(np.where(bits[:, : found.width], 0, 255).astype(np.uint8))
    shape = (found.height, found.width, 3 if found.kind in (3, 6) else 1)
    count = found.height * found.width * shape[2]
    if found.kind > 4:
        kind = np.dtype(">u2" if found.largest > 255 else "u1")
        samples = np.frombuffer(data, kind, count, found.pixels_at)
    else:
        samples = _numbers(bytes(data[found.pixels_at :]), found, count)
    return from_array(_scaled(samples, found.largest).reshape(shape)[:, :, ::-1])


def _row(found: Head) -> int:
    """Bytes of a row that is no text."""
    if found.kind == 4:
        return (found.width + 7) // 8
    samples = found.width * (3 if found.kind == 6 else 1)
    return samples * (2 if found.largest > 255 else 1)


def _numbers(text: bytes, found: Head, count: int) -> NDArray[Any]:
    """Samples that are written out. Raises NotAnImage where there are fewer."""
    import numpy as np  # noqa: PLC0415

    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    if found.kind == 1:  # digits, with or without blanks between them
        digits = np.frombuffer(text, np.uint8)
        samples = 1 - (digits[(digits == ord("0")) | (digits == ord("1"))][:count] - ord("0"))
    else:
        # What is no number ends them; that there are too few is told below.
        numbers = np.isin(np.frombuffer(text, np.uint8), np.frombuffer(_OF_NUMBERS, np.uint8))
        if not numbers.all():
            text = text[: int(numbers.argmin())]
        # Not with `count`: numpy 2.3 leaves what it does not find as it was in memory. And of
        # blanks alone it makes a number.
        samples = np.fromstring(text if text.strip() else b"", np.uint32, sep=" ")[:count]
    if len(samples) < count:
        rows = len(samples) * found.height // count
        raise NotAnImage(
            f"the P{found.kind} image is not complete: {rows} of its {found.height} rows arrived; "
            "send the whole file (was the upload interrupted?)",
            field="file",
        )
    page: NDArray[Any] = samples
    return page


def _scaled(samples: NDArray[Any], largest: int) -> NDArray[np.uint8]:
    """Bytes of which 255 is what `largest` was."""
    import numpy as np  # noqa: PLC0415

    if largest == 255 and samples.dtype == np.uint8:
        return samples
    wide = np.minimum(samples, largest).astype(np.float32)
    bytes_of: NDArray[np.uint8] = np.rint(wide * np.float32(255 / largest)).astype(np.uint8)
    return bytes_of
