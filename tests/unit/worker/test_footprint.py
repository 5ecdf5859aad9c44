"""How much an instance is taken to hold, and the footprint that is planned with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.supervisor.footprint import FootprintEstimator, InstanceMemory

GIB = 2**30
SIZES = st.integers(0, 100 * GIB)
MAYBE = st.none() | SIZES


def test_on_a_cpu_it_is_what_the_process_holds() -> None:
    footprints = FootprintEstimator(on_gpu=False)
    footprints.booted(InstanceMemory(rss=GIB, rss_peak=GIB), lost=5 * GIB)
    assert footprints.held(InstanceMemory(rss=GIB, rss_peak=2 * GIB)) == (GIB, "rss")
    assert footprints.current.bytes == 2 * GIB, "its peak is what the next one will need"


def test_on_a_gpu_the_context_is_added_to_what_the_engine_reserved() -> None:
    footprints = FootprintEstimator(on_gpu=True)
    footprints.booted(InstanceMemory(reserved=2 * GIB), lost=3 * GIB)
    assert footprints.overhead == GIB
    assert footprints.held(InstanceMemory(reserved=4 * GIB)) == (5 * GIB, "engine")
    assert footprints.current.bytes == 5 * GIB


def test_a_driver_that_tells_is_believed() -> None:
    footprints = FootprintEstimator(on_gpu=True)
    footprints.booted(InstanceMemory(reserved=GIB, nvml=3 * GIB), lost=None)
    assert footprints.held(InstanceMemory(reserved=GIB, nvml=3 * GIB)) == (3 * GIB, "nvml")


def test_an_engine_that_tells_nothing_is_taken_for_what_the_device_lost() -> None:
    footprints = FootprintEstimator(on_gpu=True)
    footprints.booted(InstanceMemory(), lost=2 * GIB)
    assert footprints.held(InstanceMemory()) == (2 * GIB, "boot")
    assert (footprints.current.bytes, footprints.current.source) == (2 * GIB, "boot")


def test_memory_that_a_stranger_gave_back_meanwhile_is_no_footprint() -> None:
    footprints = FootprintEstimator(on_gpu=True)
    footprints.booted(InstanceMemory(reserved=GIB), lost=-3 * GIB)
    assert footprints.held(InstanceMemory(reserved=GIB)) == (GIB, "engine")


@given(on_gpu=st.booleans(), seen=st.lists(st.tuples(SIZES, MAYBE, MAYBE, MAYBE), min_size=1))
def test_it_only_ratchets_up_and_covers_what_is_held(
    on_gpu: bool, seen: list[tuple[int, int | None, int | None, int | None]]
) -> None:
    footprints = FootprintEstimator(on_gpu=on_gpu)
    before = 0
    for rss, reserved, nvml, lost in seen:
        figures = InstanceMemory(rss=rss, rss_peak=rss, reserved=reserved, nvml=nvml)
        footprints.booted(figures, lost)
        held, _ = footprints.held(figures)
        assert footprints.current.bytes >= max(held, before)
        before = footprints.current.bytes
