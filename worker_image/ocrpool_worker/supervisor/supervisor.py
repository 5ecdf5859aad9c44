"""The supervisor: takes requests, lets instances read their pages, answers each exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from ocrpool.protocol import Problem, State
from ocrpool_worker.devices import DeviceProbe, DeviceSnapshot
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.errors import (
    BootError,
    PoisonPage,
    QueueFull,
    RequestError,
    TimedOut,
    Unavailable,
)
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.active_clock import ActiveClock
from ocrpool_worker.supervisor.device_health import DeviceHealth
from ocrpool_worker.supervisor.dispatcher import NO_INSTANCES, Dispatcher
from ocrpool_worker.supervisor.draining import Draining
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.memory_guard import MemoryGuard
from ocrpool_worker.supervisor.page_results import PageResults
from ocrpool_worker.supervisor.poison_cache import REMEMBERED_SECONDS, PoisonCache
from ocrpool_worker.supervisor.request_processing import RequestProcessor
from ocrpool_worker.supervisor.requests import PageAnswer, RequestSpec
from ocrpool_worker.supervisor.state_report import new_counters, problem_of, state_of

_log = logging.getLogger(__name__)


class Supervisor:
    """Several instances behind one queue. Lives in one event loop, from `start` to `close`."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        probe: DeviceProbe,
        instances: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_page: Callable[[float, float], None] = lambda waited, took: None,
    ) -> None:
        """`instances`: how many to start with (default `instances.min`). `on_page` gets the seconds
        that each page waited and took. Raises SettingsError."""
        self.settings = settings
        self.counters: dict[str, float] = new_counters()
        self._clock = clock
        self._watch = DeviceWatch(
            probe,
            clock=clock,
            interval=settings.memory.poll_seconds,
            pids=lambda: [one.process.pid for one in self._manager.instances.values()],
        )
        self._active_clock = ActiveClock(clock)
        self._memory_guard = MemoryGuard(settings.memory.reserve)
        self._queue = FairQueue()
        self._poison_cache = PoisonCache()
        self._health = DeviceHealth(clock)
        self._draining = Draining(clock)
        # Requests whose body is still on its way.
        self._arriving = 0
        self._changed = asyncio.Event()
        self._dispatcher = Dispatcher(
            settings.admission,
            self._queue,
            PageResults(self._queue, self._health, self.counters, on_page=on_page),
            clock=clock,
            active_clock=self._active_clock,
            on_change=self._changed.set,
        )
        self._launcher = Launcher(settings, self._watch.identity.uuid)
        self._manager = InstanceManager(
            settings,
            self._launcher,
            self._dispatcher,
            self.counters,
            target=settings.instances.min if instances is None else instances,
            clock=clock,
            active_clock=self._active_clock,
            watch=self._watch,
        )
        self._dispatcher.attach(self._manager)
        self._processor = RequestProcessor(
            settings.admission,
            self._queue,
            self._dispatcher,
            clock=clock,
            active_clock=self._active_clock,
        )

    # -- life cycle ------------------------------------------------------------------------

    async def verify_models(self) -> None:
        """Verify the model files, as a startup does. Raises ModelError."""
        await self._launcher.prepare()

    def start(self) -> None:
        """Begin to watch the device and to start instances. Returns at once."""
        self._active_clock.start()
        self._watch.start(self._on_device_snapshot)
        self._manager.reconcile()

    async def wait_until_ready(self) -> None:
        """Wait for the first warm instance. Raises BootError if starting has failed.

        Returns at once if the target is 0.
        """
        while not self._manager.ready:
            problem = self._manager.startup_backoff.problem
            if problem is not None:
                raise BootError(problem.reason, problem.message)
            if self._manager.target == 0:
                return
            await self._wait_for_change()

    def drain(self, lame_duck: float = 0, *, final: bool = False) -> None:
        """Become not ready now, and refuse new requests after `lame_duck` seconds.

        The time of an earlier call stays in force. Accepted requests are finished. `final`: the
        drain cannot be undone.
        """
        self._draining.begin(lame_duck, ready=self.ready, final=final)

    def undrain(self) -> bool:
        """Accept requests again. Returns False and changes nothing if the worker is stopping."""
        return self._draining.cancel()

    async def wait_until_drained(self) -> None:
        """Wait until new requests are refused and all accepted ones are answered."""
        await asyncio.sleep(self._draining.seconds_left())
        while self._processor.open_requests or self._arriving:
            await self._wait_for_change()

    async def close(self) -> None:
        """End everything now. Open requests are answered with Unavailable."""
        self._draining.stop_now()
        self._processor.fail_all(Unavailable("the worker has stopped before this request was read"))
        await self._manager.close()
        await self._watch.stop()
        self._active_clock.stop()

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # -- control and state -----------------------------------------------------------------

    def set_target(self, target: int) -> None:
        """Ask for another number of instances. Raises ValueError over `instances.max`."""
        most = self.settings.instances.max
        if not 0 <= target <= most:
            raise ValueError(f"target is {target}; it must be 0 to {most} (instances.max)")
        self._manager.set_target(target)

    @property
    def draining(self) -> bool:
        """Whether it drains. It may still take requests: see `drain`."""
        return self._draining.active

    @property
    def ready(self) -> bool:
        """Whether it has an instance that can read pages, does not drain, and its device works."""
        self._manager.detect_stopped()
        device = self._watch.latest().problem
        return (
            bool(self._manager.ready)
            and not self.draining
            and self._health.problem is None
            and not (device is not None and device.reason == "DeviceLost")
        )

    def problem(self) -> Problem | None:
        """Why the worker is not ready, or cannot have as many instances as it was asked for."""
        device = self._watch.latest().problem
        return problem_of(self._manager, self._health.problem, device, draining=self.draining)

    def state(self) -> State:
        """The answer to `GET /v1/state`."""
        return state_of(
            self.settings,
            self._manager,
            self._queue,
            self.counters,
            self._watch,
            now=self._clock(),
            ready=self.ready,
            draining=self.draining,
            problem=self.problem(),
        )

    @property
    def answer_bytes(self) -> int:
        """Memory of the answers that are being collected or sent."""
        return self._manager.answer_budget.used

    def _on_device_snapshot(self, snapshot: DeviceSnapshot) -> None:
        self._manager.on_device_snapshot(snapshot)
        if self._memory_guard.should_shrink(snapshot.memory):
            self._manager.relieve_memory()

    # -- requests --------------------------------------------------------------------------

    @contextlib.contextmanager
    def track_arrival(self) -> Iterator[None]:
        """Wraps a request whose head has arrived: it is finished even if a drain begins before its
        body has arrived. Raises what `check_capacity` raises."""
        self.check_capacity()
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1
            if not self._arriving:
                self._changed.set()

    def check_capacity(self, *, arrived: bool = False) -> None:
        """Raise Unavailable or QueueFull where a new request cannot be taken. `arrived`: its
        arrival is tracked, so a drain does not refuse it."""
        if self._draining.refuses_requests and not arrived:
            raise Unavailable(
                "the worker is draining; send the request to another one", retry_after=1
            )
        manager = self._manager
        manager.answer_budget.check_available()
        if not manager.ready:
            problem = self.problem()
            if not manager.target:
                raise Unavailable(NO_INSTANCES)
            # A request may wait for a restart. It may not wait for the first startup, or where no
            # instance will start.
            if problem is not None and problem.reason not in ("Restarting", "Stopped"):
                raise Unavailable(f"{problem.reason}: {problem.message}", retry_after=5)
        limit = self.settings.admission.queue
        if len(self._queue) >= limit and not manager.instances.idle():
            self.counters["rejected"] += 1
            raise QueueFull(
                f"{len(self._queue)} requests wait, the limit is {limit} (admission.queue); retry "
                "later, or add workers",
                limit=limit,
                retry_after=self._retry_after(),
            )

    async def process(
        self, body: Buffer, spec: RequestSpec, *, arrived: bool = False
    ) -> list[PageAnswer]:
        """Read one admitted request: the answers to its pages, in order. `arrived`: within
        `track_arrival`.

        Raises a RequestError. When the caller is cancelled, the request is dropped.
        """
        left = await self._poison_cache.remaining(body, spec, self._clock())
        self.check_capacity(arrived=arrived)
        if left:
            self.counters["refused"] += 1
            raise PoisonPage(
                "this request has ended two OCR processes before and is refused for another "
                f"{left:.0f} s; check the file, or send it smaller",
                field="file",
                retry_after=left,
            )
        self.counters["requests"] += 1
        try:
            answers = await self._processor.process(body, spec)
        except asyncio.CancelledError:
            self.counters["cancelled"] += 1
            raise
        except RequestError as error:
            await self._record_failure(body, spec, error)
            raise
        else:
            self.counters["answered"] += 1
            return answers
        finally:
            self._changed.set()

    async def _record_failure(self, body: Buffer, spec: RequestSpec, error: RequestError) -> None:
        self.counters["failed"] += 1
        # The timers of a request and of its page may expire together; one time-out is counted.
        if isinstance(error, TimedOut):
            self.counters["timeouts"] += 1
        if isinstance(error, PoisonPage) and error.remember:
            digest = await self._poison_cache.add(body, spec, self._clock())
            extra = {"digest": digest, "seconds": REMEMBERED_SECONDS}
            _log.warning("request refused from now on", extra=extra)

    def _retry_after(self) -> float:
        pages = self.counters["pages"]
        mean = self.counters["page_seconds"] / pages if pages else 0.0
        return failure_rules.retry_after(
            waiting=self._queue.pages, page_seconds=mean, ready=self._manager.ready
        )
