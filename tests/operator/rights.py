"""The operator's account in one namespace, with the rights of manifests/base/rbac.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.operator.api import Object
from tests.operator.kubelet import ROOT
from tools.devcluster.testing import Namespace

BASE = ROOT / "manifests" / "base"
ACCOUNT = "ocrpool-operator"


def rules() -> list[Object]:
    """What the ClusterRole of the manifests allows."""
    for body in yaml.safe_load_all((BASE / "rbac.yaml").read_text(encoding="utf-8")):
        if body["kind"] == "ClusterRole":
            return list(body["rules"])
    raise AssertionError("no ClusterRole in rbac.yaml")


def grant(namespace: Namespace, allowed: list[Object] | None = None) -> None:
    """Give the account these rights, here and nowhere else."""
    meta = {"name": ACCOUNT, "namespace": namespace.name}
    group = "rbac.authorization.k8s.io"
    leases = [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "create", "update"],
        }
    ]
    given = (rules() if allowed is None else allowed) + leases
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace.name}
    for body in (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": given},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [subject],
        },
    ):
        namespace.apply(body)


def kubeconfig(namespace: Namespace, folder: Path) -> Path:
    """A kubeconfig with a token of the account."""
    token = namespace.kubectl("create", "token", ACCOUNT, "--duration=1h").strip()
    config = yaml.safe_load(namespace.cluster.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
