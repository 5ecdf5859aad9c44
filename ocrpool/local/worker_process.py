"""One worker as a child process: started, watched, asked, started again, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from pydantic import ValidationError

from ocrpool.local.worker_log import WorkerLog
from ocrpool.planner.instances.types import Decision, History
from ocrpool.protocol import State, backoff_seconds

Clock = Callable[[], float]
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
# A worker that was ready for so long has recovered: the next death begins a new back-off.
STEADY_SECONDS = 60.0
ASK_SECONDS = 5.0


class NoAnswer(Exception):
    """A worker did not answer on its control port; the message says why."""


class WorkerProcess:
    """The child, its ports, its last state, and the planner's memory of it."""

    def __init__(
        self,
        name: str,
        device: str,
        settings: Mapping[str, Any],
        folder: Path,
        clock: Clock,
        *,
        warn: Callable[[str, str], None],
    ) -> None:
        """`warn(kind, text)` hears of what cannot be written while it serves on."""
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
        log = folder / f"{name}.log"
        self._log = WorkerLog(
            log,
            on_line=self._hear,
            on_trouble=lambda error: warn(
                f"log of {name}", f"{log}: {error.strerror}; what {name} writes is lost until then"
            ),
        )
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
        """Start the process, with the ports that the settings name. Raises OSError where the
        machine has no room for it."""
        self._write_settings()
        self.port = self.control_port = 0
        self.state, self.history, self.note = None, History(), "starting"
        first = str(self._settings["instances"]["min"])
        command = [sys.executable, "-m", "ocrpool.local.child", str(os.getpid())]
        output = self._log.open()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                "serve",
                "--config",
                str(self._config),
                "--instances",
                first,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in the terminal is for us; we end the workers in order.
                start_new_session=True,
            )
        finally:
            os.close(output)
        self._started = self._clock()

    def _write_settings(self) -> None:
        """They do not change, and a disk that is full now had room for them before. The folder can
        have gone meanwhile: a session's is removed when its user logs out."""
        if self._process is not None and self._config.exists():
            return
        self._config.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        fresh = self._config.with_suffix(".yaml.new")
        fresh.write_text(yaml.safe_dump(dict(self._settings)), encoding="utf-8")
        fresh.replace(self._config)

    async def restart_when_due(self) -> None:
        """After a death: start it again once its back-off is over."""
        status = self.exit_status
        if status is None:
            return
        if not self._restart_at:
            steady = self._clock() - self._started > STEADY_SECONDS
            self._deaths = 1 if steady else self._deaths + 1
            self.state = None
            self.port = self.control_port = 0  # nobody listens there any more
            self._wait(f"died ({_words(status)})", await self.last_words())
        elif self._clock() >= self._restart_at:
            self._restart_at = 0.0
            try:
                await self.start()
            except OSError as error:
                self._deaths += 1
                self._wait("cannot be started", str(error))

    def _wait(self, what: str, why: str) -> None:
        pause = backoff_seconds(self._deaths, first=BACKOFF_FIRST, most=BACKOFF_MOST)
        self._restart_at = self._clock() + pause
        self.note = f"{what}, starts again in {pause:g} s: {why}"

    async def observe(self, session: aiohttp.ClientSession) -> State:
        """Ask for its state. Raises NoAnswer."""
        return await self._ask(session, "GET", "/v1/state")

    async def set_target(self, session: aiohttp.ClientSession, target: int) -> None:
        """Ask for a number of instances. Raises NoAnswer."""
        await self._ask(session, "PUT", "/v1/instances", {"target": target})

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: object = None
    ) -> State:
        if not self.control_port:
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

    def _hear(self, line: str) -> None:
        """Its log says where it listens."""
        if '"listening"' in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                said = json.loads(line)
                if said["event"] == "listening":
                    self.port, self.control_port = int(said["port"]), int(said["controlPort"])

    async def last_words(self) -> str:
        """The last line that it wrote before it ended; where it gave up, its reason."""
        await self._log.rest()
        lines = self._log.last
        prefix = "ocrpool-worker: "
        told = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        return _plain((told or [*lines] or [""])[-1])[:500]

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

    async def close(self) -> None:
        """After its end: keep the rest of its log."""
        await self._log.rest()
        self._log.close()

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _plain(line: str) -> str:
    """A line of its log for a person: the event and why, where it is one of JSON."""
    try:
        said = json.loads(line)
        return ": ".join(str(said[key]) for key in ("event", "why") if key in said) or line
    except (ValueError, TypeError):
        return line


def _words(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
