"""One worker as a child process: started, watched, asked, started again, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from pydantic import ValidationError

from ocrpool_operator.planner.types import Decision, History
from ocrpool_wire import State, backoff_seconds

Clock = Callable[[], float]
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
# A worker that was ready for so long has recovered: the next death begins a new back-off.
STEADY_SECONDS = 60.0
ASK_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NoAnswer(Exception):
    """A worker did not answer on its control port; the message says why."""


class WorkerProcess:
    """The child, its ports, its last state, and the planner's memory of it."""

    def __init__(
        self, name: str, device: str, settings: Mapping[str, Any], folder: Path, clock: Clock
    ) -> None:
        self.name = name
        self.device = device
        self.host: str = settings["http"]["host"]
        self.port = self.control_port = 0
        self.state: State | None = None
        self.history = History()
        self.decision: Decision | None = None
        # What there is to say while no decision can be made.
        self.note = "starting"
        self.was_ready = False
        self._settings = settings
        self._log = folder / f"{name}.log"
        self._config = folder / f"{name}.yaml"
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._started = 0.0
        self._deaths = 0
        self._restart_at = 0.0

    @property
    def said(self) -> str:
        """The last decision, or why there is none."""
        return self.note or (self.decision.sentence if self.decision else "")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def exit_status(self) -> int | None:
        """The status with which it ended, None while it lives or before it was started."""
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start the process, with the ports that the settings name."""
        self._config.write_text(yaml.safe_dump(dict(self._settings)), encoding="utf-8")
        self.port = self.control_port = 0
        self.state, self.history, self.note = None, History(), "starting"
        first = str(self._settings["instances"]["min"])
        command = [sys.executable, "-m", "ocrpool_worker.cli", "serve", "--config"]
        with contextlib.suppress(FileNotFoundError):  # why it died before stays to be read
            self._log.replace(self._log.with_suffix(".log.before"))
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                str(self._config),
                "--instances",
                first,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for us; we end the workers in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._started = self._clock()

    async def restart_when_due(self) -> None:
        """After a death: start it again once its back-off is over."""
        status = self.exit_status
        if status is None:
            return
        now = self._clock()
        if not self._restart_at:
            self._deaths = 1 if now - self._started > STEADY_SECONDS else self._deaths + 1
            wait = backoff_seconds(self._deaths, first=BACKOFF_FIRST, most=BACKOFF_MOST)
            self._restart_at = now + wait
            self.state = None
            self.port = self.control_port = 0  # nobody listens there any more
            self.note = f"died ({_words(status)}), starts again in {wait:g} s: {self.last_words()}"
        elif now >= self._restart_at:
            self._restart_at = 0.0
            await self.start()

    async def observe(self, session: aiohttp.ClientSession) -> State:
        """Ask for its state. Raises NoAnswer."""
        return await self._ask(session, "GET", "/v1/state")

    async def set_target(self, session: aiohttp.ClientSession, target: int) -> None:
        """Ask for a number of instances. Raises NoAnswer."""
        await self._ask(session, "PUT", "/v1/instances", {"target": target})

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: object = None
    ) -> State:
        if not self.control_port and not self._find_ports():
            raise NoAnswer("starting")
        url = f"http://{self.host}:{self.control_port}{path}"
        try:
            async with session.request(
                method, url, json=body, timeout=aiohttp.ClientTimeout(total=ASK_SECONDS)
            ) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise NoAnswer(f"{method} {path} was answered {answer.status}: {text[:200]}")
            self.state = State.model_validate_json(text)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswer(f"no answer on {url}: {error or 'time-out'}") from None
        except ValidationError:
            raise NoAnswer(f"{url} does not answer as a worker") from None
        self.was_ready = self.was_ready or self.state.ready
        return self.state

    def _find_ports(self) -> bool:
        """Its log says where it listens."""
        for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"listening"' in line:
                with contextlib.suppress(ValueError, KeyError):
                    event = json.loads(line)
                    self.port, self.control_port = int(event["port"]), int(event["controlPort"])
        return bool(self.control_port)

    def last_words(self) -> str:
        """The last line that it wrote; for a worker that gave up, its reason."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        prefix = "ocrpool-worker: "
        told = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        return (told or lines or [""])[-1][:500]

    async def stop(self, seconds: float) -> None:
        """SIGTERM, which drains it; after `seconds`, SIGKILL, which ends its instances too."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        self.note = "draining"
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _die_with_parent() -> None:
    """In the child, before exec: SIGTERM when the shell is killed, so that nothing stays behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _words(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
