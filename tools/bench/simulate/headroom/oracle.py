"""The most instance-seconds that are possible while the reserve stays free.

The oracle knows the memory of other processes without noise or delay, and the future. It retires an
instance at the moment at which the reserve would be used, needs no second observation and has no
cool-down. It starts one instance at a time, as every policy does.
"""

from __future__ import annotations

import numpy as np

from tools.bench.simulate.headroom.traces import FINE, Trace


def instance_seconds(trace: Trace) -> float:
    time = np.arange(len(trace.other_processes)) * (trace.interval / FINE)
    peaks = np.full(len(time), float(trace.peaks[0][1]))
    for when, size in trace.peaks[1:]:
        # It knows when the first instance reads a larger page.
        peaks[time >= when + trace.spread] = size
    room = (trace.total - trace.reserve - trace.other_processes) / peaks
    fits = np.clip(np.floor(room), trace.minimum, trace.maximum).astype(int).tolist()
    width = trace.interval / FINE
    count, started, seconds = 0, trace.startup, 0.0
    for index, most in enumerate(fits):
        now = index * width
        if count < most and now >= started:
            count += 1
            started = now + trace.startup
        if count >= most:
            count = most
            started = now + trace.startup  # the next start begins when memory is free for it
        seconds += count * width
    return seconds
