"""The number of workers: properties that always hold, and one test per part of the rule."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrpool.planner.workers.autoscaling import (
    SHRINK_MARGIN,
    AutoscalingHistory,
    AutoscalingPolicy,
    PoolLoad,
    WorkerDecision,
    decide_worker_count,
    spare_instances,
    workers_for_load,
)
from ocrpool.planner.workers.load import (
    LEAD_SECONDS,
    LoadHistory,
    WorkerLoad,
    estimate_load,
    record_load,
)

POLICY = AutoscalingPolicy(1, 10, target=2.0, up=30.0, down=120.0, shared=True)


@dataclass
class Days:
    """A simulated pool, observed every 5 s; new workers serve after `lead` seconds."""

    policy: AutoscalingPolicy = POLICY
    slots: int = 4
    page: float = 0.5
    lead: float = 60.0
    room: int = 0
    now: float = 1000.0
    history: AutoscalingHistory = field(default_factory=AutoscalingHistory)
    ready: list[float] = field(default_factory=lambda: [0.0])
    work: float = 0.0
    waiting: float = 0.0
    refused: float = 0.0
    limit: float = 1e9
    last: WorkerDecision | None = None
    changes: list[int] = field(default_factory=list)
    silent: int = 0

    def run(self, load: float, seconds: float) -> Days:
        """Let a constant load of `load` busy instances arrive."""
        for _ in range(int(seconds / 5)):
            self.now += 5
            serving = sum(each <= self.now for each in self.ready)
            arrived = self.waiting * self.page + load * 5
            done = min(arrived, serving * self.slots * 5)
            left = (arrived - done) / self.page
            self.waiting = min(left, self.limit)
            self.refused += left - self.waiting
            self.work += done
            self.look()
        return self

    def figures(self) -> tuple[WorkerLoad, ...]:
        found = []
        for index, ready in enumerate(self.ready):
            first = index == 0
            pages = int(self.work / self.page) if first else 0
            found.append(
                WorkerLoad(
                    name=f"w{index}",
                    serving=ready <= self.now,
                    instances=self.slots,
                    growth=self.room,
                    work=self.work if first else 0.0,
                    pages=pages,
                    answered=pages,
                    refused=int(self.refused) if first else 0,
                    waiting=int(self.waiting) if first else 0,
                    age=self.lead,
                )
            )
        return tuple(found)

    def look(self) -> None:
        seen = PoolLoad(self.figures(), len(self.ready), self.silent)
        self.last = decide_worker_count(self.policy, self.history, seen, self.now)
        self.history = self.last.history
        wanted = self.last.desired
        if wanted != len(self.ready):
            self.changes.append(wanted)
        self.ready = self.ready[:wanted]
        self.ready += [self.now + self.lead] * (wanted - len(self.ready))

    @property
    def count(self) -> int:
        return len(self.ready)


loads = st.lists(st.tuples(st.floats(0, 60), st.integers(5, 300)), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(loads, st.integers(1, 4), st.integers(0, 6), st.booleans())
def test_it_stays_within_its_limits(
    steps: list[tuple[float, int]], minimum: int, more: int, shared: bool
) -> None:
    policy = replace(POLICY, minimum=minimum, maximum=minimum + more, shared=shared)
    days = Days(policy)
    for load, seconds in steps:
        days.run(load, seconds)
        assert minimum <= days.count <= minimum + more


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 35))
def test_steady_load_gets_enough_workers_without_flapping(load: float) -> None:
    days = Days().run(load, 900)
    before = list(days.changes)
    days.run(load, 1800)
    spare = spare_instances(POLICY, days.page, days.slots, load)

    assert days.count * days.slots >= min(load + spare, 40) - 0.5
    assert days.changes == before
    # Up by what has piled up meanwhile, then down to what is needed, and never up again.
    counts = [1, *before]
    ups = [after > count for count, after in itertools.pairwise(counts)]
    assert sum(up != next_up for up, next_up in itertools.pairwise(ups)) <= 1, counts


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 30), st.floats(0, 30))
def test_more_work_never_means_fewer_workers(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert Days().run(low, 900).count <= Days().run(high, 900).count


@given(st.floats(0, 100), st.floats(0, 3), st.integers(1, 16), st.booleans())
def test_formula_gives_the_fewest_sufficient_workers(
    load: float, share: float, slots: int, shared: bool
) -> None:
    policy = replace(POLICY, shared=shared)
    spare = min(share, slots / 2)
    count = workers_for_load(policy, load, spare, slots)

    def held(workers: int) -> float:
        return workers * slots - spare if shared else workers * (slots - spare)

    # Loads that lie on a border within what floats are rounded to may fall on either side of it.
    assert held(count) >= load - 1e-3
    assert count == 1 or held(count - 1) <= load + 1e-3


def test_growth_is_proportional_to_the_demand() -> None:
    days = Days().run(2.0, 600)
    assert days.count == 1
    days.run(16.0, 100)

    assert days.changes[0] >= 4
    assert days.count >= 5


def test_refused_requests_count_as_load() -> None:
    days = Days(limit=32).run(2.0, 300).run(20.0, 120)

    # One worker works off 4 of the 20; the rest is refused, and is wanted for all the same.
    assert days.refused > 0
    assert days.count >= 3
    days.run(20.0, 400)
    assert days.count * days.slots >= 20


def test_refused_requests_count_at_most_twice_the_processed_work() -> None:
    """A refused client retries at once and is counted again."""
    past, calm = LoadHistory(), figure(work=0, refused=0)
    past = record_load(past, (calm,), 0.0)
    for moment in range(5, 65, 5):
        storm = figure(work=4.0 * moment, refused=10_000 * moment)
        past = record_load(past, (storm,), float(moment))

    assert estimate_load(past, 60.0).current == pytest.approx(12.0)


def figure(**more: object) -> WorkerLoad:
    known: dict[str, object] = {
        "name": "w", "serving": True, "instances": 4, "growth": 0, "work": 0.0, "pages": 100,
        "answered": 100, "refused": 0, "waiting": 0,
    }  # fmt: skip
    return WorkerLoad(**{**known, **more})  # type: ignore[arg-type]


def test_instances_are_added_before_another_worker() -> None:
    full = Days(slots=2, limit=30).run(3.0, 300)
    roomy = Days(slots=2, room=6, limit=30).run(3.0, 300)

    assert full.count > 1
    assert roomy.count == 1


def test_shrinks_only_if_the_other_workers_suffice_with_a_margin() -> None:
    days = Days().run(10.0, 600)
    count = days.count
    held = (count - 1) * days.slots - spare_instances(POLICY, days.page, days.slots, 10.0)
    days.run(held / (1 + SHRINK_MARGIN) * 1.02, 1200)
    assert days.count == count
    days.run(held / (1 + SHRINK_MARGIN) * 0.95, 1200)
    assert days.count == count - 1


def test_shrinks_only_after_the_stabilization_window() -> None:
    days = Days().run(16.0, 600)
    count = days.count
    days.run(0.0, POLICY.down - 10)
    assert days.count == count
    days.run(0.0, 200)
    assert days.count == 1


def test_shrinks_only_a_full_window_after_an_operator_restart() -> None:
    days = Days().run(16.0, 600)
    count, days.history = days.count, AutoscalingHistory()
    days.run(0.0, POLICY.down - 10)

    assert days.count == count


def test_does_not_shrink_while_a_ready_worker_does_not_answer() -> None:
    days = Days().run(16.0, 600)
    count, days.silent = days.count, 1
    days.run(0.0, 600)

    assert days.count == count
    assert days.last is not None
    assert days.last.reason == "Silent"
    days.silent = 0
    days.run(0.0, POLICY.down + 10)
    assert days.count == 1


def test_pending_workers_are_not_requested_again() -> None:
    days = Days(lead=1e9, limit=64).run(2.0, 300).run(12.0, 900)

    assert days.changes == sorted(days.changes)
    assert days.count <= 6


def test_rising_load_is_predicted() -> None:
    """The trend of the last minutes is extrapolated by the lead time of a worker."""
    days = Days(lead=180.0).run(2.0, 600)
    late = 0
    for step in range(120):
        days.run(2.0 + step * 0.15, 30)
        serving = sum(each <= days.now for each in days.ready)
        late += 2.0 + step * 0.15 > serving * days.slots
    assert late <= 2


def test_lead_time_is_measured() -> None:
    days = Days(lead=400.0).run(2.0, 300).run(30.0, 1200)

    assert days.history.recorded.lead_seconds > LEAD_SECONDS + 50


def test_at_max_is_set_and_cleared() -> None:
    days = Days(replace(POLICY, maximum=2)).run(20.0, 200)
    assert days.last is not None
    assert days.last.reason == "AtMax"
    assert days.history.at_max
    days.run(1.0, 900)
    assert not days.history.at_max


def test_holds_without_a_serving_worker() -> None:
    found = decide_worker_count(
        POLICY, AutoscalingHistory(), PoolLoad((figure(serving=False),), 3), 0.0
    )

    assert (found.desired, found.reason) == (3, "NotMeasured")


def test_new_limits_take_effect_at_once() -> None:
    seen = PoolLoad((figure(),), 1)

    assert (
        decide_worker_count(replace(POLICY, minimum=3), AutoscalingHistory(), seen, 0.0).desired
        == 3
    )
    found = decide_worker_count(
        replace(POLICY, maximum=2), AutoscalingHistory(), replace(seen, desired=5), 0.0
    )
    assert found.sentence == "5 → 2: maxReplicas is 2"


SUM = re.compile(
    r"(?P<before>\d+) → (?P<after>\d+): \(?load (?P<load>[\d.]+)[^+×>]*"
    r"(\+ (?P<backlog>[\d.]+) backlog \((?P<waits>\d+) s of pages in (?P<within>\d+) s\))?\)? ?"
    r"(× (?P<margin>[\d.]+) )?(?P<sign>[>≤]) (?P<workers>\d+) × \(?(?P<slots>[\d.]+) − "
    r"(?P<spare>[\d.]+) spare\)?"
)


@settings(max_examples=25, deadline=None)
@given(loads, st.booleans())
def test_numbers_in_sentences_add_up(steps: list[tuple[float, int]], shared: bool) -> None:
    days = Days(replace(POLICY, shared=shared))
    for load, seconds in steps:
        for _ in range(seconds // 5):
            before = days.count
            days.run(load, 5)
            assert days.last is not None
            if days.count != before:
                check(days.last.sentence, before, days.count, shared)


def check(sentence: str, before: int, after: int, shared: bool) -> None:
    found = SUM.match(sentence)
    assert found, sentence
    assert (int(found["before"]), int(found["after"])) == (before, after), sentence
    slots, spare = float(found["slots"]), float(found["spare"])
    workers = int(found["workers"])
    held = workers * slots - spare if shared else workers * (slots - spare)
    total = (float(found["load"]) + float(found["backlog"] or 0)) * float(found["margin"] or 1)
    off = 0.01 * (workers + 3)
    assert workers == (before if found["sign"] == ">" else after), sentence
    if found["sign"] == ">":
        assert after > before
        assert total > held - off, sentence
    else:
        assert after < before
        assert total <= held + off, sentence
    if found["backlog"]:
        share = float(found["waits"]) / float(found["within"])
        assert float(found["backlog"]) == pytest.approx(share, abs=0.02), sentence
