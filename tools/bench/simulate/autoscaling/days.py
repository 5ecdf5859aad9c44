"""The requests of one day: one random day for each kind and seed, independent of the policy.

Times are seconds. A request has one page; one in twelve is a document (a geometric number of pages,
four on average). The seconds that a page takes follow its size (log-normal, ±60 %) and the mix of
the day.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 86_400
MINUTES = DAY // 60
Curve = NDArray[np.float64]
KINDS = ("daily", "quiet nights", "ramps", "mixed pages", "bursts")


@dataclass(frozen=True)
class Day:
    """`at`: the time of each request, in order. Its pages are `first[i]` to `first[i + 1]` of
    `takes`, the seconds that an instance needs for each page.
    `slots`: instances of a full worker. A new worker gets its node after `node` seconds (a range,
    drawn for each worker); `startup`: from there to its first instance; `fill`: to each further
    one."""

    kind: str
    seed: int
    at: Curve
    first: NDArray[np.int64]
    takes: Curve
    slots: int
    node: tuple[float, float]
    startup: float
    fill: float
    maximum: int

    @property
    def full(self) -> float:
        """Seconds from the arrival of a node to a full worker."""
        return self.startup + self.fill * (self.slots - 1)


def make_day(kind: str, seed: int) -> Day:
    """The day of a seed: the same on every machine."""
    dice = random.Random(f"{kind} {seed}")
    numbers = np.random.default_rng(dice.getrandbits(64))
    slots = dice.choice((2, 3, 4))
    page = dice.uniform(0.7, 1.1)
    peak = dice.uniform(3.5, 7.0) * slots * 0.8  # instances kept busy at the peak
    load = peak * _SHAPES[kind](dice) * _wobble(numbers)
    mix = _mix(dice) if kind == "mixed pages" else np.ones(DAY)
    document = 4
    each = 1 + (document - 1) / 12
    arrivals = numbers.poisson(np.clip(load / (page * mix) / each, 0, None))
    second = np.repeat(np.arange(DAY), arrivals)
    at = np.sort(second + numbers.random(len(second)))
    documents = numbers.random(len(at)) < 1 / 12
    sizes = np.where(documents, numbers.geometric(1 / document, len(at)), 1)
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    spread = 0.55  # of the logarithm: a coefficient of variation of 0.6
    takes = numbers.lognormal(-(spread**2) / 2, spread, int(first[-1])) * page
    takes *= np.repeat(mix[np.minimum(at.astype(int), DAY - 1)], sizes)
    return Day(
        kind=kind,
        seed=seed,
        at=at,
        first=first,
        takes=takes,
        slots=slots,
        node=(90.0, 240.0),
        startup=dice.uniform(25.0, 50.0),
        fill=12.0,
        maximum=20,
    )


def _wobble(numbers: np.random.Generator) -> Curve:
    """Slow noise around 1: ±8 % over minutes."""
    steps = numbers.normal(0, 1, MINUTES // 5 + 2)
    smooth = np.convolve(steps, np.ones(3) / 3**0.5, mode="same") * 0.08
    curve: Curve = np.interp(np.arange(DAY), np.arange(len(steps)) * 300.0, 1 + smooth)
    return curve


def _hours(*points: tuple[float, float]) -> Curve:
    """A curve through (hour, value)."""
    hours, values = zip(*points, strict=True)
    curve: Curve = np.interp(np.arange(DAY) / 3600, hours, values)
    return curve


def _daily(dice: random.Random) -> Curve:
    """High in the morning, a dip at noon, low in the evening and at night."""
    low, noon, late = dice.uniform(0.06, 0.12), dice.uniform(0.6, 0.75), dice.uniform(0.25, 0.4)
    shift = dice.uniform(-1, 1)
    points = (
        (0.0, low), (6.0 + shift, low), (9.0 + shift, 0.95), (10.5 + shift, 1.0),
        (12.0 + shift, 0.85), (13.0 + shift, noon), (14.5 + shift, 0.9), (16.0 + shift, 0.75),
        (18.0 + shift, late), (21.0, low), (24.0, low),
    )  # fmt: skip
    return _hours(*points)


def _nights(dice: random.Random) -> Curve:
    """Nothing at night except for a batch; office hours begin within half an hour."""
    night = dice.uniform(0.0, 0.01)
    begin, batch = dice.uniform(7.5, 9.0), dice.uniform(1.0, 4.0)
    return _hours(
        (0, night), (batch, night), (batch + 0.1, 0.35), (batch + 0.8, 0.35), (batch + 0.9, night),
        (begin, night), (begin + 0.5, 0.9), (12, 1.0), (12.5, 0.7), (13.5, 0.95),
        (17, 0.8), (18, 0.1), (19, night), (24, night),
    )  # fmt: skip


def _ramps(dice: random.Random) -> Curve:
    """Levels of one to three hours, with half an hour to an hour between them."""
    hour, points = 0.0, [(0.0, 0.3)]
    while hour < 24:
        hour += dice.uniform(1, 3)
        points.append((hour, points[-1][1]))
        hour += dice.uniform(0.5, 1.0)
        points.append((hour, dice.uniform(0.1, 1.0)))
    return _hours(*points)


def _bursts(dice: random.Random) -> Curve:
    """A quarter of the peak all day, and five sudden peaks of 15 to 60 minutes."""
    level = np.full(DAY, 0.25)
    for place in range(5):
        begin = int((place + dice.uniform(0.1, 0.6)) * DAY / 5)
        level[begin : begin + int(dice.uniform(900, 3600))] = dice.uniform(0.6, 1.0)
    return level


def _mix(dice: random.Random) -> Curve:
    """The factor on the seconds of a page over the day: photos in the morning, scans later."""
    return _hours(*((hour, dice.uniform(0.6, 2.2)) for hour in range(0, 25, 3)))


_SHAPES: dict[str, Callable[[random.Random], Curve]] = {
    "daily": _daily,
    "quiet nights": _nights,
    "ramps": _ramps,
    "mixed pages": _daily,
    "bursts": _bursts,
}
