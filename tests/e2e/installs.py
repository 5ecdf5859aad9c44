"""ocrpool on the node, as users install it: with kubectl, and with helm."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from devcluster.images import tag_of
from devcluster.layout import REPOSITORY
from devcluster.testing import Cluster, Namespace

SYSTEM = "ocrpool-system"
OPERATOR = "ocrpool-operator"
POOLS_GONE_SECONDS = 120


@dataclass(frozen=True)
class Installed:
    """The operator runs. `began`: when the command that installed it was given (monotonic)."""

    cluster: Cluster
    began: float

    @property
    def system(self) -> Namespace:
        return Namespace(self.cluster, SYSTEM)

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{SYSTEM}:{OPERATOR}"

    def restart(self) -> None:
        """Every operator pod is replaced, and the new ones run."""
        self.system.kubectl("rollout", "restart", f"deployment/{OPERATOR}")
        self.await_operator()

    def await_operator(self) -> None:
        wait = ("rollout", "status", f"deployment/{OPERATOR}", "--timeout=100s")
        self.system.kubectl(*wait, timeout_s=110)


def overlay(folder: Path) -> Path:
    """manifests/ with the images of this node; as users do it with a registry of their own."""
    repository, _, tag = tag_of("operator").rpartition(":")
    never = [{"op": "replace", "path": f"{CONTAINER}/imagePullPolicy", "value": "Never"}]
    kustomization = {
        "resources": [os.path.relpath(REPOSITORY / "manifests", folder.resolve())],
        "images": [{"name": OPERATOR, "newName": repository, "newTag": tag}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(never)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return folder


CONTAINER = "/spec/template/spec/containers/0"


@contextmanager
def with_kubectl(cluster: Cluster, folder: Path) -> Iterator[Installed]:
    """`kubectl apply -k`, and all of it gone at the end: pools first, which the operator drains."""
    where = str(overlay(folder))
    began = time.monotonic()
    cluster.kubectl("apply", "--kustomize", where)
    try:
        yield Installed(cluster, began)
    finally:
        cluster.kubectl(
            *("delete", "ocrpools", "--all", "--all-namespaces"), timeout_s=POOLS_GONE_SECONDS
        )
        cluster.kubectl("delete", "--kustomize", where, timeout_s=POOLS_GONE_SECONDS)
