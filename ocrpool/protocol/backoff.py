"""How long to wait before the next try: written once, for the worker and its operator."""

from __future__ import annotations

# 2.0 to the power of 1,024 is no float any more; no pause needs more doublings than this.
_MOST_DOUBLINGS = 64


def backoff_seconds(failures: int, *, first: float, most: float) -> float:
    """Seconds to wait after so many failures in a row: `first`, doubled with each further one, and
    never above `most`. 0 where nothing has failed."""
    if failures <= 0:
        return 0.0
    return min(first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), most)
