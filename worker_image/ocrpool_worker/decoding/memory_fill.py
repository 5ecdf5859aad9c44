"""Give decoders memory without its old contents.

The C library reuses freed memory without clearing it. A decoder that does not write every pixel
(such as OpenCV 4.10 for a JPEG that is cut off) would show data of an earlier page, which belongs
to another client. So incomplete files are refused before decoding (`completeness`), and here every
block is filled with a constant.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# <malloc.h>: every block that malloc gives out or takes back is filled with one byte.
_M_PERTURB = -6
# glibc fills new blocks with the complement: they are 0x00, and 0xff once they are freed.
_FILL, _NO_FILL = 0xFF, 0


def _find_mallopt() -> Callable[[int, int], int] | None:
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return None  # another C library than glibc
    return mallopt


_mallopt = _find_mallopt()


@contextmanager
def clean_memory() -> Iterator[None]:
    """Within this context, newly allocated memory holds no data of earlier pages.

    It has no effect if the C library is not glibc. glibc does not fill blocks below a kilobyte,
    which it keeps for each thread, but no picture with text is that small.
    """
    if _mallopt is None:
        yield
        return
    _mallopt(_M_PERTURB, _FILL)
    try:
        yield
    finally:
        _mallopt(_M_PERTURB, _NO_FILL)
