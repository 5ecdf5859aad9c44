"""The operator ends when it is told to, also as process 1 of a container that waits for the CRD."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml


class _KnowsNothing(http.server.BaseHTTPRequestHandler):
    """A stand-in for an API server: there is no such thing as an OcrPool."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _KnowsNothing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": address}}],
        "users": [{"name": "it", "user": {"token": "none"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    yield path
    server.shutdown()
    thread.join()
    server.server_close()


def test_operator_ends_while_it_waits_for_the_crd(kubeconfig: Path) -> None:
    module = "ocrpool_operator.cli"
    process = subprocess.Popen(
        [sys.executable, "-m", module, "run", "--host", "127.0.0.1", "--port", "0"],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    while "Is the CRD installed" not in said and process.poll() is None:
        said += process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)

    # Not -SIGTERM: that would be the kernel's doing, which it does not do to process 1.
    assert process.returncode == 130, said + rest
    assert "Traceback" not in rest
