"""`down` leaves nothing behind, whenever the tool or the cluster was killed before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.devcluster.machine_state import observe
from tools.devcluster import cluster, processes
from tools.devcluster.layout import REPOSITORY, Folder, folder
from tools.devcluster.testing import Cluster, handle

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(handle.existing() is not None, reason="of our own clusters only"),
]
NODE_PROCESSES = {
    "node",
    "containerd",
    "coredns",
    "kubelet",
    "kube-proxy",
    "fake-gpus",
    "kube-router",
}


@pytest.fixture
def own() -> Iterator[Folder]:
    """A cluster for one test. The fixture removes it if the test did not."""
    made = folder(f"trace-{os.getpid()}")
    yield made
    cluster.down(made)


def _tool(*words: str) -> list[str]:
    return [sys.executable, "-m", "tools.devcluster", *words]


def _run(*words: str) -> str:
    done = subprocess.run(
        _tool(*words), cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("node")  # so that it is skipped where no node can run
def test_a_node_that_ran_pods_leaves_nothing(own: Folder) -> None:
    before = observe(own)
    _run("up", "--node", "--name", own.name)
    made = Cluster(own.kubeconfig, folder=own)
    made.kubectl(
        "run", "pod", "--image=localhost/ocrpool/testimage:dev", "--image-pull-policy=Never"
    )
    made.kubectl("wait", "--for=condition=Ready", "pod/pod", "--timeout=60s")
    assert {each.name for each in processes.running(own)} >= NODE_PROCESSES

    _run("down", "--name", own.name)

    assert observe(own) == before


# From the first process of the control plane to the last of the node.
KILLED_AT = ("etcd", "kube-apiserver", "kube-scheduler", "node", "containerd", "kubelet")


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("moment", KILLED_AT)
def test_down_removes_everything_after_the_tool_was_killed_during_up(
    own: Folder, moment: str
) -> None:
    before = observe(own)
    tool = subprocess.Popen(
        _tool("up", "--node", "--name", own.name), cwd=REPOSITORY, stdout=subprocess.DEVNULL
    )
    # The node's images are linked one by one before containerd starts: seconds, or on a busy
    # machine more than a minute.
    deadline = time.monotonic() + 200
    try:
        while moment not in {each.name for each in processes.running(own)}:
            assert time.monotonic() < deadline
            assert tool.poll() is None
            time.sleep(0.002)
    finally:
        tool.send_signal(signal.SIGKILL)
        tool.wait()

    again = subprocess.run(
        _tool("up", "--node", "--name", own.name),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if again.returncode:  # it reports in one line what is left over, and what to do
        assert again.stderr.count("\n") == 1
        assert f"down --name {own.name}" in again.stderr
    _run("down", "--name", own.name)

    assert observe(own) == before


@pytest.mark.usefixtures("control_plane")
def test_a_control_plane_that_lost_a_process_is_reported_as_left_over(own: Folder) -> None:
    before = observe(own)
    _run("up", "--name", own.name)
    processes.stop(own, ("kube-apiserver",))

    assert f"{own.name}: left over" in _run("status")
    _run("down", "--name", own.name)

    assert observe(own) == before
    assert f"{own.name}: does not exist" in _run("down", "--name", own.name)


@pytest.mark.usefixtures("control_plane")
def test_a_second_up_finds_the_running_cluster(own: Folder) -> None:
    _run("up", "--name", own.name)
    before = processes.running(own)

    _run("up", "--name", own.name)

    assert processes.running(own) == before
