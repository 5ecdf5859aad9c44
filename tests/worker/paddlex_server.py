"""PaddleX's own OCR service in a separate process, with our models and options."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ocrpool_worker.engine.paddleocr_engine import FONT
from tests.worker.calls import call
from tests.worker.client import wait_for
from tools.bench.lib import direct


@contextlib.contextmanager
def paddlex_server(models: Path, log: Path) -> Iterator[int]:
    """The port of the server, when it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "tools.bench.compare.peers.paddlex_serve"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--models", str(models), "--port", str(port)],
            cwd=Path(__file__).resolve().parents[2],
            # Set to our font, because PaddleX would download one.
            env=os.environ | direct.ENVIRONMENT | {"PADDLE_PDX_LOCAL_FONT_FILE_PATH": str(FONT)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )

    def healthy() -> bool:
        assert process.poll() is None, f"it ended:\n{log.read_text(errors='replace')[-3000:]}"
        with contextlib.suppress(OSError):
            return call(port, "GET", "/health").status == 200
        return False

    try:
        wait_for("PaddleX serves", healthy, seconds=240)
        yield port
    finally:
        process.kill()
        process.wait()
