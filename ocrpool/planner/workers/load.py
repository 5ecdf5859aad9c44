"""How much work comes in, from what the workers count: measured in instances kept busy.

Pages differ in size, so pages are not counted but weighed: one unit of load is one instance that is
always on a page. What came in within a window is what was worked off, what the queues grew by, and
what was turned away:
    load = (worked off + growth of the backlog + turned away) / seconds        [page-seconds/second]
Pure: `now` is a number of seconds on the caller's own clock.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise

# The load is averaged over so long: over the second, since what half a minute brings is half
# chance, but over the first where pages do wait. Its trend is looked at over the others.
LOAD_SECONDS = 30.0
CALM_SECONDS = 240.0
TREND_SECONDS = (180.0, 600.0)
# Rates of more than this long ago are forgotten.
MEMORY_SECONDS = 600.0
# Who is refused comes again and is counted again: refusals weigh at most so much of what was
# worked off in the same time.
MOST_REFUSED = 2.0
# Before a page was read: what one takes, and what a worker takes from asked for to serving.
PAGE_SECONDS = 1.0
LEAD_SECONDS = 120.0
MOST_LEAD = 900.0


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker as it counts. `work`: seconds that its instances spent on pages, the one on which
    they are included. `room`: further instances that its device is likely to take. `age`: seconds
    since its pod was made. Counters since the worker started."""

    name: str
    serving: bool
    instances: int
    room: int
    work: float
    pages: int
    answered: int
    refused: int
    waiting: int
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What came between one look and the next, and what waited at its end."""

    at: float
    seconds: float
    work: float
    pages: int
    answered: int
    refused: int
    waiting: int


@dataclass(frozen=True, slots=True)
class LoadHistory:
    """What is remembered of earlier looks."""

    counted: tuple[WorkerLoad, ...] = ()
    samples: tuple[LoadSample, ...] = ()
    at: float | None = None
    page_seconds: float = PAGE_SECONDS
    pages_each: float = 1.0
    slots: float = 0.0
    lead: float = LEAD_SECONDS


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """Instances kept busy: `fast`, over half a minute; `now`, over some minutes; `soon`, when a
    worker that is asked for now would serve, `lead` seconds later."""

    fast: float
    now: float
    soon: float
    lead: float


def record_load(past: LoadHistory, workers: tuple[WorkerLoad, ...], now: float) -> LoadHistory:
    """Take one more look. A worker that is silent for a while is counted when it speaks again."""
    before = {each.name: each for each in past.counted}
    work, pages, answered, refused, lead = 0.0, 0, 0, 0, past.lead
    for each in workers:
        old = before.get(each.name)
        comes = each.serving and each.pages == 0 and (old is None or not old.serving)
        if comes and past.at is not None:
            lead = (lead + min(each.age, MOST_LEAD)) / 2
        if old is None:
            continue
        if each.pages < old.pages or each.refused < old.refused:
            continue  # its container began anew
        work += max(0.0, each.work - old.work)
        pages += each.pages - old.pages
        answered += max(0, each.answered - old.answered)
        refused += each.refused - old.refused
    serving = [each for each in workers if each.serving]
    slots = past.slots
    if serving:
        slots = max(1.0, sum(each.instances + each.room for each in serving) / len(serving))
    samples = past.samples
    if past.at is not None and now > past.at:
        waiting = sum(each.waiting for each in workers)
        new = LoadSample(now, now - past.at, work, pages, answered, refused, waiting)
        samples = (*samples[_first_after(samples, now - MEMORY_SECONDS) :], new)
    counted = before | {each.name: each for each in workers}
    here = {each.name for each in workers}
    gone = [name for name in counted if name not in here]
    # Names of pods that are gone never come back; a few silent ones are kept.
    for name in gone[: max(0, len(gone) - len(here) - 8)]:
        del counted[name]
    return _weighed(
        replace(
            past, counted=tuple(counted.values()), samples=samples, at=now, slots=slots, lead=lead
        )
    )


def _weighed(past: LoadHistory) -> LoadHistory:
    """With what a page takes, and how many pages a request has, over all that is remembered."""
    pages, answered, work = 0, 0, 0.0
    for one in past.samples:
        pages += one.pages
        answered += one.answered
        work += one.work
    if not pages or not work:
        return past
    return replace(
        past, page_seconds=work / pages, pages_each=max(1.0, pages / answered) if answered else 1.0
    )


def estimate_load(past: LoadHistory, seconds: float) -> LoadEstimate:
    """What came in, at most over the last so many seconds, and where it is going."""
    if not past.samples:
        return LoadEstimate(0.0, 0.0, 0.0, past.lead)
    span = min(CALM_SECONDS, seconds)
    fast, now = _came_within(past, min(LOAD_SECONDS, span)), _came_within(past, span)
    rise = max(0.0, min(_slope(past, each) for each in TREND_SECONDS))
    return LoadEstimate(fast, now, now + rise * (past.lead + span / 2), past.lead)


def estimate_backlog(past: LoadHistory) -> float:
    """Page-seconds that wait."""
    return past.samples[-1].waiting * past.page_seconds if past.samples else 0.0


def _came_within(past: LoadHistory, seconds: float) -> float:
    samples = past.samples
    first = _first_after(samples, samples[-1].at - seconds)
    return _came(past, min(first, len(samples) - 1), len(samples))


def _first_after(samples: tuple[LoadSample, ...], moment: float) -> int:
    return bisect_right(samples, moment, key=lambda one: one.at)


def _came(past: LoadHistory, first: int, end: int) -> float:
    """The load over samples[first:end], which are some."""
    seconds, work, refused = 0.0, 0.0, 0
    for one in past.samples[first:end]:
        seconds += one.seconds
        work += one.work
        refused += one.refused
    before = past.samples[first - 1].waiting if first else past.samples[0].waiting
    grown = (past.samples[end - 1].waiting - before) * past.page_seconds
    away = refused * past.page_seconds * past.pages_each
    return max(0.0, work + grown + min(away, MOST_REFUSED * work)) / seconds


def _slope(past: LoadHistory, span: float) -> float:
    """Growth of the load per second over the last `span` seconds, by least squares over its
    sixths; 0 where not so much is remembered."""
    samples = past.samples
    begin = samples[-1].at - span
    if samples[0].at - samples[0].seconds > begin:
        return 0.0
    ends = [_first_after(samples, begin + span * part / 6) for part in range(7)]
    if any(low == high for low, high in pairwise(ends)):
        return 0.0
    loads = [_came(past, low, high) for low, high in pairwise(ends)]
    mean = sum(loads) / 6
    # Σ(i − 2.5)² = 17.5 for i = 0 … 5
    return sum((i - 2.5) * (load - mean) for i, load in enumerate(loads)) / 17.5 / (span / 6)
