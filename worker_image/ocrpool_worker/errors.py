"""What can go wrong, as types: each knows its HTTP status, its reason and what to change."""

from __future__ import annotations


class OcrPoolError(Exception):
    """Base of every error that this package raises on purpose."""


class SettingsError(OcrPoolError):
    """A setting is wrong; the message is one line for the person who wrote it."""


class ModelError(OcrPoolError):
    """Model files are not as they should be. `reason` is ModelMissing or ModelCorrupt."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StageError(OcrPoolError):
    """Model files could not be brought in."""


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
    """The request is not of the form that the endpoint takes."""

    status, reason = 422, "BadRequest"


class NotAnImage(RequestError):
    """The body is neither an image nor a PDF that can be read."""

    status, reason = 422, "NotAnImage"


class UnreadableInput(RequestError):
    """Python API: a path or a file object that cannot be read; `__cause__` is the error that it
    gave."""

    status, reason = 422, "UnreadableInput"


class TooLarge(RequestError):
    """The body, a page or the number of pages is over its limit."""

    status, reason = 413, "TooLarge"


class PoisonPage(RequestError):
    """The request has cost two instances, or is remembered for it."""

    status, reason = 422, "PoisonPage"
    # Whether it was this request's own doing, so that it is refused from now on.
    remember = False


class EngineFailure(RequestError):
    """The engine raised an error on this page, on two instances."""

    status, reason = 422, "EngineFailure"


class QueueFull(RequestError):
    """As many requests wait as may wait."""

    status, reason = 429, "QueueFull"


class TimedOut(RequestError):
    """No answer within `admission.timeoutSeconds`."""

    status, reason = 504, "TimedOut"


class Unavailable(RequestError):
    """The worker cannot serve now: starting, draining, or broken (the message says which)."""

    status, reason = 503, "Unavailable"
