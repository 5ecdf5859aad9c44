"""What `ocrpool` tells a person in one line before it ends."""

from __future__ import annotations

EXIT_WRONG = 2  # something that a person must change first: the file, an option, a port
EXIT_NOTHING = 3  # nothing is running


class LocalError(Exception):
    """One line for a person, and the exit status that goes with it."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
