"""Rounds in which every contestant has a turn, so that a slow minute of the machine affects all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """The options of every measurement. `quick`: one short round, to check that it runs. `before`:
    a commit whose worker is measured, too."""

    models: Path
    quick: bool
    before: str | None = None

    def rounds(self, full: int) -> int:
        return 1 if self.quick else full


def take_turns(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call each contestant once a round. Each round begins with another contestant."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(contestants[name]())
        say(f"round {number + 1} of {rounds} done")
    return results


def ratio(value: list[float], base: list[float]) -> float:
    """The median over the rounds of value divided by base in the same round, because both had the
    same conditions in a round."""
    return median(a / b for a, b in zip(value, base, strict=True))


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
