"""Both ways to install ocrpool, up to the text of a real page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e import installs, pools
from tests.e2e.conftest import ReportLine
from tests.e2e.installs import IN_SYSTEM, RELEASE, Installation
from tools.bench.lib.samples import sample_page
from tools.devcluster.testing import Cluster, Namespace

pytestmark = pytest.mark.timeout(400, func_only=True)


def _read_a_real_page(found: Installation, namespace: Namespace) -> float:
    """Seconds from the install command to the text of a page."""
    page = sample_page()
    pool = pools.apply(namespace, pools.real_pool())
    pool.until("the operator has seen the pool", lambda body: bool(body.get("status")))
    texts = pools.first_text(pool.url(), page)
    seconds = time.monotonic() - found.began
    assert pools.missing_lines(page, texts) == []
    return seconds


def test_installed_with_kubectl_it_reads_a_real_page(
    node: Cluster, namespace: Namespace, tmp_path: Path, report_line: ReportLine
) -> None:
    with installs.with_kubectl(node, installs.overlay(tmp_path)) as found:
        seconds = _read_a_real_page(found, namespace)
    report_line(f"from kubectl apply -k to the text of a real page: {seconds:.1f} s")


def test_without_the_crd_the_log_says_what_to_do_and_the_operator_recovers(
    node: Cluster, namespace: Namespace, tmp_path: Path
) -> None:
    manifests = installs.MANIFESTS
    node.kubectl("apply", f"--filename={manifests / 'namespace.yaml'}")
    with installs.with_kubectl(node, installs.overlay(tmp_path, manifests / "base")) as found:
        found.await_log("Is the CRD installed (kubectl apply -f manifests/crd.yaml)?")
        # With the CRD the operator works without a restart.
        node.kubectl("apply", f"--filename={manifests / 'crd.yaml'}")
        pool = pools.apply(namespace, pools.fake_engine_pool())
        pool.until_ready(1)
    node.kubectl("delete", "namespace", installs.SYSTEM, timeout_s=installs.GONE_SECONDS)


def test_installed_with_helm_it_reads_a_real_page(
    installation: Installation, namespace: Namespace, report_line: ReportLine
) -> None:
    seconds = _read_a_real_page(installation, namespace)
    report_line(f"from helm install to the text of a real page: {seconds:.1f} s")


def test_helm_test_reads_a_page_and_removes_its_objects(installation: Installation) -> None:
    wait = ("--timeout=250s",)
    output = installation.cluster.helm("test", RELEASE, *IN_SYSTEM, *wait, timeout_s=300)
    assert "Phase:          Succeeded" in output, output
    left = installation.system.kubectl("get", "ocrpools,pods,roles,sa", "--output=name")
    assert "test" not in left
