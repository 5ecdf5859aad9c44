"""Two leaders never act at once: no write leaves an operator whose time as leader is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client import Configuration

from ocrpool_operator.cluster import worker_client
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import PODS, POOLS, KubeClient
from ocrpool_operator.cluster.connection import api_client
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.fence import ENDED_STATUS, Fence
from ocrpool_operator.cluster.lease import LeaderElector, LeaseSettings
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.loop import ReconcileLoop
from ocrpool_operator.run import Leader
from tests.unit.operator.fake_api import FakeApi
from tests.unit.planner.pools import a_pod, a_pool

KEY = ("default", "pages")
NAME = LeaseSettings("default", "it", "one")
OBJECT: dict[str, Any] = {"metadata": {"namespace": "default", "name": "pages-0", "uid": "u"}}


class StoppingLoop(asyncio.SelectorEventLoop):
    """Calls `stopped` before the step of that number, and its clock is then a minute later: as if
    the process had been stopped there. Every `await` that waits for something ends with a step."""

    def __init__(self, at: int, stopped: Callable[[], None]) -> None:
        self._ahead = 0.0
        super().__init__()
        self._at = at
        self._stopped = stopped
        self.steps = -1

    def time(self) -> float:
        return super().time() + self._ahead

    def _call_soon(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        def step(*given: Any) -> None:
            if self.steps >= 0:
                self.steps += 1
                if self.steps == self._at:
                    self._stopped()
                    self._ahead += 60
            callback(*given)

        return super()._call_soon(step, args, context)  # type: ignore[misc, no-any-return]


class Operator:
    """One that holds the Lease, and in every round makes each kind of write that there is."""

    def __init__(self, api: FakeApi, *, duration: float = 15.0) -> None:
        self._api = api
        self._name = LeaseSettings("default", "it", "one", duration)
        self.rounds = 0
        self.leads = False

    async def hold(self) -> None:
        clock = asyncio.get_running_loop().time
        fence = Fence(clock)
        connector = aiohttp.TCPConnector(socket_factory=fence.socket)
        configuration = Configuration(host=self._api.url)
        async with (
            aiohttp.ClientSession() as reads,
            aiohttp.ClientSession(connector=connector) as writes,
            api_client(configuration) as api_reads,
            api_client(configuration, socket_factory=fence.socket) as api_writes,
        ):
            client = KubeClient(api_reads, fence=fence, writes=api_writes)
            ports = WorkerClient(reads, fence=fence, writes=writes)
            metrics = OperatorMetrics()
            loop = ReconcileLoop(lambda key: self._round(client, ports, key), metrics, clock)
            loop.enqueue(KEY, 0.0)
            leader = Leader(loop, metrics)

            async def lead(yes: bool) -> None:
                await leader.lead(yes)
                self.leads = yes

            await LeaderElector(client, self._name, clock, fence).hold(lead)

    async def _round(self, client: KubeClient, ports: WorkerClient, key: Key) -> float:
        pod = a_pod(0, ip="127.0.0.1")
        await client.create(PODS, OBJECT)
        await client.get(PODS, "default", "pages-0")
        await client.apply(PODS, OBJECT)
        await ports.set_target(pod, "token", 2)
        await client.merge(POOLS, OBJECT, subresource="status")
        await EventRecorder(client, time.time).post(a_pool(), "Why", "because")
        await ports.drain(pod, "token")
        await client.delete(PODS, "default", "pages-0", uid="u")
        self.rounds += 1
        return 0.0


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with FakeApi() as found:
        monkeypatch.setattr(worker_client, "CONTROL_PORT", int(found.url.rpartition(":")[2]))
        yield found


def stopped_at(step: int, api: FakeApi) -> int:
    """Have an operator stopped at one step while another one takes over, and let it go on. Answers
    how many rounds it had had before."""
    api.begin()
    operator, before = Operator(api), []

    def stopped() -> None:
        before.append(operator.rounds)
        api.take_over()

    loop = StoppingLoop(step, stopped)

    async def run() -> None:
        holding = asyncio.create_task(operator.hold())
        loop.steps = 0
        async with asyncio.timeout(30 + 60):
            while not before or operator.leads:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    with contextlib.closing(loop):
        asyncio.set_event_loop(loop)
        loop.run_until_complete(run())
        loop.run_until_complete(asyncio.sleep(0))
    api.settle()
    assert api.late == [], f"stopped at step {step}"
    assert api.lease["spec"]["holderIdentity"] == "another", f"stopped at step {step}"
    return before[0]


def test_operator_stopped_at_any_await_writes_nothing_after_a_takeover(
    api: FakeApi,
) -> None:
    step = 1
    while stopped_at(step, api) < 2:
        step += 1
    assert step > 50
    print(f"stopped at {step} steps")


async def until(look: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.asyncio
async def test_no_call_delays_the_lease_deadline(api: FakeApi) -> None:
    """The calls that would renew are never answered: the time is over all the same."""
    operator = Operator(api, duration=6.0)
    holding = asyncio.create_task(operator.hold())
    await until(lambda: operator.rounds)
    api.held = "/leases"
    await until(lambda: not operator.leads)
    api.settle()
    renewed = max(when for when, what in api.log if what == "held by one")
    writes = [when for when, what in api.log if "/leases" not in what and "held" not in what]
    count = len(api.writes)
    await asyncio.sleep(0.3)
    api.settle()

    # Others may begin after the Lease's duration.
    assert writes[-1] < renewed + 6.0
    assert len(api.writes) == count > 0
    holding.cancel()
    api.let_go.set()
    await asyncio.gather(holding, return_exceptions=True)


@pytest.mark.asyncio
async def test_lease_is_released_after_the_last_write_was_answered(api: FakeApi) -> None:
    operator = Operator(api)
    holding = asyncio.create_task(operator.hold())
    await until(lambda: operator.rounds)
    api.held = "DELETE "
    await until(lambda: api.log[-1][1].startswith("holding"))
    holding.cancel()
    await asyncio.sleep(0.1)
    assert api.lease["spec"]["holderIdentity"] == "one"
    api.let_go.set()
    await asyncio.gather(holding, return_exceptions=True)
    api.settle()

    assert [what.split(" ")[0] for _, what in api.log[-2:]] == ["answered", "held"]
    assert api.lease["spec"]["holderIdentity"] == ""


@pytest.mark.asyncio
async def test_lease_expires_if_a_write_is_not_answered(api: FakeApi) -> None:
    operator = Operator(api, duration=1.5)
    holding = asyncio.create_task(operator.hold())
    await until(lambda: operator.rounds)
    api.held = "DELETE "
    await until(lambda: api.log[-1][1].startswith("holding"))
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    api.let_go.set()
    api.settle()

    assert api.lease["spec"]["holderIdentity"] == "one"


@pytest.mark.asyncio
async def test_holder_of_a_deleted_lease_is_waited_for(api: FakeApi) -> None:
    now = 0.0
    api.lease = {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "another"}}
    async with api_client(Configuration(host=api.url)) as calls:
        client = KubeClient(calls)
        standby = LeaderElector(client, NAME, lambda: now, Fence(lambda: now))
        assert await standby._attempt(10) is None
        now, api.lease = 14.0, {}
        assert await standby._attempt(10) is None
        now = 28.9
        assert await standby._attempt(10) is None
        now = 29.0
        assert await standby._attempt(10) == 29.0


_STOPPED = """
import os, signal
from ocrpool_operator.cluster.fence import end_process_in
end_process_in(600)
end_process_in(0.2)
os.kill(os.getpid(), signal.SIGSTOP)
print("went on", flush=True)
"""


def test_process_that_was_stopped_too_long_is_ended_by_the_kernel() -> None:
    """The kernel ends it before its next instruction."""
    process = subprocess.Popen([sys.executable, "-c", _STOPPED], stdout=subprocess.PIPE)
    pid, status = os.waitpid(process.pid, os.WUNTRACED)
    assert (pid, os.WIFSTOPPED(status)) == (process.pid, True)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=30)

    assert process.returncode == ENDED_STATUS == 14
    assert out == b""
