"""Workers and HAProxy on addresses of their own, for tests of the proxy."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy.haproxy import ProxyEnvironment

_nets = itertools.count()


@pytest.fixture
def environment(haproxy: str, tmp_path: Path) -> Iterator[ProxyEnvironment]:
    """Workers and proxies on addresses 127.x.y.z that no other test uses."""
    net = f"127.{20 + os.getpid() % 200}.{200 + next(_nets) % 50}"
    with ProxyEnvironment(haproxy, tmp_path, net) as found:
        yield found
