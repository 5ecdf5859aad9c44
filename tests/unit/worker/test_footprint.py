"""How much an instance is taken to hold, and the footprint that is planned with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.supervisor.footprint import FootprintEstimator, InstanceMemory

GIB = 2**30
SIZES = st.integers(0, 100 * GIB)
MAYBE = st.none() | SIZES


def test_on_a_cpu_the_footprint_is_the_peak_of_the_process() -> None:
    estimator = FootprintEstimator(on_gpu=False)
    estimator.record_startup(InstanceMemory(rss=GIB, rss_peak=GIB), lost=5 * GIB)
    assert estimator.record_held(InstanceMemory(rss=GIB, rss_peak=2 * GIB)) == (GIB, "rss")
    assert estimator.current.bytes == 2 * GIB, "its peak is what the next one will need"


def test_on_a_gpu_the_context_is_added_to_the_reserved_memory() -> None:
    estimator = FootprintEstimator(on_gpu=True)
    estimator.record_startup(InstanceMemory(reserved=2 * GIB), lost=3 * GIB)
    assert estimator.overhead == GIB
    assert estimator.record_held(InstanceMemory(reserved=4 * GIB)) == (5 * GIB, "engine")
    assert estimator.current.bytes == 5 * GIB


def test_the_figure_of_nvml_comes_first() -> None:
    estimator = FootprintEstimator(on_gpu=True)
    estimator.record_startup(InstanceMemory(reserved=GIB, nvml=3 * GIB), lost=None)
    assert estimator.record_held(InstanceMemory(reserved=GIB, nvml=3 * GIB)) == (3 * GIB, "nvml")


def test_without_other_figures_the_device_loss_counts() -> None:
    estimator = FootprintEstimator(on_gpu=True)
    estimator.record_startup(InstanceMemory(), lost=2 * GIB)
    assert estimator.record_held(InstanceMemory()) == (2 * GIB, "boot")
    assert (estimator.current.bytes, estimator.current.source) == (2 * GIB, "boot")


def test_memory_that_another_process_freed_meanwhile_is_no_footprint() -> None:
    estimator = FootprintEstimator(on_gpu=True)
    estimator.record_startup(InstanceMemory(reserved=GIB), lost=-3 * GIB)
    assert estimator.record_held(InstanceMemory(reserved=GIB)) == (GIB, "engine")


@given(on_gpu=st.booleans(), seen=st.lists(st.tuples(SIZES, MAYBE, MAYBE, MAYBE), min_size=1))
def test_the_footprint_never_falls_and_covers_the_memory_that_is_held(
    on_gpu: bool, seen: list[tuple[int, int | None, int | None, int | None]]
) -> None:
    estimator = FootprintEstimator(on_gpu=on_gpu)
    before = 0
    for rss, reserved, nvml, lost in seen:
        measured = InstanceMemory(rss=rss, rss_peak=rss, reserved=reserved, nvml=nvml)
        estimator.record_startup(measured, lost)
        held, _ = estimator.record_held(measured)
        assert estimator.current.bytes >= max(held, before)
        before = estimator.current.bytes
