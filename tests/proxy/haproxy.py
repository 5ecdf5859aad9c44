"""The real HAProxy with the operator's configuration, in front of real workers.

A fake DNS answers with the addresses of the workers (tests/proxy/dns.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocrpool.resource.spec import PoolSpec
from ocrpool_operator.cluster.proxy_stats import up_addresses
from ocrpool_operator.manifests.proxy.haproxy import PROXY_SECRET, haproxy_cfg, proxy_config
from tests.proxy.dns import FakeDns
from tests.worker.client import Answer, exchange, wait_for
from tests.worker.harness import Worker, launch, merged, until_listening

HOST = "pages-pods.default.svc.cluster.local"
PORT, OPS_PORT = 8080, 8405
SECRET = "a-secret-of-the-proxy"
SPEC: dict[str, Any] = {
    "replicas": 2,
    "device": "cpu",
    "admission": {"maxMegapixels": 0.25, "timeoutSeconds": 15},
    "proxy": {"buffer": "1Mi"},
}
# As the operator writes it into a worker's settings.
WORKER: dict[str, Any] = {"http": {"graceSeconds": 15, "lameDuckSeconds": 3}}


class HaproxyProcess:
    """One HAProxy on an address of its own."""

    def __init__(self, program: str, folder: Path, address: str, spec: PoolSpec, dns: int) -> None:
        assert spec.proxy is not None
        self.address = address
        self.config = replace(
            proxy_config(spec, spec.proxy, HOST), nameserver=f"127.0.0.1:{dns}", address=address
        )
        self.log = folder / f"proxy-{address}.log"
        file = folder / f"proxy-{address}.cfg"
        file.write_text(haproxy_cfg(self.config), encoding="utf-8")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [program, "-db", "-f", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | {PROXY_SECRET: SECRET},
            )

    def post(self, body: bytes, path: str = "/v1/ocr", timeout: float = 60) -> Answer:
        return exchange((self.address, PORT), "POST", path, body, timeout=timeout)

    def ops(self, path: str) -> Answer:
        return exchange((self.address, OPS_PORT), "GET", path)

    @property
    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ops("/readyz").status == 200
        return False

    def used_workers(self) -> frozenset[str]:
        """The addresses of the workers to which it sends requests."""
        return up_addresses(self.ops("/stats;csv").body.decode())

    def end(self) -> None:
        """End it as kubelet does, with the STOPSIGNAL of the image."""
        self.process.send_signal(signal.SIGUSR1)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-30:])


class ProxyEnvironment:
    """Workers, proxies and a DNS. Use it as a context manager; at its end none of them runs."""

    def __init__(self, program: str, folder: Path, net: str) -> None:
        self._program = program
        self._folder = folder
        self._net = net
        self._made = 0
        self.dns = FakeDns()
        self.workers: list[Worker] = []
        self.proxies: list[HaproxyProcess] = []

    def __enter__(self) -> ProxyEnvironment:
        self.dns.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self.proxies:
            if proxy.process.poll() is None:
                proxy.process.kill()
            proxy.process.wait()
        for worker in self.workers:
            worker.clean_up()
        self.dns.__exit__()

    def worker(self, *, instances: int = 1, host: str | None = None, **settings: Any) -> Worker:
        """Start one more worker and wait until it is ready. The DNS does not know it yet."""
        self._made += 1
        folder = self._folder / f"worker-{self._made}"
        folder.mkdir()
        worker = launch(
            folder,
            "--instances",
            str(instances),
            settings=merged(WORKER, settings),
            host=host or f"{self._net}.{self._made}",
            port=8080,
            control_port=8081,
        )
        self.workers.append(worker)
        until_listening(worker)
        worker.until_ready(instances)
        return worker

    def proxy(self, **spec: Any) -> HaproxyProcess:
        """Start one more proxy and wait until it listens."""
        address = f"{self._net}.{200 + len(self.proxies)}"
        pool = PoolSpec.model_validate(merged(SPEC, spec))
        proxy = HaproxyProcess(self._program, self._folder, address, pool, self.dns.port)
        self.proxies.append(proxy)

        def listens() -> bool:
            assert proxy.process.poll() is None, proxy.tail()
            with contextlib.suppress(OSError):
                return proxy.ops("/livez").status == 200
            return False

        wait_for("the proxy listens", listens, or_tell=proxy.tail)
        return proxy

    def serve(self, *workers: Worker) -> None:
        """Set these workers in the DNS and wait until every running proxy uses them."""
        self.dns.addresses = [worker.host for worker in workers]
        hosts = {worker.host for worker in workers}
        for proxy in self.proxies:
            if proxy.process.poll() is None:
                wait_for(
                    "the proxy uses these workers",
                    lambda proxy=proxy: hosts <= proxy.used_workers(),
                )
