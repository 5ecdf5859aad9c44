"""pytest fixtures: `control_plane`, `controllers`, `kwok`, `node`, `second_node`, `namespace` and
`haproxy`.

A test that needs a program which is not built here is left out. The last lines of the run say how
many, why, and the command that builds it. In CI (`CI=true`) such a test fails. Nothing is built
here.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Generator, Iterator

import pytest

import tools.devcluster.kwok
from tools.devcluster import cluster, images, settings
from tools.devcluster.build import parts
from tools.devcluster.errors import DevClusterError
from tools.devcluster.kwok import Kwok
from tools.devcluster.machine import check_machine
from tools.devcluster.node import places
from tools.devcluster.processes import running
from tools.devcluster.testing.handle import Cluster, Namespace, existing
from tools.devcluster.testing.runs import temporary

GPUS = 2
# Seconds to start a node on two busy cores.
TIMEOUT_S = 300
LEFT_OUT = "left out: "


def _problem_with(level: str) -> str | None:
    """Why tests of this level cannot run here, and the command that makes them run."""
    if level == "kwok":
        if existing() is not None:
            return "kwok runs beside our own control plane only. Run it without KUBECONTEXT"
        problem = parts.missing(parts.KWOK_PARTS)
        return str(problem) if problem else None
    if existing() is not None:
        return None
    if level == "control_plane":
        problem = parts.missing(parts.CONTROL_PLANE_PARTS)
        return str(problem) if problem else None
    try:
        check_machine()
    except DevClusterError as error:
        problem = error
    else:
        problem = parts.missing(parts.NODE_PARTS) or images.missing()
    return f"{problem.what}. Run, as root: make e2e" if problem else None


def pytest_configure(config: pytest.Config) -> None:
    for level in ("control_plane", "kwok", "node"):
        config.addinivalue_line("markers", f"{level}: runs against the fixture `{level}`")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its level, and skip it where that level cannot run."""
    reasons: dict[str, str | None] = {}
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if not used & {"control_plane", "node", "namespace", "controllers", "kwok"}:
            continue
        level = next((each for each in ("node", "kwok") if each in used), "control_plane")
        item.add_marker(level)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
        if level not in reasons:
            reasons[level] = _problem_with(level)
        reason = reasons[level]
        if reason is not None and os.environ.get("CI") != "true":
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT + reason))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """Print the tests that were left out, as the last lines."""
    yield
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        _, _, text = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
        _, found, reason = text.partition(LEFT_OUT)
        if found:
            counts[reason] = counts.get(reason, 0) + 1
    for reason, count in counts.items():
        terminalreporter.write_line(f"{count} tests left out: {reason}")


def _fail_with(reason: str | None) -> None:
    if reason is not None:
        pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """A real API server with controllers and scheduler, without a node. One for each test run."""
    _fail_with(_problem_with("control_plane"))
    found = existing()
    if found is not None:
        yield found
        return
    with temporary(with_node=False) as cluster:
        yield cluster


@pytest.fixture
def kwok(control_plane: Cluster) -> Iterator[Kwok]:
    """Simulated nodes beside the control plane; each test adds its own."""
    _fail_with(_problem_with("kwok"))
    assert control_plane.folder is not None
    tools.devcluster.kwok.start(control_plane.folder)
    found = Kwok(control_plane.folder)
    yield found
    # Other tests need a cluster without nodes. Silent nodes have lost their label, so use the
    # names.
    found.remove(found.added)


@pytest.fixture(scope="session")
def node() -> Iterator[Cluster]:
    """A second cluster, with a node that runs containers and has two fake GPUs. One for each
    run."""
    _fail_with(_problem_with("node"))
    found = existing()
    if found is not None:
        yield found
        return
    with temporary(with_node=True, gpus=GPUS) as cluster:
        yield cluster


@pytest.fixture
def second_node(node: Cluster) -> Iterator[str]:
    """The name of another node that joins the cluster of `node` for one test."""
    if node.folder is None:
        pytest.skip("a node is added to our own cluster only")
    cluster.up(node.folder, nodes=2, say=lambda _: None)
    found = settings.load(node.folder)
    assert found is not None
    yield places(node.folder, found)[1].name
    cluster.remove_last_node(node.folder)


@pytest.fixture(scope="session")
def haproxy() -> str:
    """The path of HAProxy, for tests without containers."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is not None:
        return found
    reason = "Missing on this machine: haproxy. Run, as root: make cluster-packages"
    if os.environ.get("CI") == "true":
        _fail_with(reason)
    pytest.skip(LEFT_OUT + reason)


@pytest.fixture(scope="session")
def controllers(control_plane: Cluster) -> Cluster:
    """The control plane, if it has controllers: `KUBEBUILDER_ASSETS` rarely has them."""
    if not _has_controllers(control_plane):
        reason = f"{os.environ['KUBEBUILDER_ASSETS']} has no kube-controller-manager. {parts.HOW}"
        if os.environ.get("CI") == "true":
            _fail_with(reason)
        pytest.skip(LEFT_OUT + reason)
    return control_plane


def _has_controllers(cluster: Cluster) -> bool:
    if cluster.folder is None:
        return True
    return any(each.name == "kube-controller-manager" for each in running(cluster.folder))


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace for one test, in the node's cluster if the test uses `node`."""
    level = "node" if "node" in request.fixturenames else "control_plane"
    cluster: Cluster = request.getfixturevalue(level)
    own = Namespace(cluster, f"test-{secrets.token_hex(4)}")
    cluster.kubectl("create", "namespace", own.name)
    if _has_controllers(cluster):
        _await_service_account(own)
    yield own
    cluster.kubectl("delete", "namespace", own.name, "--wait=false")


def _await_service_account(own: Namespace) -> None:
    """Wait for the default service account: a namespace admits no pod before it has one."""
    deadline = time.monotonic() + 30
    while not own.get("serviceaccounts")["items"]:
        if time.monotonic() > deadline:
            pytest.fail("the controller manager made no service account within 30 s", pytrace=False)
        time.sleep(0.1)
