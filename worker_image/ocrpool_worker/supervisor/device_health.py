"""Whether the device itself fails, and not the pages."""

from __future__ import annotations

from collections import deque

from ocrpool.protocol import Problem
from ocrpool_worker.supervisor.active_clock import Clock
from ocrpool_worker.supervisor.failure_rules import DEVICE_ERRORS, DEVICE_WINDOW


class DeviceHealth:
    """The device fails when there are DEVICE_ERRORS errors within DEVICE_WINDOW seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._errors: deque[float] = deque(maxlen=DEVICE_ERRORS)

    def record_error(self) -> None:
        self._errors.append(self._clock())

    @property
    def problem(self) -> Problem | None:
        full = len(self._errors) == DEVICE_ERRORS
        if not full or self._clock() - self._errors[0] >= DEVICE_WINDOW:
            return None
        message = (
            f"{DEVICE_ERRORS} device errors within {DEVICE_WINDOW:g} s; look at the device "
            "(dmesg, nvidia-smi), or move the worker to another one"
        )
        return Problem(reason="DeviceError", message=message)
