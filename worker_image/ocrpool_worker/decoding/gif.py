"""Whether a GIF is there to its end, and how many frames it has."""

from __future__ import annotations

import struct

from ocrpool_worker.headers import Unknown
from ocrpool_worker.headers import gif as header
from ocrpool_worker.ipc.mailbox import Buffer

# Of up to 255 bytes each. A file of more is none that a program wrote, and the decoder shall say
# what it thinks of it.
_MOST_BLOCKS = 500_000


def missing(data: Buffer) -> str | None:
    """How much arrived of one that is not complete, None where it is."""
    whole = -1  # a frame is whole when the next thing begins
    try:
        for kind, _ in header.walk(data, _MOST_BLOCKS):
            if kind == header.END:
                return None
            whole += kind == header.FRAME
    except struct.error:
        return f"{max(0, whole)} frames arrived whole, and after {len(data)} bytes there is no end"
    except Unknown:
        pass
    return None


def count_frames(data: Buffer) -> int:
    """The frames of a GIF, up to a bound; 1 for a damaged one."""
    try:
        return max(1, sum(1 for _ in header.frames(data, _MOST_BLOCKS)))
    except (struct.error, Unknown):
        return 1
