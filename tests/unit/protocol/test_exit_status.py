"""A process's exit status as text."""

from __future__ import annotations

import signal

import pytest

from ocrpool.protocol.exit_status import describe_exit


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exited with status 0"),
        (3, "exited with status 3"),
        (-signal.SIGSEGV, "killed by SIGSEGV"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-40, "killed by signal 40"),
        (-200, "killed by signal 200"),
    ],
)
def test_exit_status_is_described(status: int, text: str) -> None:
    assert describe_exit(status) == text
