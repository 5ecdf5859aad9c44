"""A limit on the memory of answers in the supervisor.

An answer counts from its first byte until its last user releases it. The buffer itself gives its
size back when it is freed, so no path through a request can forget to.
"""

from __future__ import annotations

from ocrpool.protocol.quantity import format_bytes
from ocrpool_worker.errors import QueueFull, RequestError, TooLarge
from ocrpool_worker.settings import AdmissionSettings


class AnswerBudget:
    """`used`: bytes of all answers that are held now."""

    def __init__(self, limits: AdmissionSettings) -> None:
        self._total = limits.answer_memory
        self._per_request = limits.max_answer
        self.used = 0

    def reserve(self, size: int) -> CountedAnswer | None:
        """An empty buffer that counts as `size` bytes; None where that exceeds the budget."""
        if size > self._per_request or self.used + size > self._total:
            return None
        return CountedAnswer(self, size)

    def check_available(self) -> None:
        """Raise QueueFull where the budget is used up."""
        if self.used >= self._total:
            raise self._exhausted(0)

    def fits_one_request(self, size: int) -> bool:
        """Whether the answer to one request may have so many bytes."""
        return size <= self._per_request

    def error_for(self, size: int) -> RequestError:
        """Why an answer of so many bytes has no place. Returned and not raised: a raised error
        keeps the frames that it passed through, and their memory."""
        return self._exhausted(size) if self.fits_one_request(size) else self._too_large(size)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"the answer has {format_bytes(size)} or more, the limit is "
            f"{format_bytes(self._per_request)} (admission.maxAnswer); ask for no pictures "
            "(visualize false), split the document, or raise the limit",
            limit=self._per_request,
        )

    def _exhausted(self, size: int) -> QueueFull:
        return QueueFull(
            f"the answers that clients have not taken yet hold {format_bytes(self.used)}, this one "
            f"has {format_bytes(size)}, and the limit is {format_bytes(self._total)} "
            "(admission.answerMemory); retry later, or add workers",
            limit=self._total,
            retry_after=2,
        )


class CountedAnswer(bytearray):
    """Counts as the announced size for as long as it exists."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: AnswerBudget, size: int) -> None:
        super().__init__()
        self._budget = budget
        self._size = size
        budget.used += size

    def __del__(self) -> None:
        self._budget.used -= self._size
