"""A bound on the memory of a decoder, for files whose data is of another size than they say.

A header is looked at before its file is decoded, and decoders hold what they find against it, but
not all of them before they make room for it: an AVIF that says 64×64 can hold 16,384×16,384 pixels.
"""

from __future__ import annotations

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrpool_worker.errors import NotAnImage

_STATM = Path("/proc/self/statm")
# Measured, bytes a pixel: JPEG 2000 40 (colour in 16 bits, one tile), AVIF and HEIC 25.
_PER_PIXEL = 96
# Of a file, or of the part of it that is compressed pixels, that libraries make for themselves.
_COPIES = 2
# For what does not grow with the picture: tables, threads' stacks.
_BESIDES = 64 * 2**20


@contextmanager
def bounded_memory(pixels: int, size: int = 0) -> Iterator[None]:
    """What is decoded meanwhile gets as much memory as a picture of so many pixels may need, in a
    file of `size` bytes, which are there already.
    MemoryError that comes of this bound is raised as NotAnImage. Nothing happens where the kernel
    does not tell how much there is already."""
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
            f"the image takes more memory than one of {pixels / 1e6:.1f} megapixels, which its "
            "header says it is",
            field="file",
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int:
    """Bytes of heap and private mappings, 0 where /proc does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[5]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return 0
