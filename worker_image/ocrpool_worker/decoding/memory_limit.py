"""Limit the memory of a decoder, for files whose data is larger than their header says.

The header is checked before decoding, and decoders compare the data with it. But some of them
allocate memory first: an AVIF with a header of 64×64 pixels can hold 16,384×16,384.
"""

from __future__ import annotations

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrpool_worker.errors import NotAnImage

_STATM = Path("/proc/self/statm")
# Bytes for each pixel. Measured: JPEG 2000 40 (colour in 16 bits, one tile), AVIF and HEIC 25.
_PER_PIXEL = 96
# Copies of the file, or of its compressed pixels, that libraries make.
_COPIES = 2
# Memory that does not depend on the size of the picture: tables, stacks of threads.
_BESIDES = 64 * 2**20


@contextmanager
def bounded_memory(pixels: int, size: int = 0) -> Iterator[None]:
    """Limit the memory within this context to what a picture of `pixels` pixels can need.

    `size`: bytes of its file, which are in memory already. A MemoryError within the context becomes
    NotAnImage. Nothing is limited if the kernel does not report the memory in use.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    held, needed = _held(), _BESIDES + _PER_PIXEL * pixels + _COPIES * size
    limit = held + needed
    if not held or 0 <= soft <= limit or 0 <= hard <= limit:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    except MemoryError:
        raise NotAnImage(
            f"the image needs more memory than one of {pixels / 1e6:.1f} megapixels, the size in "
            "its header; save it again from the original",
            field="file",
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int:
    """Bytes of heap and private mappings, 0 if /proc does not report them."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[5]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return 0
