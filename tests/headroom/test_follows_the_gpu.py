"""The number of instances follows the GPU's memory, which other processes use, too.

Real: `ocrpool up`, the planner, the worker, its processes, HTTP, pynvml. Fake: the driver below
pynvml, and the engine, which takes memory from it.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.fake_engine import order_png
from tests.headroom.engine import CONTEXT
from tests.headroom.pools import FOOTPRINT, GIB, gpu_pool, is_full, running, until_settled
from tests.local.harness import MI, Up
from tests.worker.client import Worker, wait_for
from tools.bench.lib.load import Load
from tools.bench.lib.payload import plain_request
from tools.devcluster.fakegpu.device import FakeGpu


def load(worker: Worker) -> Load:
    """Six clients that send page after page."""
    page = plain_request(order_png(say="x", sleep=0.02))
    return Load(lambda: (worker.host, worker.port), [page])


class Rounds:
    """Waits for rounds of a running `ocrpool up`: each round writes its runtime state."""

    def __init__(self, local_pool: Up) -> None:
        self._shell = local_pool

    def wait(self, rounds: int) -> None:
        """Wait for so many whole rounds; the round that runs now does not count."""
        for _ in range(rounds + 1):
            before = self._stamp()
            while self._stamp() == before:
                assert self._shell.process.poll() is None, self._shell.output()
                time.sleep(0.01)

    def _stamp(self) -> int:
        return (self._shell.folder / "running.json").stat().st_mtime_ns


def decisions_to_shrink(local_pool: Up) -> list[tuple[int, int]]:
    return [(before, after) for before, after in local_pool.decisions() if after < before]


def test_it_grows_to_what_fits_and_shrinks_for_another_process(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    """Another process takes 30 % of the memory, under load, and later gives it back."""
    with running(tmp_path, **gpu_pool()) as local_pool:
        state = until_settled(local_pool, 5)
        assert local_pool.decisions() == [(1, 2), (2, 3), (3, 4), (4, 5)]
        assert state["footprint"]["bytes"] == FOOTPRINT
        assert gpu.used == 5 * FOOTPRINT
        worker, rounds = local_pool.worker(), Rounds(local_pool)
        with load(worker) as clients:
            clients.wait_answered()
            taken = 0
            while taken < gpu.total * 3 // 10:
                # It takes less than the reserve while the pool reacts, and no more than is free.
                taken += min(400 * MI, (gpu.total - gpu.used) // 2)
                gpu.set_used(taken)
                if not decisions_to_shrink(local_pool):
                    rounds.wait(2)
                    assert decisions_to_shrink(local_pool), (
                        "the pool did not shrink within two observations"
                    )
                rounds.wait(3)
            until_settled(local_pool, 3)
            clients.wait_answered()
        assert clients.failures == []
        assert gpu.used <= gpu.total - GIB
        gpu.set_used(0)
        until_settled(local_pool, 5)
        assert local_pool.decisions()[-2:] == [(3, 4), (4, 5)]
        counters = worker.counters()
        assert (counters["outOfMemory"], counters["memoryGuardStops"], counters["deaths"]) == (
            0,
            0,
            0,
        )


def test_another_process_that_takes_all_memory_at_once_fails_no_request(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    with running(tmp_path, **gpu_pool()) as local_pool:
        until_settled(local_pool, 5)
        worker = local_pool.worker()
        with load(worker) as clients:
            clients.wait_answered()
            gpu.set_used(gpu.total - 5 * FOOTPRINT)
            worker.until_ready(4)
            clients.wait_answered()
        assert clients.failures == []


def test_a_larger_page_raises_the_footprint_and_lowers_the_number_of_instances(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    with running(tmp_path, **gpu_pool(most=3)) as local_pool:
        worker = local_pool.worker()
        worker.until_ready(3)
        gpu.set_used(6 * GIB)  # only the reserve is free
        large = worker.read(say="large", vram=FOOTPRINT - CONTEXT + GIB // 2)
        assert large.status == 200
        wait_for(
            "the target falls", lambda: decisions_to_shrink(local_pool), or_tell=local_pool.output
        )
        state = until_settled(local_pool, 2)
        assert state["footprint"]["bytes"] > FOOTPRINT
        assert worker.counters()["outOfMemory"] == 0


def test_every_gpu_has_a_worker_with_its_own_number_of_instances(
    tmp_path: Path, gpus: list[FakeGpu]
) -> None:
    gpus[1].set_used(8 * GIB)
    with running(tmp_path, **gpu_pool()) as local_pool:
        until_settled(local_pool, 5)
        until_settled(local_pool, 2, worker="worker-1")
        uuids = [local_pool.worker(f"worker-{n}").state()["device"]["uuid"] for n in (0, 1)]
        assert uuids == [gpu.uuid for gpu in gpus]
        assert [len(gpu.charges) for gpu in gpus] == [5, 2]


def test_every_mig_slice_is_a_device_of_its_own(tmp_path: Path, gpus: list[FakeGpu]) -> None:
    small, large = gpus[0].slice_up(5 * GIB, 11 * GIB)
    with running(tmp_path, **gpu_pool()) as local_pool:
        until_settled(local_pool, 1)
        until_settled(local_pool, 3, worker="worker-1")
        until_settled(local_pool, 5, worker="worker-2")
        assert local_pool.worker().state()["device"]["uuid"] == small.uuid
        assert [len(each.charges) for each in (small, large, gpus[1])] == [1, 3, 5]


def test_two_pools_on_one_gpu_settle_and_neither_starves(tmp_path: Path, gpu: FakeGpu) -> None:
    """The pools do not know each other. The reserve is as large as a footprint, as the docs
    advise."""
    gpu.set_total(26 * GIB)
    spec = gpu_pool() | {"memory": {"reserve": FOOTPRINT}}
    with running(tmp_path, "one", **spec) as one, running(tmp_path, "two", **spec) as two:
        pools = (one, two)

        def full() -> bool:
            return len(gpu.charges) >= 5 and all(is_full(local_pool) for local_pool in pools)

        wait_for("both hold", full, seconds=60, or_tell=lambda: f"{one.output()}\n{two.output()}")
        states = [local_pool.worker().state() for local_pool in pools]
        ready = [state["instances"]["ready"] for state in states]
        assert min(ready) >= 2
        assert sum(ready) >= 5
        assert [state["counters"]["outOfMemory"] for state in states] == [0, 0]
