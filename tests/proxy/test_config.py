"""HAProxy accepts the configuration of every spec."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ocrpool.resource.spec import PoolSpec
from ocrpool_operator.manifests.proxy.haproxy import haproxy_cfg, proxy_config, server_slots

SPECS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "small": {"proxy": {"buffer": "1Mi", "maxRequests": 1}, "replicas": 0},
    "large": {"proxy": {"buffer": "64Mi", "maxRequests": 100_000, "replicas": 20}, "replicas": 200},
    "autoscaling": {"autoscaling": {"minReplicas": 1, "maxReplicas": 200}},
    "hasty": {"admission": {"timeoutSeconds": 0.1, "maxPages": 1}},
    "patient": {"admission": {"timeoutSeconds": 3600, "maxPages": 100_000}},
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("nameserver", [None, "127.0.0.1:53"])
def test_haproxy_accepts_the_configuration(
    haproxy: str, tmp_path: Path, name: str, nameserver: str | None
) -> None:
    spec = PoolSpec.model_validate({"proxy": {}, **SPECS[name]})
    assert spec.proxy is not None
    host = f"{'p' * 58}-pods.{'n' * 63}.svc.cluster.local"
    config = proxy_config(spec, spec.proxy, host)
    if nameserver is not None:
        from dataclasses import replace  # noqa: PLC0415

        config = replace(config, nameserver=nameserver)
    file = tmp_path / "haproxy.cfg"
    file.write_text(haproxy_cfg(config), encoding="utf-8")
    done = subprocess.run(
        [haproxy, "-c", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("replicas", "slots"), [(0, 16), (1, 16), (8, 16), (9, 32), (16, 32), (17, 64), (200, 512)]
)
def test_there_are_two_slots_for_every_worker(replicas: int, slots: int) -> None:
    """A worker that is gone may keep its slot for a while, and scaling rarely changes the
    number."""
    assert server_slots(PoolSpec(replicas=replicas)) == slots
