"""The memory that pages' answers may take in the supervisor.

An answer counts from its first byte on until the last user of it lets go: it is its own receipt, so
no way out of a request can forget to give it back.
"""

from __future__ import annotations

from ocrpool.protocol.quantity import format_bytes
from ocrpool_worker.errors import QueueFull, RequestError, TooLarge
from ocrpool_worker.settings import AdmissionSettings


class AnswerBudget:
    """All answers that are held at once: `held` bytes."""

    def __init__(self, limits: AdmissionSettings) -> None:
        self._total = limits.answer_memory
        self._each = limits.max_answer
        self.held = 0

    def take(self, size: int) -> CountedAnswer | None:
        """Something to collect `size` bytes in, or None where there is no room for so many."""
        if size > self._each or self.held + size > self._total:
            return None
        return CountedAnswer(self, size)

    def check(self) -> None:
        """Raise what a new request meets now: QueueFull where nothing is left."""
        if self.held >= self._total:
            raise self._full(0)

    def fits(self, size: int) -> bool:
        """Whether one request's answer may have so many bytes."""
        return size <= self._each

    def refusal(self, size: int) -> RequestError:
        """Why there is no room for so many bytes. Not raised here: an error that was keeps the
        frames that it went through, and what they hold."""
        return self._full(size) if self.fits(size) else self._too_large(size)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"the answer has {format_bytes(size)} or more, the limit is "
            f"{format_bytes(self._each)} (admission.maxAnswer); ask for no pictures (visualize "
            "false), split the document, or raise the limit",
            limit=self._each,
        )

    def _full(self, size: int) -> QueueFull:
        return QueueFull(
            f"the answers that clients have not taken yet hold {format_bytes(self.held)}, this one "
            f"has {format_bytes(size)}, and the limit is {format_bytes(self._total)} "
            "(admission.answerMemory); come back later, or add workers",
            limit=self._total,
            retry_after=2,
        )


class CountedAnswer(bytearray):
    """Counted in its room for as long as it lives, with the size that was announced."""

    __slots__ = ("_room", "_size")

    def __init__(self, room: AnswerBudget, size: int) -> None:
        super().__init__()
        self._room = room
        self._size = size
        room.held += size

    def __del__(self) -> None:
        self._room.held -= self._size
