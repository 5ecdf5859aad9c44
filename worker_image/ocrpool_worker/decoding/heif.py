"""Check that a HEIC or AVIF file is complete."""

from __future__ import annotations

from ocrpool_worker.headers.boxes import boxes, first
from ocrpool_worker.ipc.shared_buffer import Buffer


def describe_truncation(data: Buffer) -> str | None:
    """Say how much of an incomplete file arrived; None for a complete one."""
    end, pixels = 0, False
    meta = None
    for box in boxes(data, 0, len(data)):
        end = box.end
        if box.kind == b"meta" and meta is None:  # decoders use the first one
            meta = box
            pixels = pixels or first(data, b"idat", box.start + 4, box.end) is not None
        pixels = pixels or box.kind == b"mdat"
    if end > len(data):
        return f"{len(data)} of {end} bytes or more arrived"
    if not pixels:
        return f"{len(data)} bytes arrived, and no pixels are among them"
    return None
