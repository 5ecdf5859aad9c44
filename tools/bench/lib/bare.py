"""PaddleOCR processes without a server, controlled from here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tools.bench.lib import direct
from tools.bench.lib.servers import Process


class BareOcr(Process):
    """One `tools.bench.compare.peers.bare_ocr`."""

    def __init__(self, models: Path, *, name: str = "bare") -> None:
        command = [
            sys.executable,
            "-m",
            "tools.bench.compare.peers.bare_ocr",
            "--models",
            str(models),
        ]
        super().__init__(command, name=name, environment=direct.ENVIRONMENT, pipes=True)

    def begin(self, files: list[Path]) -> None:
        """Order these image files to be read; `finish` waits for it."""
        assert self.process is not None
        assert self.process.stdin is not None
        order = {"files": [str(file) for file in files]}
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def finish(self) -> Any:
        """The next answer: `seconds` and `texts`. The first answer is empty: the process is
        ready."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise self.failed("no answer")
        return json.loads(line)


def bare_rate(processes: list[BareOcr], files: list[Path]) -> float:
    """Pages per second of processes that each read all `files` at the same time.

    It is the sum of the rates of the processes, each over its own time. A process that ends early
    does not lower it, so it is the strictest bound for a server.
    """
    for process in processes:
        process.begin(files)
    return sum(len(files) / float(process.finish()["seconds"]) for process in processes)
