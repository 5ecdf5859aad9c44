"""Errors that `ocrpool` prints in one line before it exits."""

from __future__ import annotations

EXIT_USAGE = 2  # a wrong file, option or port: the user must change something
EXIT_NOT_RUNNING = 3  # no pool is running


class LocalError(Exception):
    """A message of one line, and the exit status."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
