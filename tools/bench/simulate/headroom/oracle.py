"""An oracle that sees the strangers' memory without noise or delay, and the future: the most
instance-seconds that anybody could have who keeps the reserve.

It retires an instance in the very moment in which the reserve would be touched and not before,
needs no second look and knows no cool-down; like everybody it boots one instance at a time.
"""

from __future__ import annotations

import numpy as np

from tools.bench.simulate.headroom.traces import FINE, Trace


def instance_seconds(trace: Trace) -> float:
    time = np.arange(len(trace.strangers)) * (trace.interval / FINE)
    peaks = np.full(len(time), float(trace.peaks[0][1]))
    for when, size in trace.peaks[1:]:
        # It even knows when the first instance meets a larger page: not before it comes.
        peaks[time >= when + trace.spread] = size
    room = (trace.total - trace.reserve - trace.strangers) / peaks
    fits = np.clip(np.floor(room), trace.minimum, trace.maximum).astype(int).tolist()
    width = trace.interval / FINE
    count, booted, seconds = 0, trace.boot, 0.0
    for index, most in enumerate(fits):
        now = index * width
        if count < most and now >= booted:
            count += 1
            booted = now + trace.boot
        if count >= most:
            count = most
            booted = now + trace.boot  # the next boot begins when there is room for it
        seconds += count * width
    return seconds
