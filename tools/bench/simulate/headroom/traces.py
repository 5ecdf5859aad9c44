"""What happens on a simulated GPU independent of the planner: one random trace for each seed.

Times are seconds, memory is bytes. The ranges cover what is known of PaddleOCR: instances of 0.7 to
8 GiB (PaddleX#4506), starts of 5 to 30 s, memory that grows with the largest page and stays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GI = 2**30
# Points of the curve of other processes in one observation interval.
FINE = 8


@dataclass(frozen=True)
class Trace:
    """`other_processes`: bytes that other processes hold, FINE points an interval. `peaks`: (time,
    bytes) from which on the largest page needs so much; each instance reads it `spread` seconds
    later on average. `noise`: standard deviation of the observed `free`."""

    seed: int
    total: int
    reserve: int
    minimum: int
    maximum: int
    interval: float
    observations: int
    delay: float
    noise: float
    startup: float
    exit_seconds: float
    crash: float
    peaks: tuple[tuple[float, int], ...]
    spread: float
    other_processes: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        return self.interval * self.observations

    def growth(self, seconds: float) -> float:
        """The most that other processes grow within so many seconds, in reserves."""
        step = max(1, round(seconds / self.interval * FINE))
        rise = self.other_processes[step:] - self.other_processes[:-step]
        return float(rise.max(initial=0.0)) / self.reserve

    @property
    def reaction(self) -> float:
        """Seconds from the growth of other processes until an instance has given memory back: they
        may grow just after an observation, the observation takes a delay, and the instance must
        end."""
        return self.interval + self.delay + self.exit_seconds


def make_trace(seed: int, observations: int) -> Trace:
    """The trace of a seed: the same on every machine."""
    dice = random.Random(seed)
    total = dice.choice((8, 12, 16, 24, 40, 80)) * GI
    footprint = int(dice.uniform(0.02, 0.25) * total)
    footprint = min(max(footprint, int(0.7 * GI)), 8 * GI)
    reserve = int(dice.choice((0.5, 1, 1, 1, 2)) * GI)
    interval = dice.choice((2.0, 5.0, 5.0, 10.0))
    seconds = interval * observations
    times = sorted(dice.uniform(0.1, 0.9) * seconds for _ in range(dice.choice((0, 0, 1, 1, 2, 3))))
    # Instances are warmed up with the largest admitted page, so later growth is small.
    peaks = [(0.0, footprint)]
    for when in times:
        peaks.append((when, peaks[-1][1] + int(dice.uniform(0.01, 0.3) * reserve)))
    most = total - reserve - int(1.05 * peaks[-1][1])
    other_processes = _other_processes(
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
        startup=dice.uniform(5.0, 30.0),
        exit_seconds=dice.uniform(0.05, 0.3) * interval,
        crash=dice.choice((0.0, 0.0, 1 / 7200)),
        peaks=tuple(peaks),
        spread=dice.uniform(5.0, 60.0),
        other_processes=other_processes,
    )


def _other_processes(
    dice: random.Random, total: int, reserve: int, most: int, time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Processes that arrive, grow, stay, shrink and leave. They always leave the reserve and one
    instance: otherwise every plan would run out of memory."""
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
