"""Measure whether the last instance raised the throughput, from the worker's counters under load.

Instances share the GPU's time or the CPU's cores. From some number on, one more instance uses
memory but adds no pages per second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ocrpool.protocol import State

# A sample counts only if instances were busy for this share of its time.
BUSY_SHARE = 0.7
# A sample is complete with this many pages or after this many seconds.
MIN_PAGES = 200
MIN_SECONDS = 60.0
# The last instance gained nothing if, even one standard error above the measured gain, it added
# less than this share of an average instance's throughput.
MIN_GAIN_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class ThroughputSample:
    """Work of a number of warm instances under load. `busy` is in instance-seconds."""

    instances: int = 0
    pages: float = 0.0
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Pages per second of all instances together."""
        return self.pages / self.seconds if self.seconds else 0.0

    @property
    def loaded(self) -> bool:
        return self.busy >= BUSY_SHARE * self.instances * self.seconds > 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """Samples of the current number of instances and of one fewer, and the counters of the last
    observation. `at` is its time, or NaN if the worker was not under load."""

    now: ThroughputSample = field(default_factory=ThroughputSample)
    fewer: ThroughputSample = field(default_factory=ThroughputSample)
    at: float = math.nan
    pages: int = 0
    page_seconds: float = 0.0

    @property
    def measuring(self) -> bool:
        """Whether the worker is under load and the current sample is not complete."""
        known = self.fewer.loaded and self.fewer.instances == self.now.instances - 1
        enough = self.now.pages >= MIN_PAGES or self.now.seconds >= MIN_SECONDS
        return known and not math.isnan(self.at) and not enough

    @property
    def gain(self) -> float | None:
        """Relative gain in pages per second of the last instance; None if unknown."""
        now, fewer = self.now, self.fewer
        if not (now.loaded and fewer.loaded and fewer.rate and now.pages):
            return None
        return now.rate / fewer.rate - 1 if fewer.instances == now.instances - 1 else None

    @property
    def gained_nothing(self) -> bool:
        """Whether the last instance added less than a quarter of an average instance's throughput.

        Pages arrive at random, so a rate from N pages has a relative error of 1/√N.
        """
        gain = self.gain
        if gain is None or self.measuring:
            return False
        error = (1 + gain) * math.sqrt(1 / self.now.pages + 1 / self.fewer.pages)
        return gain + error < MIN_GAIN_SHARE / self.fewer.instances


def record_throughput(before: Throughput, state: State, now: float) -> Throughput:
    """Add one observation of the counters."""
    counters, ready = state.counters, state.instances.ready
    loaded = ready > 0 and _under_load(state)
    steady = loaded and ready == before.now.instances and not math.isnan(before.at)
    sample, fewer = before.now, before.fewer
    if steady and now > before.at and counters.pages >= before.pages:
        sample = ThroughputSample(
            ready,
            sample.pages + counters.pages - before.pages,
            sample.seconds + now - before.at,
            sample.busy + max(0.0, counters.page_seconds - before.page_seconds),
        )
        if sample.pages > 2 * MIN_PAGES:  # halve the weight of old pages
            sample = replace(
                sample, pages=sample.pages / 2, seconds=sample.seconds / 2, busy=sample.busy / 2
            )
    elif ready != sample.instances:
        if ready == sample.instances + 1:
            fewer = sample
        elif ready <= fewer.instances:
            fewer = ThroughputSample()
        sample = ThroughputSample(ready)
    at = now if loaded else math.nan
    return Throughput(sample, fewer, at, counters.pages, counters.page_seconds)


def _under_load(state: State) -> bool:
    """Whether requests wait or no warm instance is idle."""
    if state.queue.depth > 0:
        return True
    states = [one.state for one in state.instances.each]
    return "busy" in states and "idle" not in states
