"""Assembles the operator and runs it until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from ocrpool.resource.names import GROUP, OPERATOR, PLURAL, VERSION, WORKER_IMAGE
from ocrpool_operator import health
from ocrpool_operator.cluster import watch
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import ApiCall, ApiError, Hook, KubeClient
from ocrpool_operator.cluster.clocks import SlewedClock
from ocrpool_operator.cluster.connection import api_client, load_configuration
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.fence import Fence, boot_seconds, end_process_in
from ocrpool_operator.cluster.lease import LeaderElector, LeaseSettings
from ocrpool_operator.cluster.proxy_stats import fetch_up_addresses
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.manifests.network_policies import IngressRules
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.dependencies import Dependencies
from ocrpool_operator.reconcile.instance_scaling import InstanceScaling
from ocrpool_operator.reconcile.loop import ReconcileLoop
from ocrpool_operator.reconcile.reconciler import Reconciler

_log = logging.getLogger(__name__)
CRD_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Options:
    """The options of `ocrpool-operator run`. No namespaces: the whole cluster."""

    namespaces: tuple[str, ...] = ()
    interval: float = 5.0
    host: str = "0.0.0.0"
    port: int = 8082
    lease: LeaseSettings | None = None
    worker_image: str = WORKER_IMAGE
    # Pools that name another operator are ignored.
    operator: str = OPERATOR
    ingress: IngressRules = None
    cluster_domain: str = "cluster.local"


async def run(options: Options, *, hook: Hook | None = None) -> None:
    """Run until SIGTERM or SIGINT. `hook` is awaited around every call to the API server."""
    metrics, cache = OperatorMetrics(), PoolCache()
    configuration = await load_configuration()

    async def counted(moment: str, call: ApiCall) -> None:
        if moment == "before":
            metrics.count_call(call)
        if hook is not None:
            await hook(moment, call)

    fence = Fence()
    async with contextlib.AsyncExitStack() as stack:
        # One connection per worker stays open between rounds: 1000 sockets for 1000 workers.
        workers_session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=max(30.0, options.interval * 3)
                ),
                trust_env=False,
            )
        )
        # Calls that change a worker are rare, so their connections are not kept.
        worker_writes = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=fence.socket, force_close=True),
                trust_env=False,
            )
        )
        reads = await stack.enter_async_context(api_client(configuration))
        writes = await stack.enter_async_context(
            api_client(configuration, socket_factory=fence.socket)
        )
        client = KubeClient(reads, hook=counted, fence=fence, writes=writes)
        workers = WorkerClient(workers_session, fence=fence, writes=worker_writes)
        wall = SlewedClock()
        events = EventRecorder(client, wall)
        parts = Dependencies(
            cache=cache,
            client=client,
            workers=workers,
            scaling=InstanceScaling(
                workers, events, metrics, interval=options.interval, clock=time.monotonic
            ),
            events=events,
            metrics=metrics,
            fetch_backends=functools.partial(fetch_up_addresses, workers_session),
            domain=options.cluster_domain,
            now=wall,
            worker_image=options.worker_image,
            ingress=options.ingress,
            operator=options.operator,
        )
        reconciler = Reconciler(parts, interval=options.interval)
        loop = ReconcileLoop(reconciler.reconcile, metrics, time.monotonic)
        leader = Leader(loop, metrics)
        await _listen(stack, health.application(metrics, leader.late), options.host, options.port)
        await _wait_for_crd(client)
        await watch.run_watches(
            cache,
            loop.enqueue,
            lambda: _act(options, client, leader, fence),
            namespaces=options.namespaces,
        )


class Leader:
    """Runs the reconcile loop while this operator is the leader."""

    def __init__(self, loop: ReconcileLoop, metrics: OperatorMetrics) -> None:
        self._loop = loop
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None

    def late(self) -> float:
        """Seconds behind schedule; 0 for a standby."""
        return self._loop.lag_seconds if self._task is not None else 0.0

    async def lead(self, yes: bool) -> None:
        """Start or stop the loop. After a stop no round runs any more."""
        self._metrics.set_leading(yes)
        if yes and self._task is None:
            self._task = asyncio.create_task(self._loop.run())
            self._task.add_done_callback(_log_end)
        elif not yes and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _log_end(task: asyncio.Task[None]) -> None:
    """Log why the loop ended. Nobody waits for its task; /healthz fails once it is late."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.critical("reconciling has ended", exc_info=error)


async def _act(options: Options, client: KubeClient, leader: Leader, fence: Fence) -> None:
    if options.lease is not None:
        lease = LeaderElector(client, options.lease, boot_seconds, fence, end_process_in)
        try:
            await lease.hold(leader.lead)
        except Exception:  # kopf does not log this task's error
            _log.critical("leader election has ended; restart the operator", exc_info=True)
            raise
        return
    fence.open()
    try:
        await leader.lead(True)
        await asyncio.Event().wait()
    finally:
        await leader.lead(False)


async def _wait_for_crd(client: KubeClient) -> None:
    """Wait until the API server knows OcrPools."""
    warned = False
    while True:
        try:
            if PLURAL in await client.api_resources(GROUP, VERSION):
                return
            reason = f"the API server does not know {PLURAL} in {GROUP}/{VERSION}"
        except ApiError as error:
            reason = f"the API server does not list {GROUP}/{VERSION}: {error.message}"
        if not warned:
            warned = True
            _log.warning(
                "%s; waiting. Is the CRD installed (kubectl apply -f manifests/crd.yaml)?", reason
            )
        await asyncio.sleep(CRD_PAUSE_SECONDS)


async def _listen(
    stack: contextlib.AsyncExitStack, app: web.Application, host: str, port: int
) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port).start()
