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
SHORT_LOAD_SECONDS = 30.0
LONG_LOAD_SECONDS = 240.0
TREND_SECONDS = (180.0, 600.0)
# Rates of more than this long ago are forgotten.
HISTORY_SECONDS = 600.0
# Who is refused comes again and is counted again: refusals weigh at most so much of what was
# worked off in the same time.
MAX_REFUSED_SHARE = 2.0
# Before a page was read: what one takes, and what a worker takes from asked for to serving.
PAGE_SECONDS = 1.0
LEAD_SECONDS = 120.0
MAX_LEAD_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker as it counts. `work`: seconds that its instances spent on pages, the one on which
    they are included. `room`: further instances that its device is likely to take. `age`: seconds
    since its pod was made. Counters since the worker started."""

    name: str
    serving: bool
    instances: int
    growth: int
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

    counts: tuple[WorkerLoad, ...] = ()
    samples: tuple[LoadSample, ...] = ()
    observed_at: float | None = None
    page_seconds: float = PAGE_SECONDS
    pages_per_request: float = 1.0
    instances_per_worker: float = 0.0
    lead_seconds: float = LEAD_SECONDS


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """Instances kept busy: `fast`, over half a minute; `now`, over some minutes; `soon`, when a
    worker that is asked for now would serve, `lead` seconds later."""

    short_term: float
    current: float
    predicted: float
    lead_seconds: float


def record_load(recorded: LoadHistory, workers: tuple[WorkerLoad, ...], now: float) -> LoadHistory:
    """Take one more look. A worker that is silent for a while is counted when it speaks again."""
    before = {each.name: each for each in recorded.counts}
    work, pages, answered, refused, lead = 0.0, 0, 0, 0, recorded.lead_seconds
    for each in workers:
        old = before.get(each.name)
        comes = each.serving and each.pages == 0 and (old is None or not old.serving)
        if comes and recorded.observed_at is not None:
            lead = (lead + min(each.age, MAX_LEAD_SECONDS)) / 2
        if old is None:
            continue
        if each.pages < old.pages or each.refused < old.refused:
            continue  # its container began anew
        work += max(0.0, each.work - old.work)
        pages += each.pages - old.pages
        answered += max(0, each.answered - old.answered)
        refused += each.refused - old.refused
    serving = [each for each in workers if each.serving]
    instances_per_worker = recorded.instances_per_worker
    if serving:
        instances_per_worker = max(
            1.0, sum(each.instances + each.growth for each in serving) / len(serving)
        )
    samples = recorded.samples
    if recorded.observed_at is not None and now > recorded.observed_at:
        waiting = sum(each.waiting for each in workers)
        new = LoadSample(now, now - recorded.observed_at, work, pages, answered, refused, waiting)
        samples = (*samples[_first_after(samples, now - HISTORY_SECONDS) :], new)
    counted = before | {each.name: each for each in workers}
    here = {each.name for each in workers}
    gone = [name for name in counted if name not in here]
    # Names of pods that are gone never come back; a few silent ones are kept.
    for name in gone[: max(0, len(gone) - len(here) - 8)]:
        del counted[name]
    return _with_averages(
        replace(
            recorded,
            counts=tuple(counted.values()),
            samples=samples,
            observed_at=now,
            instances_per_worker=instances_per_worker,
            lead_seconds=lead,
        )
    )


def _with_averages(recorded: LoadHistory) -> LoadHistory:
    """With what a page takes, and how many pages a request has, over all that is remembered."""
    pages, answered, work = 0, 0, 0.0
    for one in recorded.samples:
        pages += one.pages
        answered += one.answered
        work += one.work
    if not pages or not work:
        return recorded
    return replace(
        recorded,
        page_seconds=work / pages,
        pages_per_request=max(1.0, pages / answered) if answered else 1.0,
    )


def estimate_load(recorded: LoadHistory, seconds: float) -> LoadEstimate:
    """What came in, at most over the last so many seconds, and where it is going."""
    if not recorded.samples:
        return LoadEstimate(0.0, 0.0, 0.0, recorded.lead_seconds)
    span = min(LONG_LOAD_SECONDS, seconds)
    fast, now = _load_within(recorded, min(SHORT_LOAD_SECONDS, span)), _load_within(recorded, span)
    rise = max(0.0, min(_slope(recorded, each) for each in TREND_SECONDS))
    return LoadEstimate(
        fast, now, now + rise * (recorded.lead_seconds + span / 2), recorded.lead_seconds
    )


def estimate_backlog(recorded: LoadHistory) -> float:
    """Page-seconds that wait."""
    return recorded.samples[-1].waiting * recorded.page_seconds if recorded.samples else 0.0


def _load_within(recorded: LoadHistory, seconds: float) -> float:
    samples = recorded.samples
    first = _first_after(samples, samples[-1].at - seconds)
    return _load_between(recorded, min(first, len(samples) - 1), len(samples))


def _first_after(samples: tuple[LoadSample, ...], moment: float) -> int:
    return bisect_right(samples, moment, key=lambda one: one.at)


def _load_between(recorded: LoadHistory, first: int, end: int) -> float:
    """The load over samples[first:end], which are some."""
    seconds, work, refused = 0.0, 0.0, 0
    for one in recorded.samples[first:end]:
        seconds += one.seconds
        work += one.work
        refused += one.refused
    before = recorded.samples[first - 1].waiting if first else recorded.samples[0].waiting
    grown = (recorded.samples[end - 1].waiting - before) * recorded.page_seconds
    away = refused * recorded.page_seconds * recorded.pages_per_request
    return max(0.0, work + grown + min(away, MAX_REFUSED_SHARE * work)) / seconds


def _slope(recorded: LoadHistory, span: float) -> float:
    """Growth of the load per second over the last `span` seconds, by least squares over its
    sixths; 0 where not so much is remembered."""
    samples = recorded.samples
    begin = samples[-1].at - span
    if samples[0].at - samples[0].seconds > begin:
        return 0.0
    ends = [_first_after(samples, begin + span * part / 6) for part in range(7)]
    if any(low == high for low, high in pairwise(ends)):
        return 0.0
    loads = [_load_between(recorded, low, high) for low, high in pairwise(ends)]
    mean = sum(loads) / 6
    # Σ(i − 2.5)² = 17.5 for i = 0 … 5
    return sum((i - 2.5) * (load - mean) for i, load in enumerate(loads)) / 17.5 / (span / 6)
