"""Estimate the load of a pool from the workers' counters, in instances kept busy.

Pages differ in size, so pages are weighted by the time that they take: one unit of load is one
instance that is always busy. The load of a window is what was processed, the growth of the queues
and what was refused:
    load = (processed + growth of the backlog + refused) / seconds        [page-seconds/second]
Pure: `now` is in seconds, on any clock of the caller that never jumps.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise

# Windows of the load average. The long one is the default, since half a minute is mostly noise; the
# short one counts if pages wait. The trend is measured over both of the others.
SHORT_LOAD_SECONDS = 30.0
LONG_LOAD_SECONDS = 240.0
TREND_SECONDS = (180.0, 600.0)
# How long samples are kept.
HISTORY_SECONDS = 600.0
# Refused clients retry and are counted again. So refusals count at most this many times what was
# processed in the same time.
MAX_REFUSED_SHARE = 2.0
# Estimates until measured: seconds of a page, and seconds from creating a worker to serving.
PAGE_SECONDS = 1.0
LEAD_SECONDS = 120.0
MAX_LEAD_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """Figures of one worker; counters since it started. `work`: seconds that its instances spent on
    pages, including the current ones. `growth`: further instances that its device probably holds.
    `age`: seconds since its pod was created."""

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
    """Work between two observations, and what waited at the end."""

    at: float
    seconds: float
    work: float
    pages: int
    answered: int
    refused: int
    waiting: int


@dataclass(frozen=True, slots=True)
class LoadHistory:
    """What is remembered of earlier observations."""

    counts: tuple[WorkerLoad, ...] = ()
    samples: tuple[LoadSample, ...] = ()
    observed_at: float | None = None
    page_seconds: float = PAGE_SECONDS
    pages_per_request: float = 1.0
    instances_per_worker: float = 0.0
    lead_seconds: float = LEAD_SECONDS


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """Load in instances kept busy: `short_term` over half a minute, `current` over some minutes,
    `predicted` for the time when a worker that is requested now would serve, after
    `lead_seconds`."""

    short_term: float
    current: float
    predicted: float
    lead_seconds: float


def record_load(recorded: LoadHistory, workers: tuple[WorkerLoad, ...], now: float) -> LoadHistory:
    """Add an observation. A worker that did not answer is counted when it answers again."""
    before = {each.name: each for each in recorded.counts}
    work, pages, answered, refused, lead = 0.0, 0, 0, 0, recorded.lead_seconds
    for each in workers:
        old = before.get(each.name)
        starts_serving = each.serving and each.pages == 0 and (old is None or not old.serving)
        if starts_serving and recorded.observed_at is not None:
            lead = (lead + min(each.age, MAX_LEAD_SECONDS)) / 2
        if old is None:
            continue
        if each.pages < old.pages or each.refused < old.refused:
            continue  # its container was restarted
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
    present = {each.name for each in workers}
    gone = [name for name in counted if name not in present]
    # Uids of deleted pods never come back. Keep a few that may only not have answered.
    for name in gone[: max(0, len(gone) - len(present) - 8)]:
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
    """Update seconds per page and pages per request from all samples."""
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
    """Return the load over at most the last `seconds`, and its prediction."""
    if not recorded.samples:
        return LoadEstimate(0.0, 0.0, 0.0, recorded.lead_seconds)
    span = min(LONG_LOAD_SECONDS, seconds)
    fast, now = _load_within(recorded, min(SHORT_LOAD_SECONDS, span)), _load_within(recorded, span)
    rise = max(0.0, min(_slope(recorded, each) for each in TREND_SECONDS))
    return LoadEstimate(
        fast, now, now + rise * (recorded.lead_seconds + span / 2), recorded.lead_seconds
    )


def estimate_backlog(recorded: LoadHistory) -> float:
    """Return the page-seconds that wait in queues."""
    return recorded.samples[-1].waiting * recorded.page_seconds if recorded.samples else 0.0


def _load_within(recorded: LoadHistory, seconds: float) -> float:
    samples = recorded.samples
    first = _first_after(samples, samples[-1].at - seconds)
    return _load_between(recorded, min(first, len(samples) - 1), len(samples))


def _first_after(samples: tuple[LoadSample, ...], moment: float) -> int:
    return bisect_right(samples, moment, key=lambda one: one.at)


def _load_between(recorded: LoadHistory, first: int, end: int) -> float:
    """Return the load over samples[first:end], which must not be empty."""
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
    """Return the growth of the load per second over the last `span` seconds, by least squares over
    six parts; 0 if the samples do not reach back that far."""
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
