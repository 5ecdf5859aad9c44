"""The simulator: seeded, in step with the planner, and its memory adds up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocrpool.planner.instances.types import InstanceDecision
from tools.bench.simulate.headroom.fixed import FixedCount
from tools.bench.simulate.headroom.gpu import SimulatedGpu
from tools.bench.simulate.headroom.measure import measure
from tools.bench.simulate.headroom.simulation import run
from tools.bench.simulate.headroom.traces import make


def test_a_seed_is_the_same_trace_and_the_same_outcome() -> None:
    assert run(make(3, 60)) == run(make(3, 60))
    assert run(make(3, 60)) != run(make(4, 60))


def test_memory_never_exceeds_the_device_after_it_has_run_out() -> None:
    """What runs out is taken from the newest instance, as it would be on a device."""
    for seed in range(20):
        trace = make(seed, 60)

        def watch(gpu: SimulatedGpu, decision: InstanceDecision) -> None:
            assert gpu.ours() + gpu.strangers(gpu.now) <= gpu.trace.total + 1
            assert len(gpu.instances) <= gpu.trace.maximum + 1

        run(trace, watch=watch)


def test_a_quiet_gpu_is_filled_to_what_fits_and_left_alone() -> None:
    trace = make(0, 200)
    quiet = replace(
        trace, strangers=trace.strangers * 0.0, peaks=trace.peaks[:1], crash=0.0, maximum=64
    )
    gpus: list[SimulatedGpu] = []
    result = run(quiet, watch=lambda gpu, decision: gpus.append(gpu))
    fits = (quiet.total - quiet.reserve) // quiet.peaks[0][1]
    assert len(gpus[-1].instances) in (fits - 1, fits)
    assert (result.out_of_memory, result.reversals) == (0, 0)


def test_a_fixed_count_runs_out_where_the_planner_does_not() -> None:
    seeds = range(40)
    ours = sum(run(make(seed, 120)).out_of_memory > 0 for seed in seeds)
    fixed = sum(run(make(seed, 120), FixedCount()).out_of_memory > 0 for seed in seeds)
    assert ours < fixed


@pytest.mark.parametrize("seed", [20022, 20131, 20832, 21061, 21601, 25670])
def test_what_once_ran_out_does_not_any_more(seed: int) -> None:
    """Strangers that take almost a reserve in a look, from just after one, or behind a
    boot."""
    trace = make(seed, 240)
    assert trace.growth(trace.interval) < 1
    assert run(trace).out_of_memory == 0


def test_the_brake_helps_a_count_that_nobody_lowers() -> None:
    seeds = range(25)
    alone = sum(run(make(seed, 120), FixedCount()).out_of_memory for seed in seeds)
    braked = sum(run(make(seed, 120), FixedCount(), brake=True).out_of_memory for seed in seeds)
    assert braked < alone


def test_the_report_tells_its_goals() -> None:
    report = measure(40, 240, lambda text: None)
    assert "seeds 0 to 39" in report.title
    share = next(goal for goal in report.goals if "instance-seconds" in goal.text)
    assert share.met
    unforced = next(goal for goal in report.goals if "unforced" in goal.text)
    assert unforced.value == 0
    assert "surge" in report.markdown()
