"""Starts work on inputs ahead of their turn and yields the results in the order of the inputs."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def in_order(
    inputs: Iterator[_In],
    start: Callable[[_In, int], _Out],
    running: deque[_Out],
    window: int,
) -> Iterator[_Out | None]:
    """Call `start(input, index)` for each input and yield what it returned, in order.

    Up to `window` inputs are started ahead; `running` holds those whose result was not yielded yet,
    so that the caller can cancel them. None is yielded after each start: the caller decides when
    the next input is drawn. An error that `inputs` raises is raised after the results of the inputs
    before it.
    """
    failed: Exception | None = None
    for index in itertools.count():
        try:
            each = next(inputs)
        except StopIteration:
            break
        except Exception as error:
            failed = error
            break
        running.append(start(each, index))
        yield None
        if len(running) == window:
            yield running.popleft()
    while running:
        yield running.popleft()
    if failed is not None:
        raise failed
