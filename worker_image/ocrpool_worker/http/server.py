"""Run a worker: the supervisor, its two ports, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ocrpool_worker.devices import probe_for
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.http.clients import Clients
from ocrpool_worker.http.connections import Connection, ConnectionLimits, Connections
from ocrpool_worker.http.control_port import ControlPort
from ocrpool_worker.http.data_port import DataPort
from ocrpool_worker.http.file_descriptors import raise_and_share_limit
from ocrpool_worker.http.listener import Listener, bind
from ocrpool_worker.http.metrics import WorkerMetrics
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor.supervisor import Supervisor

_log = logging.getLogger(__name__)
# Large enough for a typical photo as base64 to arrive in few reads.
_READ_BUFFER = 1 << 20
_DAY_SECONDS = 86_400.0


class _NoBadHttp(logging.Filter):
    """Drops log records about invalid HTTP, which is answered with 400.

    Otherwise anybody who reaches the port could fill the log with stack traces.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_server_log = logging.getLogger(f"{__name__}.aiohttp")
_server_log.addFilter(_NoBadHttp())


async def serve(settings: WorkerSettings, *, instances: int, wait_on_failed_start: bool) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests.

    Raises SettingsError, ModelError, or BootError if no first instance starts. With
    `wait_on_failed_start` the worker keeps running instead, not ready, and the control port says
    why.
    """
    metrics = WorkerMetrics()
    supervisor = Supervisor(
        settings,
        probe=probe_for(settings.device),
        instances=instances,
        on_page=metrics.observe_page,
    )
    metrics.watch(supervisor)
    if not wait_on_failed_start:
        await supervisor.verify_models()
    data = DataPort(supervisor, metrics, settings)
    control = ControlPort(supervisor, metrics, settings.http)
    stop = _stop_on_signals()
    async with contextlib.AsyncExitStack() as stack:
        http = settings.http
        shares = raise_and_share_limit(settings)
        pages = data.application()
        pages.middlewares.append(Clients(http.proxy_secret).middleware())
        header, keep_alive = http.header_seconds, http.keep_alive_seconds
        port = await _listen(
            stack,
            _Port(pages, http.host, http.port, "http.port", shares.refused),
            ConnectionLimits(shares.data, header, keep_alive),
        )
        # Probes and metrics need few connections. At the limit, the newest one matters most.
        control_port = await _listen(
            stack,
            _Port(control.application(), http.control_host, http.control_port, "http.controlPort"),
            ConnectionLimits(shares.control, header, keep_alive, even_busy=True),
        )
        if shares.data < http.max_connections:
            _log.warning(
                "fewer connections than http.maxConnections: the limit of open files is too low "
                "(ulimit -n)",
                extra={"connections": shares.data, "maxConnections": http.max_connections},
            )
        stack.push_async_callback(data.close)
        stack.push_async_callback(supervisor.close)
        _log.info("listening", extra={"port": port, "controlPort": control_port})
        supervisor.start()
        if not wait_on_failed_start:
            await _first_ready(supervisor, stop)
        await stop.wait()
        _log.info(
            "draining",
            extra={"lameDuckSeconds": http.lame_duck_seconds, "graceSeconds": http.grace_seconds},
        )
        supervisor.drain(http.lame_duck_seconds, final=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(http.lame_duck_seconds + http.grace_seconds):
                await supervisor.wait_until_drained()
                await data.wait_until_sent()
    _log.info("stopped")


async def _first_ready(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Wait for the first ready instance or a signal to stop. Raises BootError."""
    ready = asyncio.ensure_future(supervisor.wait_until_ready())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ready.done():
        ready.cancel()
        return
    ready.result()
    _log.info("ready")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@dataclass(frozen=True, slots=True)
class _Port:
    """One port. `setting`: its name in the settings. `refused`: descriptors for connections that
    are being refused."""

    app: web.Application
    host: str
    port: int
    setting: str
    refused: int = 0


async def _listen(stack: contextlib.AsyncExitStack, port: _Port, limits: ConnectionLimits) -> int:
    """Serve an application and return its port number. Raises SettingsError."""
    try:
        sockets = await bind(port.host, port.port)
    except OSError as error:
        where = f"{port.setting}: {port.host}:{port.port}"
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{where} is in use, perhaps by another worker; choose another port, or 0 for any "
                "free one"
            ) from None
        raise SettingsError(
            f"{port.setting}: cannot listen on {port.host}:{port.port}: {error}"
        ) from None
    # A client that disconnects cancels its request, which then leaves the queue.
    runner = web.AppRunner(port.app, handler_cancellation=True, shutdown_timeout=5.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None
    server: web.Server = runner.server
    connections = Connections(limits, clock=asyncio.get_running_loop().time)
    listener = Listener(
        sockets,
        connections,
        lambda: Connection(
            connections,
            server,
            # Practically never. `Connections` has the time-out: it allows for a stopped worker.
            keepalive_timeout=limits.keep_alive_seconds + _DAY_SECONDS,
            logger=_server_log,
            access_log=None,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
        ),
        setting="http.maxConnections",
        most_refused=port.refused,
    )
    stack.callback(listener.stop)
    listener.start()
    return int(sockets[0].getsockname()[1])
