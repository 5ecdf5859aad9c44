"""What tests of the front share: HAProxy, and addresses of their own."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.testing.plugin import LEFT_OUT
from tests.front.proxy import Lab

# Where Debian installs it; not in everybody's PATH.
SBIN = "/usr/sbin"
_nets = itertools.count()


@pytest.fixture(scope="session")
def haproxy() -> str:
    """The program. Without it, tests that need it are left out, but not in CI."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path=SBIN)
    if found is not None:
        return found
    reason = "haproxy is missing. Run, as root: make cluster-packages"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(LEFT_OUT + reason)


@pytest.fixture
def lab(haproxy: str, tmp_path: Path) -> Iterator[Lab]:
    """Workers and a front on addresses 127.x.y.z that nothing else has."""
    net = f"127.{20 + os.getpid() % 200}.{200 + next(_nets) % 50}"
    with Lab(haproxy, tmp_path, net) as found:
        yield found
