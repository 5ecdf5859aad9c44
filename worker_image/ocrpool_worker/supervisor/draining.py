"""Whether the worker still takes new requests."""

from __future__ import annotations

from ocrpool_worker.supervisor.active_clock import Clock


class Draining:
    """A draining worker is not ready. It still takes requests until its lame duck time is over,
    because clients and proxies learn late that it is not ready."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # From when on new requests are refused; None while it does not drain.
        self._refuses_from: float | None = None
        self._final = False

    @property
    def active(self) -> bool:
        return self._refuses_from is not None

    @property
    def refuses_requests(self) -> bool:
        return self._refuses_from is not None and self._clock() >= self._refuses_from

    def seconds_left(self) -> float:
        """Seconds until new requests are refused."""
        assert self._refuses_from is not None
        return max(0.0, self._refuses_from - self._clock())

    def begin(self, lame_duck: float, *, ready: bool, final: bool) -> None:
        """Refuse new requests in `lame_duck` seconds; at once where it was not `ready`, because no
        client is sent to a worker that is not. An earlier call's time stays. `final`: for good."""
        self._final = self._final or final
        if ready:
            self._refuses_from = self._clock() + lame_duck
        elif self._refuses_from is None:
            self._refuses_from = self._clock()

    def stop_now(self) -> None:
        """Refuse new requests at once, for good."""
        self._final = True
        self._refuses_from = self._clock()

    def cancel(self) -> bool:
        """Take requests again. False, and nothing changes, where the drain is final."""
        if not self._final:
            self._refuses_from = None
        return not self._final
