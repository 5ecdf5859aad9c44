"""Memory that decoders are given without what was in it before.

The C library hands freed memory out again as it is. A decoder that does not write every pixel (as
OpenCV 4.10 does with a JPEG that breaks off) would show what this process read before: somebody
else's page. So files are held against their own sizes before they are decoded (`complete`), and,
whatever a decoder then leaves out, it is one constant.
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
    """What is allocated meanwhile holds nothing of earlier pages. Where the C library cannot do
    that (it is not glibc), nothing happens. Blocks under a kilobyte, which glibc keeps for each
    thread, are given out as they are: no picture that holds a text is so small."""
    if _mallopt is None:
        yield
        return
    _mallopt(_M_PERTURB, _FILL)
    try:
        yield
    finally:
        _mallopt(_M_PERTURB, _NO_FILL)
