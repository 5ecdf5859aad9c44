"""What happens on a simulated GPU whatever the planner does: one random trace for each seed.

Times are seconds, memory is bytes. The figures span what is known of PaddleOCR: instances of 0.7 to
8 GiB (PaddleX#4506), boots of 5 to 30 s, memory that ratchets with the largest page.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GI = 2**30
# Points of the strangers' curve in one observation interval.
FINE = 8


@dataclass(frozen=True)
class Trace:
    """`strangers`: bytes that others hold, FINE points an interval. `peaks`: (time, bytes) from
    when on the largest page needs so much; each instance meets it `spread` seconds later on
    average. `noise`: standard deviation of what is seen of `free`."""

    seed: int
    total: int
    reserve: int
    minimum: int
    maximum: int
    interval: float
    observations: int
    delay: float
    noise: float
    boot: float
    death: float
    crash: float
    peaks: tuple[tuple[float, int], ...]
    spread: float
    strangers: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        return self.interval * self.observations

    def growth(self, seconds: float) -> float:
        """The most that strangers grow within so many seconds, in reserves."""
        step = max(1, round(seconds / self.interval * FINE))
        rise = self.strangers[step:] - self.strangers[:-step]
        return float(rise.max(initial=0.0)) / self.reserve

    @property
    def reaction(self) -> float:
        """From when strangers begin to grow until memory is back: they may begin just after a
        look, the look must arrive, and an instance must end."""
        return self.interval + self.delay + self.death


def make(seed: int, observations: int) -> Trace:
    """The trace of a seed: the same on every machine."""
    dice = random.Random(seed)
    total = dice.choice((8, 12, 16, 24, 40, 80)) * GI
    footprint = int(dice.uniform(0.02, 0.25) * total)
    footprint = min(max(footprint, int(0.7 * GI)), 8 * GI)
    reserve = int(dice.choice((0.5, 1, 1, 1, 2)) * GI)
    interval = dice.choice((2.0, 5.0, 5.0, 10.0))
    seconds = interval * observations
    times = sorted(dice.uniform(0.1, 0.9) * seconds for _ in range(dice.choice((0, 0, 1, 1, 2, 3))))
    # Instances are warmed up at the largest admitted page, so what comes beyond is small.
    peaks = [(0.0, footprint)]
    for when in times:
        peaks.append((when, peaks[-1][1] + int(dice.uniform(0.01, 0.3) * reserve)))
    most = total - reserve - int(1.05 * peaks[-1][1])
    strangers = _strangers(
        dice, total, reserve, most, interval * np.arange(observations * FINE + 1) / FINE
    )
    return Trace(
        seed=seed,
        total=total,
        reserve=reserve,
        minimum=1,
        maximum=dice.choice((4, 8, 8, 16)),
        interval=interval,
        observations=observations,
        delay=dice.uniform(0.0, 0.1) * interval,
        noise=dice.uniform(0.0, 0.03) * reserve,
        boot=dice.uniform(5.0, 30.0),
        death=dice.uniform(0.05, 0.3) * interval,
        crash=dice.choice((0.0, 0.0, 1 / 7200)),
        peaks=tuple(peaks),
        spread=dice.uniform(5.0, 60.0),
        strangers=strangers,
    )


def _strangers(
    dice: random.Random, total: int, reserve: int, most: int, time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tenants that come, ramp up, stay, ramp down and go. They never take what the reserve and one
    instance need: that would be out of memory whatever anybody plans."""
    points, seconds, step = len(time), float(time[-1]), float(time[FINE])
    held = np.full(points, dice.uniform(0.0, 0.3) * total)
    for _ in range(dice.choice((0, 1, 2, 2, 3, 4))):
        size = dice.uniform(0.03, 0.4) * total
        rate = dice.uniform(0.02, 1.4) * reserve / step
        begin = dice.uniform(0.0, 1.0) * seconds
        stay = dice.expovariate(1 / (0.4 * seconds))
        fall = dice.uniform(0.1, 4.0) * reserve / step
        up = np.clip((time - begin) * rate, 0.0, size)
        down = np.clip((time - begin - size / rate - stay) * fall, 0.0, size)
        held += up - down
    wobble = np.random.default_rng(dice.getrandbits(32)).normal(0.0, 0.01 * reserve, points)
    curve: NDArray[np.float64] = np.clip(held + wobble, 0.0, most)
    return curve
