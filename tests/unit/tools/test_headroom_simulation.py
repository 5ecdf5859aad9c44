"""The simulator is seeded, follows the planner, and never holds more memory than the device has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocrpool.planner.instances.types import InstanceDecision
from tools.bench.simulate.headroom.fixed import FixedCount
from tools.bench.simulate.headroom.gpu import SimulatedGpu
from tools.bench.simulate.headroom.measure import measure
from tools.bench.simulate.headroom.simulation import simulate_trace
from tools.bench.simulate.headroom.traces import make_trace


def test_a_seed_gives_the_same_trace_and_the_same_result() -> None:
    assert simulate_trace(make_trace(3, 60)) == simulate_trace(make_trace(3, 60))
    assert simulate_trace(make_trace(3, 60)) != simulate_trace(make_trace(4, 60))


def test_memory_never_exceeds_the_device_after_it_has_run_out() -> None:
    """The newest instance exits where memory runs out, as on a device."""
    for seed in range(20):
        trace = make_trace(seed, 60)

        def watch(gpu: SimulatedGpu, decision: InstanceDecision) -> None:
            assert gpu.ours() + gpu.other_processes(gpu.now) <= gpu.trace.total + 1
            assert len(gpu.instances) <= gpu.trace.maximum + 1

        simulate_trace(trace, watch=watch)


def test_an_idle_gpu_is_filled_and_then_nothing_changes() -> None:
    trace = make_trace(0, 200)
    quiet = replace(
        trace,
        other_processes=trace.other_processes * 0.0,
        peaks=trace.peaks[:1],
        crash=0.0,
        maximum=64,
    )
    gpus: list[SimulatedGpu] = []
    result = simulate_trace(quiet, watch=lambda gpu, decision: gpus.append(gpu))
    fits = (quiet.total - quiet.reserve) // quiet.peaks[0][1]
    assert len(gpus[-1].instances) in (fits - 1, fits)
    assert (result.out_of_memory, result.reversals) == (0, 0)


def test_a_fixed_count_runs_out_where_the_planner_does_not() -> None:
    seeds = range(40)
    ours = sum(simulate_trace(make_trace(seed, 120)).out_of_memory > 0 for seed in seeds)
    fixed = sum(
        simulate_trace(make_trace(seed, 120), FixedCount()).out_of_memory > 0 for seed in seeds
    )
    assert ours < fixed


@pytest.mark.parametrize("seed", [20022, 20131, 20832, 21061, 21601, 25670])
def test_traces_that_once_ran_out_of_memory_do_not_any_more(seed: int) -> None:
    """Other processes that take almost a reserve within one interval, just after an observation, or
    while an instance starts."""
    trace = make_trace(seed, 240)
    assert trace.growth(trace.interval) < 1
    assert simulate_trace(trace).out_of_memory == 0


def test_the_memory_guard_helps_where_the_count_is_fixed() -> None:
    seeds = range(25)
    alone = sum(simulate_trace(make_trace(seed, 120), FixedCount()).out_of_memory for seed in seeds)
    guarded = sum(
        simulate_trace(make_trace(seed, 120), FixedCount(), memory_guard=True).out_of_memory
        for seed in seeds
    )
    assert guarded < alone


def test_the_report_has_its_goals() -> None:
    report = measure(40, 240, lambda text: None)
    assert "seeds 0 to 39" in report.title
    share = next(goal for goal in report.goals if "instance-seconds" in goal.text)
    assert share.met
    unforced = next(goal for goal in report.goals if "unforced" in goal.text)
    assert unforced.value == 0
    assert "surge" in report.markdown()
