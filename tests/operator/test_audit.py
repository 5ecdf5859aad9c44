"""The audit at the end of every operator test finds writes to foreign objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operator import audit, rights
from tests.operator.api import Api
from tools.devcluster.testing import Namespace

pytestmark = pytest.mark.timeout(120)


def test_audit_reports_writes_to_foreign_objects(
    api: Api, namespace: Namespace, tmp_path: Path
) -> None:
    folder = namespace.cluster.folder
    if folder is None:
        pytest.skip("somebody else's cluster: its record is not ours to read")
    rights.grant(namespace)
    as_operator = Api(rights.kubeconfig(namespace, tmp_path))
    maps = f"/api/v1/namespaces/{namespace.name}/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}}
    api.call("POST", maps, body)
    api.merge(f"{maps}/theirs", {"data": {"by": "its owner"}})
    as_operator.merge(f"{maps}/theirs", {"data": {"by": "an operator"}})
    as_operator.call("DELETE", f"{maps}/theirs")
    owner = {"apiVersion": "ocrpool.dev/v1alpha1", "kind": "OcrPool", "name": "x", "uid": "x"}
    # With a finalizer: its owner does not exist, and the garbage collector may delete it too early.
    meta = {"name": "ours", "ownerReferences": [owner], "finalizers": ["ocrpool.dev/test"]}
    as_operator.call("POST", maps, {**body, "metadata": meta})
    as_operator.merge(f"{maps}/ours", {"data": {"by": "an operator"}})
    api.merge(f"{maps}/ours", {"metadata": {"finalizers": None}})
    as_operator.call("POST", maps, {**body, "metadata": {"name": "bare"}})

    found = audit.foreign_writes(audit.writes(folder.audit, namespace.name))
    assert found == [
        "patch configmaps theirs",
        "delete configmaps theirs",
        "create configmaps bare: without its pool as its owner",
    ]
