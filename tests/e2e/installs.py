"""Installs ocrpool on the node as users do: with kubectl and with helm."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.devcluster.images import tag_of
from tools.devcluster.layout import REPOSITORY
from tools.devcluster.testing import Cluster, Namespace

SYSTEM = "ocrpool-system"
OPERATOR = "ocrpool-operator"
SELECTOR = "app.kubernetes.io/name=ocrpool-operator"
RELEASE = "ocrpool"
CRD = "ocrpools.ocrpool.dev"
MANIFESTS = REPOSITORY / "manifests"
CHART = REPOSITORY / "charts" / "ocrpool"
IN_SYSTEM = (f"--namespace={SYSTEM}",)
CONTAINER = "/spec/template/spec/containers/0"
GONE_SECONDS = 120


@dataclass(frozen=True)
class Installation:
    """A running operator. `began`: when the install command started (monotonic seconds)."""

    cluster: Cluster
    began: float

    @property
    def system(self) -> Namespace:
        return Namespace(self.cluster, SYSTEM)

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{SYSTEM}:{OPERATOR}"

    def restart(self) -> None:
        """Replace every operator pod and wait for the new ones."""
        self.system.kubectl("rollout", "restart", f"deployment/{OPERATOR}")
        self.await_operator()

    def await_log(self, text: str, *, seconds: float = 60) -> None:
        """Wait until an operator has logged this text."""
        deadline = time.monotonic() + seconds
        while text not in (log := self._log()):
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{log}"
            time.sleep(0.5)

    def _log(self) -> str:
        try:
            return self.system.kubectl("logs", f"--selector={SELECTOR}", "--tail=-1")
        except AssertionError as error:  # its containers do not run yet
            return str(error)

    def await_operator(self) -> None:
        wait = ("rollout", "status", f"deployment/{OPERATOR}", "--timeout=100s")
        self.system.kubectl(*wait, timeout_s=110)


@contextmanager
def with_kubectl(cluster: Cluster, folder: Path) -> Iterator[Installation]:
    """`kubectl apply -k FOLDER`. At the end remove everything, pools first so that they drain."""
    where = str(folder)
    began = time.monotonic()
    cluster.kubectl("apply", "--kustomize", where)
    try:
        yield Installation(cluster, began)
    finally:
        _delete_pools(cluster)
        cluster.kubectl("delete", "--kustomize", where, timeout_s=GONE_SECONDS)
        cluster.kubectl("delete", "crd", CRD, "--ignore-not-found", timeout_s=GONE_SECONDS)


@contextmanager
def with_helm(cluster: Cluster) -> Iterator[Installation]:
    """`helm install`. At the end remove everything, also the CRD, which helm keeps."""
    began = time.monotonic()
    cluster.helm("install", RELEASE, str(CHART), *IN_SYSTEM, "--create-namespace", *IMAGES)
    try:
        yield Installation(cluster, began)
    finally:
        _delete_pools(cluster)
        cluster.helm("uninstall", RELEASE, *IN_SYSTEM, "--wait", timeout_s=GONE_SECONDS)
        cluster.kubectl("delete", "crd", CRD, timeout_s=GONE_SECONDS)
        cluster.kubectl("delete", "namespace", SYSTEM, timeout_s=GONE_SECONDS)


def overlay(folder: Path, part: Path = MANIFESTS) -> Path:
    """A kustomization of manifests/, or a folder of it, with the images of this node."""
    repository, _, tag = tag_of("operator").rpartition(":")
    worker = f"--worker-image={tag_of('worker')}"
    change = [
        {"op": "replace", "path": f"{CONTAINER}/imagePullPolicy", "value": "Never"},
        {"op": "replace", "path": f"{CONTAINER}/args/1", "value": worker},
    ]
    kustomization = {
        "resources": [os.path.relpath(part, folder.resolve())],
        "images": [{"name": OPERATOR, "newName": repository, "newTag": tag}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(change)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return folder


def _delete_pools(cluster: Cluster) -> None:
    everywhere = ("delete", "ocrpools", "--all", "--all-namespaces")
    cluster.kubectl(*everywhere, timeout_s=GONE_SECONDS)


def _image(part: str, name: str) -> tuple[str, ...]:
    repository, _, tag = tag_of(name).rpartition(":")
    return (f"--set={part}.image.repository={repository}", f"--set={part}.image.tag={tag}")


IMAGES = (
    *_image("operator", "operator"),
    "--set=operator.image.pullPolicy=Never",
    *_image("worker", "worker"),
)
