"""Whether a GIF is there to its end, and how many frames it has."""

from __future__ import annotations

import struct

from ocrpool_worker.headers import UnknownFormat
from ocrpool_worker.headers import gif as header
from ocrpool_worker.ipc.shared_buffer import Buffer

# Of up to 255 bytes each. A file of more is none that a program wrote, and the decoder shall say
# what it thinks of it.
_MOST_BLOCKS = 500_000


def describe_truncation(data: Buffer) -> str | None:
    """How much arrived of one that is not complete, None where it is. The end itself may be missing
    after a frame, as browsers have it: some programs do not write it."""
    whole, before = 0, header.NOTHING
    try:
        for kind, _ in header.walk(data, _MOST_BLOCKS):
            whole += before == header.FRAME
            if kind == header.END or (kind == header.NOTHING and before == header.FRAME):
                return None
            if kind == header.NOTHING:
                raise struct.error
            before = kind
    except struct.error:
        return f"{whole} frames arrived whole, and after {len(data)} bytes there is no end"
    except UnknownFormat:
        pass
    return None


def count_frames(data: Buffer) -> int:
    """The frames of a GIF, up to a bound; 1 for a damaged one."""
    try:
        return max(1, sum(1 for _ in header.frames(data, _MOST_BLOCKS)))
    except (struct.error, UnknownFormat):
        return 1
