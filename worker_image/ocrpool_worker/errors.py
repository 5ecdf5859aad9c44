"""The errors of the worker. Each type of RequestError has one HTTP status and one reason."""

from __future__ import annotations


class OcrPoolError(Exception):
    """Base of every error that this package raises on purpose."""


class SettingsError(OcrPoolError):
    """A setting is wrong. The message is one line."""


class ModelError(OcrPoolError):
    """Model files are missing or damaged. `reason` is ModelMissing or ModelCorrupt."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StageError(OcrPoolError):
    """Model files could not be staged."""


class BootError(OcrPoolError):
    """No instance could be started. `reason` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RequestError(OcrPoolError):
    """A request was not answered with text. Each subclass has one HTTP status and one reason."""

    status = 500
    reason = "Internal"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        limit: float | int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.limit = limit
        self.retry_after = retry_after


class BadRequest(RequestError):
    """The request is not valid for this endpoint."""

    status, reason = 422, "BadRequest"


class NotAnImage(RequestError):
    """The body is neither an image nor a PDF that can be read."""

    status, reason = 422, "NotAnImage"


class UnreadableInput(RequestError):
    """Python API: a path or a file object cannot be read. `__cause__` is the original error."""

    status, reason = 422, "UnreadableInput"


class TooLarge(RequestError):
    """The body, a page or the number of pages is over its limit."""

    status, reason = 413, "TooLarge"


class PoisonPage(RequestError):
    """The request ended two instances, now or recently."""

    status, reason = 422, "PoisonPage"
    # Whether the request itself was the cause. It is then refused for a while.
    remember = False


class EngineFailure(RequestError):
    """The engine raised an error on this page, twice."""

    status, reason = 422, "EngineFailure"


class QueueFull(RequestError):
    """The queue, or the memory for bodies or answers, is full."""

    status, reason = 429, "QueueFull"


class TimedOut(RequestError):
    """The request was not answered in time (`admission.timeoutSeconds`, `pageSeconds`)."""

    status, reason = 504, "TimedOut"


class Unavailable(RequestError):
    """The worker cannot serve now. The message says why: starting, draining, or broken."""

    status, reason = 503, "Unavailable"
