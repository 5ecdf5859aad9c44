"""The release from upgrade to uninstall, with a pool that serves all the time.

These are the last tests on the node; they leave the release installed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e import installs, pools
from tests.e2e.conftest import RestrictedNamespaces
from tests.e2e.installs import CHART, CRD, IMAGES, IN_SYSTEM, RELEASE, SELECTOR, Installation
from tests.e2e.pools import LivePool
from tools.devcluster.testing import Cluster, handle

pytestmark = [
    pytest.mark.timeout(300, func_only=True),
    pytest.mark.skipif(handle.existing() is not None, reason="of our own node only"),
]
WAIT = ("--wait", "--timeout=100s")


@pytest.fixture(scope="module")
def pool(restricted_namespaces: RestrictedNamespaces) -> Iterator[LivePool]:
    with restricted_namespaces() as restricted_namespace:
        live = pools.apply(restricted_namespace, pools.fake_engine_pool(replicas=2))
        live.until_ready(2)
        yield live


def _next_version(folder: Path) -> Path:
    """A copy of the chart with a later version."""
    chart = shutil.copytree(CHART, folder / "ocrpool")
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    about["version"] = "99.0.0"
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    return chart


def _version(cluster: Cluster) -> str:
    (release,) = json.loads(cluster.helm("list", *IN_SYSTEM, "--output=json"))
    return str(release["chart"])


def test_upgrade_and_rollback_fail_no_request(
    installation: Installation, pool: LivePool, tmp_path: Path
) -> None:
    cluster, before, uids = installation.cluster, _version(installation.cluster), pool.uids
    revision = json.loads(cluster.helm("list", *IN_SYSTEM, "--output=json"))[0]["revision"]
    with pool.load() as load:
        change = ("--reuse-values", "--set=operator.logLevel=debug", *WAIT)
        upgrade = ("upgrade", RELEASE, str(_next_version(tmp_path)), *IN_SYSTEM)
        cluster.helm(*upgrade, *change, timeout_s=110)
        assert _version(cluster) == "ocrpool-99.0.0"
        pool.patch(instances={"min": 2, "max": 2})
        pool.until("two instances each", lambda body: body["status"]["instances"]["ready"] == 4)

        cluster.helm("rollback", RELEASE, revision, *IN_SYSTEM, *WAIT, timeout_s=110)
        assert _version(cluster) == before
        pool.patch(instances={"min": 1, "max": 2})

    assert pool.uids == uids
    assert not load.failures


def test_uninstall_keeps_the_users_objects_and_a_new_install_continues_with_them(
    installation: Installation, pool: LivePool
) -> None:
    """The CRD, the pools and their workers stay, and workers serve without an operator."""
    cluster, uids = installation.cluster, pool.uids
    with pool.load() as load:
        cluster.helm("uninstall", RELEASE, *IN_SYSTEM, "--wait", timeout_s=110)
        gone = ("wait", "--for=delete", "pod", f"--selector={SELECTOR}", "--timeout=60s")
        installation.system.kubectl(*gone, timeout_s=70)
        left = installation.system.kubectl("get", "all,secret,configmap,lease", "--output=name")
        cluster.kubectl("get", "crd", CRD)
        assert pool.uids == uids

        cluster.helm("install", RELEASE, str(CHART), *IN_SYSTEM, *IMAGES, *WAIT, timeout_s=110)
        pool.namespace.kubectl("scale", f"ocrpool/{pool.name}", "--replicas=1")
        pool.until_ready(1)

    assert pool.uids < uids
    assert not load.failures
    # An object of Kubernetes itself, and the Lease of the operator.
    expected = {"configmap/kube-root-ca.crt", "lease.coordination.k8s.io/ocrpool-operator"}
    assert set(left.split()) == expected


def test_a_value_that_the_schema_forbids_is_refused_with_its_path(node: Cluster) -> None:
    wrong = "--set=operator.replicas=-1"
    with pytest.raises(AssertionError, match=r"operator.replicas|/operator/replicas"):
        node.helm("upgrade", RELEASE, str(installs.CHART), *IN_SYSTEM, wrong, "--dry-run")
