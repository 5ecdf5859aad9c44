"""Counts the frames of a TIFF, and refuses one whose tags would take memory or time without end.

Pillow reads every tag of every frame into memory as it passes it: a file of a megabyte can name
the same bytes in ten thousand tags, or chain millions of empty frames.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ocrpool_worker.errors import NotAnImage

if TYPE_CHECKING:
    import mmap

# Far beyond any limit of pages that a worker is given; where it is reached, it is the answer.
MOST_FRAMES = 100_000
# Tags looked at in all; a frame has some twenty.
MOST_TAGS = 1_000_000

_ENTRY_SIZE = 12
# Bytes of one value of each of TIFF's types.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def count_frames(data: mmap.mmap | bytes) -> int:
    """The number of frames of a TIFF. A chain that comes back to an earlier frame ends there, as
    decoders take it. Raises NotAnImage."""
    order = "<" if data[:2] == b"II" else ">"
    long, short = struct.Struct(order + "I"), struct.Struct(order + "H")
    entry = struct.Struct(order + "HHI4x")
    seen: set[int] = set()
    tags = 0
    try:
        (at,) = long.unpack_from(data, 4)
        while at and at not in seen and len(seen) < MOST_FRAMES:
            (count,) = short.unpack_from(data, at)
            end = at + short.size + count * _ENTRY_SIZE
            claimed = 0
            for _, kind, values in entry.iter_unpack(data[at + short.size : end]):
                size = _SIZES.get(kind, 1) * values
                claimed += size if size > long.size else 0
            tags += count
            if claimed > len(data):
                raise NotAnImage(
                    f"frame {len(seen) + 1} of the TIFF has tags of {claimed} bytes, and the file "
                    f"has {len(data)}",
                    field="file",
                )
            if tags > MOST_TAGS:
                raise NotAnImage(f"the TIFF has more than {MOST_TAGS} tags", field="file")
            seen.add(at)
            (at,) = long.unpack_from(data, end)
    except struct.error:
        # Cut off: what came before is there, and Pillow takes it.
        if not seen:
            raise NotAnImage("the TIFF ends within its first frame", field="file") from None
    return max(1, len(seen))
