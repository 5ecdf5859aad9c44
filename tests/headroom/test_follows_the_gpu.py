"""As many instances as a GPU's memory has room for, now, whoever else lives there.

Real: `ocrpool up`, the planner, the worker, its processes, HTTP, pynvml. Stand-ins: the driver
under pynvml, and the engine, which takes memory from it.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.fake_engine import order_png
from tests.headroom.engine import CONTEXT
from tests.headroom.pools import FOOTPRINT, GIB, gpu_pool, has_no_room, running, until_settled
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
    """Counts the rounds of a running `ocrpool up`: each writes what it has seen and decided."""

    def __init__(self, shell: Up) -> None:
        self._shell = shell

    def wait(self, rounds: int) -> None:
        """Until so many whole rounds have begun and ended; the one that runs now is not whole."""
        for _ in range(rounds + 1):
            before = self._stamp()
            while self._stamp() == before:
                assert self._shell.process.poll() is None, self._shell.output()
                time.sleep(0.01)

    def _stamp(self) -> int:
        return (self._shell.folder / "running.json").stat().st_mtime_ns


def shrinks(shell: Up) -> list[tuple[int, int]]:
    return [(before, after) for before, after in shell.decisions() if after < before]


def test_it_grows_to_what_fits_and_a_stranger_is_made_room_for(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    """A stranger takes 30 % of the memory, under load, and later gives it back."""
    with running(tmp_path, **gpu_pool()) as shell:
        state = until_settled(shell, 5)
        assert shell.decisions() == [(1, 2), (2, 3), (3, 4), (4, 5)]
        assert state["footprint"]["bytes"] == FOOTPRINT
        assert gpu.used == 5 * FOOTPRINT
        worker, rounds = shell.worker(), Rounds(shell)
        with load(worker) as clients:
            clients.wait_answered()
            strangers = 0
            while strangers < gpu.total * 3 // 10:
                # It takes less than the reserve while the pool reacts, and what is there.
                strangers += min(400 * MI, (gpu.total - gpu.used) // 2)
                gpu.set_used(strangers)
                if not shrinks(shell):
                    rounds.wait(2)
                    assert shrinks(shell), "not within two observations"
                rounds.wait(3)
            until_settled(shell, 3)
            clients.wait_answered()
        assert clients.failures == []
        assert gpu.used <= gpu.total - GIB
        gpu.set_used(0)
        until_settled(shell, 5)
        assert shell.decisions()[-2:] == [(3, 4), (4, 5)]
        counters = worker.counters()
        assert (counters["outOfMemory"], counters["braked"], counters["deaths"]) == (0, 0, 0)


def test_a_stranger_that_takes_all_there_is_at_once_costs_no_request(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    with running(tmp_path, **gpu_pool()) as shell:
        until_settled(shell, 5)
        worker = shell.worker()
        with load(worker) as clients:
            clients.wait_answered()
            gpu.set_used(gpu.total - 5 * FOOTPRINT)
            worker.until_ready(4)
            clients.wait_answered()
        assert clients.failures == []


def test_a_page_larger_than_all_before_raises_the_footprint_and_lowers_the_count(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    with running(tmp_path, **gpu_pool(most=3)) as shell:
        worker = shell.worker()
        worker.until_ready(3)
        gpu.set_used(6 * GIB)  # all is taken but the reserve
        large = worker.read(say="large", vram=FOOTPRINT - CONTEXT + GIB // 2)
        assert large.status == 200
        wait_for("fewer are wanted", lambda: shrinks(shell), or_tell=shell.output)
        state = until_settled(shell, 2)
        assert state["footprint"]["bytes"] > FOOTPRINT
        assert worker.counters()["outOfMemory"] == 0


def test_every_gpu_has_a_worker_and_each_is_planned_for_by_itself(
    tmp_path: Path, gpus: list[FakeGpu]
) -> None:
    gpus[1].set_used(8 * GIB)
    with running(tmp_path, **gpu_pool()) as shell:
        until_settled(shell, 5)
        until_settled(shell, 2, worker="worker-1")
        uuids = [shell.worker(f"worker-{n}").state()["device"]["uuid"] for n in (0, 1)]
        assert uuids == [gpu.uuid for gpu in gpus]
        assert [len(gpu.charges) for gpu in gpus] == [5, 2]


def test_every_mig_slice_is_a_device_of_its_own(tmp_path: Path, gpus: list[FakeGpu]) -> None:
    small, large = gpus[0].slice_up(5 * GIB, 11 * GIB)
    with running(tmp_path, **gpu_pool()) as shell:
        until_settled(shell, 1)
        until_settled(shell, 3, worker="worker-1")
        until_settled(shell, 5, worker="worker-2")
        assert shell.worker().state()["device"]["uuid"] == small.uuid
        assert [len(each.charges) for each in (small, large, gpus[1])] == [1, 3, 5]


def test_two_pools_on_one_gpu_settle_and_neither_starves(tmp_path: Path, gpu: FakeGpu) -> None:
    """They know nothing of each other. The reserve is as large as a footprint, as advised."""
    gpu.set_total(26 * GIB)
    spec = gpu_pool() | {"memory": {"reserve": FOOTPRINT}}
    with running(tmp_path, "one", **spec) as one, running(tmp_path, "two", **spec) as two:
        pools = (one, two)

        def full() -> bool:
            return len(gpu.charges) >= 5 and all(has_no_room(shell) for shell in pools)

        wait_for("both hold", full, seconds=60, or_tell=lambda: f"{one.output()}\n{two.output()}")
        states = [shell.worker().state() for shell in pools]
        ready = [state["instances"]["ready"] for state in states]
        assert min(ready) >= 2
        assert sum(ready) >= 5
        assert [state["counters"]["outOfMemory"] for state in states] == [0, 0]
