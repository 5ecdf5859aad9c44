"""Helm, and a cluster without any installation of ocrpool."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chart.helm import Helm
from tools.devcluster.build import parts
from tools.devcluster.errors import DevClusterError
from tools.devcluster.testing import Cluster
from tools.devcluster.testing.plugin import LEFT_OUT
from tools.devcluster.testing.runs import temporary


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    try:
        parts.find("helm")
    except DevClusterError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(LEFT_OUT + str(error))
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def fresh(control_plane: Cluster) -> Iterator[Cluster]:
    """A cluster of its own: others have the CRD already. (`control_plane` says what lacks.)"""
    with temporary(with_node=False, name="fresh") as cluster:
        yield cluster
