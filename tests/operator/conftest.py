"""A namespace with the CRD, a stand-in kubelet, and the operator as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.api import Api
from tests.operator.harness import CRD, OperatorHarness
from tests.operator.kubelet import Kubelet
from tools.devcluster.testing import Cluster, Namespace


@pytest.fixture(scope="session")
def api(control_plane: Cluster) -> Api:
    """The API server, with the CRD."""
    control_plane.kubectl("apply", f"--filename={CRD}")
    control_plane.wait_for_crds("ocrpools.ocrpool.dev")
    return Api(control_plane.kubeconfig)


@pytest.fixture
def kubelet(api: Api, tmp_path: Path) -> Iterator[Kubelet]:
    """A node that is no node: see tests/operator/kubelet.py."""
    with Kubelet(api, tmp_path / "node") as node:
        yield node
        assert not node.errors, node.errors


@pytest.fixture
def harness(
    api: Api, namespace: Namespace, kubelet: Kubelet, tmp_path: Path
) -> Iterator[OperatorHarness]:
    """Everything a test of the operator needs; at the end nothing of it runs."""
    with OperatorHarness(api, namespace, kubelet, tmp_path) as found:
        yield found
