"""Did the last instance bring any pages? Measured from the worker's counters, under load only.

Processes share a GPU by time slices and a CPU by its cores: from some number on, one more brings
no more pages per second, only less memory for others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ocrpool.protocol import State

# Instances must have been at work for this share of the time, or the figure says nothing.
BUSY_SHARE = 0.7
# A count's figure rests on so many pages, or on what came within so many seconds.
MIN_PAGES = 200
MIN_SECONDS = 60.0
# "Nothing": even one standard error above what was measured, the last instance brought less than
# this share of what an equal one among them would have brought.
MIN_GAIN_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class ThroughputSample:
    """What `instances` warm instances did under load: pages, in seconds, and how many
    instance-seconds of them were spent on pages."""

    instances: int = 0
    pages: float = 0.0
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Pages per second, of all instances together."""
        return self.pages / self.seconds if self.seconds else 0.0

    @property
    def loaded(self) -> bool:
        return self.busy >= BUSY_SHARE * self.instances * self.seconds > 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """The sample of the present count and that of one fewer; and where the counters stood at the
    last look, if it was under load (`at` is NaN where it was not)."""

    now: ThroughputSample = field(default_factory=ThroughputSample)
    fewer: ThroughputSample = field(default_factory=ThroughputSample)
    at: float = math.nan
    pages: int = 0
    page_seconds: float = 0.0

    @property
    def measuring(self) -> bool:
        """Under load, and the present count's figure does not yet rest on enough."""
        known = self.fewer.loaded and self.fewer.instances == self.now.instances - 1
        enough = self.now.pages >= MIN_PAGES or self.now.seconds >= MIN_SECONDS
        return known and not math.isnan(self.at) and not enough

    @property
    def gain(self) -> float | None:
        """By what share the last instance raised the pages per second; None if not known."""
        now, fewer = self.now, self.fewer
        if not (now.loaded and fewer.loaded and fewer.rate and now.pages):
            return None
        return now.rate / fewer.rate - 1 if fewer.instances == now.instances - 1 else None

    @property
    def gained_nothing(self) -> bool:
        """Whether the last instance surely brought less than a quarter of an equal share.

        Pages come at random, so a rate made of N pages is uncertain by 1/√N of itself.
        """
        gain = self.gain
        if gain is None or self.measuring:
            return False
        error = (1 + gain) * math.sqrt(1 / self.now.pages + 1 / self.fewer.pages)
        return gain + error < MIN_GAIN_SHARE / self.fewer.instances


def record_throughput(before: Throughput, state: State, now: float) -> Throughput:
    """Take one more look at the counters."""
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
        if sample.pages > 2 * MIN_PAGES:  # what was long ago counts for less and less
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
    """Requests wait, or no warm instance rests."""
    if state.queue.depth > 0:
        return True
    states = [one.state for one in state.instances.each]
    return "busy" in states and "idle" not in states
