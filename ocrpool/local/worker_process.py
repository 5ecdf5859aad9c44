"""One worker as a child process: start, observe, set a target, restart, stop."""

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
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory
from ocrpool.protocol import State, backoff_seconds
from ocrpool.protocol.exit_status import describe_exit

Clock = Callable[[], float]
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
# A worker that ran this long has recovered: the next exit starts a new back-off.
RECOVERED_SECONDS = 60.0
REQUEST_SECONDS = 5.0


class WorkerUnreachable(Exception):
    """The worker did not answer on its control port. The message says why."""


class WorkerProcess:
    """The child process, its ports, its last state, and the planner's history of it."""

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
        """`warn(kind, text)` is called when a file cannot be written; the worker keeps serving."""
        self.name = name
        self.device = device
        self.host: str = settings["http"]["host"]
        self.port = self.control_port = 0
        self.state: State | None = None
        self.history = InstanceHistory()
        self.decision: InstanceDecision | None = None
        # Shown instead of the decision while there is none.
        self.note = "starting"
        self.was_ready = False
        self._settings = settings
        log = folder / f"{name}.log"
        self._log = WorkerLog(
            log,
            on_line=self._parse_log_line,
            on_error=lambda error: warn(
                f"log of {name}",
                f"{log}: {error.strerror}; its log lines are lost until this is solved",
            ),
        )
        self._config = folder / f"{name}.yaml"
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._started = 0.0
        self._failures = 0
        self._restart_at = 0.0

    @property
    def message(self) -> str:
        """The last decision, or the reason why there is none."""
        return self.note or (self.decision.sentence if self.decision else "")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def exit_status(self) -> int | None:
        """The exit status, or None while the process runs or before its first start."""
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start the process. Raises OSError if the machine cannot create one."""
        self._write_settings()
        self.port = self.control_port = 0
        self.state, self.history, self.note = None, InstanceHistory(), "starting"
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
                # Ctrl-C in the terminal goes to `ocrpool up` only, which then stops the workers.
                start_new_session=True,
            )
        finally:
            os.close(output)
        self._started = self._clock()

    def _write_settings(self) -> None:
        """Write the settings file once, and again if the folder was removed.

        The settings do not change, so a restart needs no space on a full disk. The runtime folder
        of a session is removed when its user logs out.
        """
        if self._process is not None and self._config.exists():
            return
        self._config.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        fresh = self._config.with_suffix(".yaml.new")
        fresh.write_text(yaml.safe_dump(dict(self._settings)), encoding="utf-8")
        fresh.replace(self._config)

    async def restart_when_due(self) -> None:
        """After an exit: restart the process when its back-off has elapsed."""
        status = self.exit_status
        if status is None:
            return
        if not self._restart_at:
            recovered = self._clock() - self._started > RECOVERED_SECONDS
            self._failures = 1 if recovered else self._failures + 1
            self.state = None
            self.port = self.control_port = 0  # nothing listens on them now
            self._schedule_restart(describe_exit(status), await self.last_error())
        elif self._clock() >= self._restart_at:
            self._restart_at = 0.0
            try:
                await self.start()
            except OSError as error:
                self._failures += 1
                self._schedule_restart("cannot be started", str(error))

    def _schedule_restart(self, what: str, why: str) -> None:
        pause = backoff_seconds(self._failures, first=BACKOFF_FIRST, most=BACKOFF_MOST)
        self._restart_at = self._clock() + pause
        self.note = f"{what}, restarts in {pause:g} s: {why}"

    async def observe(self, session: aiohttp.ClientSession) -> State:
        """Request the worker's state. Raises WorkerUnreachable."""
        return await self._request(session, "GET", "/v1/state")

    async def set_target(self, session: aiohttp.ClientSession, target: int) -> None:
        """Set the target number of instances. Raises WorkerUnreachable."""
        await self._request(session, "PUT", "/v1/instances", {"target": target})

    async def _request(
        self, session: aiohttp.ClientSession, method: str, path: str, body: object = None
    ) -> State:
        if not self.control_port:
            raise WorkerUnreachable("starting")
        url = f"http://{self.host}:{self.control_port}{path}"
        try:
            async with session.request(
                method, url, json=body, timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)
            ) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise WorkerUnreachable(
                        f"{method} {path} returned {answer.status}: {text[:200]}"
                    )
            self.state = State.model_validate_json(text)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise WorkerUnreachable(f"no answer on {url}: {error or 'time-out'}") from None
        except ValidationError:
            raise WorkerUnreachable(f"{url} is not the control port of a worker") from None
        self.was_ready = self.was_ready or self.state.ready
        return self.state

    def _parse_log_line(self, line: str) -> None:
        """Take the ports from the worker's log: the settings may ask for any free ones."""
        if '"listening"' in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                fields = json.loads(line)
                if fields["event"] == "listening":
                    self.port = int(fields["port"])
                    self.control_port = int(fields["controlPort"])

    async def last_error(self) -> str:
        """The worker's own error message if it gave up, else the last line of its log."""
        await self._log.drain()
        lines = self._log.last
        prefix = "ocrpool-worker: "
        errors = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        return _summarize((errors or [*lines] or [""])[-1])[:500]

    async def stop(self, seconds: float) -> None:
        """Send SIGTERM, which drains the worker; after `seconds` send SIGKILL.

        The instances exit with their worker in both cases.
        """
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
        """After the exit: write the rest of the log and close it."""
        await self._log.drain()
        self._log.close()

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _summarize(line: str) -> str:
    """The event and the reason of a JSON log line; any other line as it is."""
    try:
        fields = json.loads(line)
        return ": ".join(str(fields[key]) for key in ("event", "why") if key in fields) or line
    except (ValueError, TypeError):
        return line
