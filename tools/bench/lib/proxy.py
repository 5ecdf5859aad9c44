"""HAProxy with the operator's configuration, in front of one worker on this machine."""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import Self

from ocrpool.resource.spec import PoolSpec, ProxySpec
from ocrpool_operator.manifests.proxy.haproxy import haproxy_cfg, proxy_config
from tools.bench.lib.servers import Process, StartError, free_port, get_status


class ProxyServer(Process):
    """Listens on 127.0.0.1:`port`. The configuration has the worker's address instead of a DNS
    name."""

    def __init__(self, worker_port: int, *, buffer: str, name: str) -> None:
        self.port, self._ops = free_port(), free_port()
        spec = PoolSpec(proxy=ProxySpec(buffer=buffer))
        assert spec.proxy is not None
        text = haproxy_cfg(proxy_config(spec, spec.proxy, "worker"))
        server = f"server w1 127.0.0.1:{worker_port}"
        text, count = re.subn(r"server-template .*", server, text)
        assert count == 1, text
        text = text.replace("bind :8080", f"bind 127.0.0.1:{self.port}")
        text = text.replace("bind :8405", f"bind 127.0.0.1:{self._ops}")
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise StartError("haproxy is missing. Run, as root: make cluster-packages")
        super().__init__([], name=name)
        file = self.folder / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        self._command = [program, "-db", "-f", str(file)]

    def wait_ready(self, seconds: float = 20) -> Self:
        """Wait until its health check of the worker passes. Raises StartError."""
        deadline = time.monotonic() + seconds
        while get_status(f"http://127.0.0.1:{self._ops}/readyz") != 200:
            if not self.alive or time.monotonic() > deadline:
                raise self.failed("was not ready")
            time.sleep(0.1)
        return self
