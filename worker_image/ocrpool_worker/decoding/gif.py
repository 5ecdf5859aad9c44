"""Check that a GIF is complete, and count its frames."""

from __future__ import annotations

import struct

from ocrpool_worker.headers import UnknownFormat
from ocrpool_worker.headers import gif as header
from ocrpool_worker.ipc.shared_buffer import Buffer

# Blocks of up to 255 bytes. No program writes files with more. The decoder decides about such a
# file.
_MOST_BLOCKS = 500_000


def describe_truncation(data: Buffer) -> str | None:
    """Say how much of an incomplete GIF arrived; None for a complete one.

    The end marker may be missing after a frame, as in browsers: some programs do not write it.
    """
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
        return f"{whole} complete frames arrived, and after {len(data)} bytes there is no end"
    except UnknownFormat:
        pass
    return None


def count_frames(data: Buffer) -> int:
    """The number of frames of a GIF, up to a bound; 1 for a damaged one."""
    try:
        return max(1, sum(1 for _ in header.frames(data, _MOST_BLOCKS)))
    except (struct.error, UnknownFormat):
        return 1
