"""A node with ocrpool installed on it, once for all of these tests."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e import installs
from tests.e2e.installs import Installation
from tools.devcluster.testing import Cluster, Namespace

# The tests of these modules install and uninstall ocrpool themselves, so they run first and last.
ReportLine = Callable[[str], None]
RestrictedNamespaces = Callable[[], AbstractContextManager[Namespace]]
_LINES = pytest.StashKey[list[str]]()
FIRST, LAST = "test_install", "test_chart_lifecycle"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        module = item.path.stem if item.path.is_relative_to(Path(__file__).parent) else ""
        return {FIRST: 1, LAST: 3}.get(module, 2 if module else 0)

    items.sort(key=place)


@pytest.fixture
def report_line(request: pytest.FixtureRequest) -> ReportLine:
    """Adds a line with a measured figure to the end of the run."""
    return request.config.stash.setdefault(_LINES, []).append


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    yield
    for line in config.stash.get(_LINES, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def installation(node: Cluster) -> Iterator[Installation]:
    """ocrpool installed with helm; `test_install.py` tests kubectl."""
    with installs.with_helm(node) as found:
        yield found


@pytest.fixture(scope="session")
def restricted_namespaces(installation: Installation) -> RestrictedNamespaces:
    """Makes namespaces that enforce the pod security level `restricted`."""

    @contextmanager
    def restricted_namespace() -> Iterator[Namespace]:
        cluster = installation.cluster
        own = Namespace(cluster, f"test-{secrets.token_hex(4)}")
        level = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("create", "namespace", own.name)
        cluster.kubectl("label", "namespace", own.name, level)
        yield own
        # First let the operator drain the pools; deleting the namespace at once would cut that
        # short.
        own.kubectl("delete", "ocrpools", "--all", timeout_s=installs.GONE_SECONDS)
        cluster.kubectl("delete", "namespace", own.name, "--wait=false")

    return restricted_namespace


@pytest.fixture
def restricted_namespace(restricted_namespaces: RestrictedNamespaces) -> Iterator[Namespace]:
    """One such namespace for one test."""
    with restricted_namespaces() as own:
        yield own
